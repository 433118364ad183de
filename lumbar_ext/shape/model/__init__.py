"""The shape model as a reconstruction uses it: frame, reference, alignment, means and modes."""
