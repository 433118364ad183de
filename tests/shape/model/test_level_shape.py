import numpy as np
import pytest

from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.shape.model.level_shape import LevelShape, SurfaceModes, level_shapes


def test_instances_are_the_mean_plus_modes_in_standard_deviations(toy_model, shapes):
    b = np.random.default_rng(0).normal(size=8)
    expected = toy_model.mean[1].numpy() + np.einsum(
        "k,kvd->vd", b * toy_model.standard_deviations[1].numpy(), toy_model.modes[1].numpy()
    )
    np.testing.assert_allclose(shapes[1].surface.instance(b), expected, atol=1e-4)


def test_landmarks_are_weighted_vertices(toy_model, shapes):
    b = np.random.default_rng(0).normal(size=8)
    vertices = shapes[2].surface.instance(b)[toy_model.landmark_vertices.numpy()]
    expected = (vertices * toy_model.landmark_weights.numpy()[..., None]).sum(1)
    np.testing.assert_allclose(shapes[2].landmarks(b), expected, atol=1e-4)


def test_truncation_keeps_the_first_modes_and_short_coefficients_mean_zeros(toy_model, shapes):
    b = np.array([1.0, -2.0, 0.5])
    full = shapes[0].surface.instance(np.r_[b, np.zeros(5)])
    assert level_shapes(toy_model, 3)[0].n_modes == 3
    for surface in (level_shapes(toy_model, 3)[0].surface, shapes[0].surface.truncated(3), shapes[0].surface):
        np.testing.assert_allclose(surface.instance(b), full, atol=1e-5)
    np.testing.assert_allclose(shapes[0].landmarks(b), shapes[0].landmarks(np.r_[b, np.zeros(5)]))


def test_free_form_fields_move_vertices_and_landmarks_after_the_modes(shapes):
    fields = np.random.default_rng(0).normal(size=(2, 2562))
    surface = shapes[0].surface.extended(fields)
    shape = LevelShape(surface, shapes[0].landmark_vertices)
    assert (shape.n_model_modes, shape.n_modes) == (8, 14)
    b = np.r_[np.zeros(8), 0, 0, 0, 1.0, 2.0, -3.0]
    moved = surface.instance(b) - surface.mean_mm
    np.testing.assert_allclose(moved, fields[1][:, None] * [1, 2, -3], atol=1e-4)
    np.testing.assert_allclose(shape.landmarks(b), shape.landmark_vertices.of(surface.instance(b)), atol=1e-4)
    assert surface.truncated(8).n_modes == 8 and surface.truncated(9) is surface


def test_an_unchanged_model_gives_the_same_objects(toy_model):
    first = level_shapes(toy_model)
    assert level_shapes(toy_model) is first and level_shapes(toy_model, 3) is not first
    toy_model.mean.add_(0.0)
    assert level_shapes(toy_model) is not first


def test_shapes_of_arrays_are_checked(shapes):
    surface = shapes[0].surface
    with pytest.raises(ValueError, match=r"modes_mm must be \[K, 7686\]"):
        SurfaceModes(surface.mean_mm, surface.modes_mm[:, :-3], surface.triangles)
    with pytest.raises(ValueError, match="7 landmarks, found 6"):
        LevelShape(surface, MaterialPoints(np.zeros((6, 4), dtype=int), np.zeros((6, 4))))
