"""Every shape gets the vertices of the reference."""
