"""The MONAI Label app: landmarks, decompositions and reconstructions for annotators, and training from their corrections.

Needs the extra `[label]` in an environment of its own, see docs/label.md.
"""
