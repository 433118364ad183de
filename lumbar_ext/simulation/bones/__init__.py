"""The bones of one person, and what disease changes."""
