"""How a person stands and bends."""
