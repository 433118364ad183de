"""lumbar_ext: a 3D model of the lumbar spine from two calibrated radiographs."""

__version__ = "0.1.0"
