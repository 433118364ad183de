"""Registration of the shape model to two decomposition images."""
