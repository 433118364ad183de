"""Digitally reconstructed radiographs of triangle meshes."""

from lumbar_ext.drr.beer_lambert import MU_BONE_800HU_PER_MM, drr_from_path_length, path_length_from_drr
from lumbar_ext.drr.projector import MeshProjector, Window, path_length

__all__ = [
    "MU_BONE_800HU_PER_MM",
    "MeshProjector",
    "Window",
    "drr_from_path_length",
    "path_length",
    "path_length_from_drr",
]
