"""From bodies to path lengths and from path lengths to a picture."""
