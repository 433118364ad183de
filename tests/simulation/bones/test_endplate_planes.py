"""Endplate planes of the toy vertebra, flat and tilted by shearing."""

import numpy as np
import pytest

from lumbar_ext.mesh.solid import Surface
from lumbar_ext.simulation.bones.endplate_planes import find_endplates


def test_flat_endplates_face_up_and_down(skeleton):
    vertebra = skeleton.lumbar[2]
    plates = find_endplates(vertebra.solid, vertebra.landmarks_mm)
    assert np.allclose(plates.superior.normal, [0, 0, 1], atol=1e-6)
    assert np.allclose(plates.inferior.normal, [0, 0, -1], atol=1e-6)
    assert 12 < plates.superior.half_depth_mm < 20


def test_a_shear_tilts_both_planes_by_its_angle(skeleton):
    vertebra = skeleton.lumbar[2]
    shear = np.array([[1, 0, 0], [0, 1, 0], [0.1, -0.05, 1]])
    sheared = Surface(vertebra.solid.vertices_mm @ shear.T, vertebra.solid.triangles)
    plates = find_endplates(sheared, vertebra.landmarks_mm)
    expected = np.array([-0.1, 0.05, 1]) / np.linalg.norm([0.1, 0.05, 1])
    assert np.allclose(plates.superior.normal, expected, atol=1e-6)
    assert np.allclose(plates.inferior.normal, -expected, atol=1e-6)


def test_a_mesh_far_from_its_landmarks_is_refused(skeleton):
    vertebra = skeleton.lumbar[2]
    with pytest.raises(ValueError, match="vertebra frame"):
        find_endplates(vertebra.solid, vertebra.landmarks_mm + np.array([0, 0, 50]))
