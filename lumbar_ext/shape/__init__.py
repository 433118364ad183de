"""The statistical shape model: surfaces, correspondence, means and modes, and how it is built from data."""
