"""Silhouettes and decompositions of boxes."""

import numpy as np
import trimesh

from lumbar_ext.drr import MU_BONE_800HU_PER_MM
from lumbar_ext.drr.bone_images import bone_images
from lumbar_ext.geometry import ConeBeam
from lumbar_ext.mesh.surface import Surface

CAMERA = ConeBeam([900.0, 0, 0], [-300.0, -63, 63], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (64, 64))


def box_at(z):
    mesh = trimesh.creation.box((20, 20, 20))
    return Surface(mesh.vertices + np.array([0, 0, z]), mesh.faces)


def test_each_vertebra_has_its_own_bit():
    images = bone_images((box_at(30), box_at(5), None, box_at(0)), CAMERA)
    assert set(np.unique(images.silhouettes)) == {0, 1, 2, 8, 10}
    alone = bone_images((box_at(5),), CAMERA).silhouettes
    assert np.array_equal(images.silhouettes & 2 > 0, alone == 1)


def test_the_decomposition_is_zero_outside_the_silhouettes_and_adds_inside():
    images = bone_images((box_at(0), box_at(0)), CAMERA)
    assert np.array_equal(images.decomposition > 0, images.silhouettes > 0)
    assert np.isclose(images.decomposition[32, 32], 1 - np.exp(-MU_BONE_800HU_PER_MM * 40), atol=1e-3)
