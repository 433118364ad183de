import numpy as np
import pytest
import trimesh

from lumbar_ext.anatomy import LANDMARKS, LEFT_RIGHT_SWAP
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.reference import build_reference


def test_the_reference_keeps_shape_and_topology(reference, vertebra):
    assert reference.surface.is_watertight
    assert reference.surface.euler_number == 0
    assert len(reference.surface.vertices_mm) == pytest.approx(3000, abs=15)
    assert reference.surface.volume_mm3 == pytest.approx(vertebra.volume_mm3, rel=0.03)


def test_landmarks_lie_where_the_analytic_vertebra_has_them(reference):
    found = dict(zip(LANDMARKS, reference.landmarks_mm(reference.surface.vertices_mm), strict=True))
    assert np.allclose(found["superior_endplate"], [0, 0, 14], atol=0.5)
    assert np.allclose(found["left_transverse_process"], [-34.5, 45, 5], atol=2.0)
    assert np.allclose(found["left_pedicle"], [-20, 15, 5], atol=3.0)
    assert np.allclose(found["spinous_process"], [-67, 0, -8], atol=3.0)


def test_landmarks_of_a_symmetric_vertebra_are_symmetric(reference):
    landmarks = reference.landmarks_mm(reference.surface.vertices_mm)
    assert np.allclose(landmarks[list(LEFT_RIGHT_SWAP)] * [1, -1, 1], landmarks, atol=3.0)


def test_weights_are_means(reference):
    assert np.allclose(reference.landmarks.weights.sum(axis=1), 1)
    assert (reference.landmarks.weights >= 0).all()


def test_a_sphere_is_no_vertebra():
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=30)
    with pytest.raises(InputError, match="pedicle"):
        build_reference(Surface(mesh.vertices, mesh.faces), 1000)
