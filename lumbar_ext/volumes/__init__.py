"""Volumes from two radiographs: CT numbers and tissues of the lumbar spine at any point in space."""
