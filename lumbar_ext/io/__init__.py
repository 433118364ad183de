"""Calibrations, volumes and JSON documents; output that is complete or absent."""

from lumbar_ext.io.atomic import atomic_path, staged_output
from lumbar_ext.io.calibration import read_calibration, write_calibration

__all__ = [
    "atomic_path",
    "read_calibration",
    "staged_output",
    "write_calibration",
]
