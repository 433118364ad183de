"""Seven landmarks a vertebra: in files, as Slicer markups, from two views to space."""
