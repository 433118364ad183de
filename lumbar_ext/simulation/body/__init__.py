"""What else is in the beam: tissues, gas, metal, a table."""
