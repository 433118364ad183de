"""From a mesh to marked points."""
