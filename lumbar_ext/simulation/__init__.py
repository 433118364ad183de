"""Synthetic biplanar studies: subjects, postures, and radiographs with known ground truth."""
