import numpy as np
import pytest

from lumbar_ext.registration.level_shape import LevelShape, level_shapes


def test_instances_are_the_mean_plus_modes_in_standard_deviations(toy_model, shapes):
    b = np.random.default_rng(0).normal(size=8)
    expected = toy_model.mean[1].numpy() + np.einsum(
        "k,kvd->vd", b * toy_model.standard_deviations[1].numpy(), toy_model.modes[1].numpy()
    )
    np.testing.assert_allclose(shapes[1].instance(b), expected, atol=1e-4)


def test_landmarks_are_weighted_vertices(toy_model, shapes):
    b = np.random.default_rng(0).normal(size=8)
    vertices = shapes[2].instance(b)[toy_model.landmark_vertices.numpy()]
    expected = (vertices * toy_model.landmark_weights.numpy()[..., None]).sum(1)
    np.testing.assert_allclose(shapes[2].landmarks(b), expected, atol=1e-4)


def test_truncation_keeps_the_first_modes(toy_model, shapes):
    b = np.array([1.0, -2.0, 0.5])
    truncated = level_shapes(toy_model, 3)[0]
    assert truncated.n_modes == 3 and shapes[0].truncated(3).n_modes == 3
    np.testing.assert_array_equal(truncated.instance(b), shapes[0].instance(np.r_[b, np.zeros(5)]))


def test_shapes_of_arrays_are_checked(shapes):
    with pytest.raises(ValueError, match=r"modes_mm must be \[K, "):
        LevelShape(shapes[0].mean_mm, shapes[0].modes_mm[:, :-3], shapes[0].triangles, np.zeros((7, 3)), np.zeros((8, 7, 3)))
