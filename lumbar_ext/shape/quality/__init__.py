"""Scree, compactness, generality and specificity of a model, as numbers, tables and plots."""
