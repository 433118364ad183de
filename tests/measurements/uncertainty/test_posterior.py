"""Samples of a registration with a known curvature."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.measurements.uncertainty.posterior import sample_registration, vertex_sd_mm
from lumbar_ext.measurements.uncertainty.registered import measure_registration
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.registration.result import Curvature
from tests.measurements.registered_fixture import SIZE, STRETCH, registration, shape
from tests.measurements.solids import B_MM, HEIGHT_MM

STILL = 1e-9


def only(index, deviation):
    """Deviations that are zero but for one parameter."""
    deviations = np.full(SIZE, STILL)
    deviations[index] = deviation
    return deviations


def test_samples_have_the_covariance_of_the_curvature():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(SIZE, SIZE))
    covariance = root @ root.T + np.eye(SIZE)
    result = registration(np.ones(SIZE), levels=("L3",))
    hessian = 0.7 * np.linalg.inv(covariance).reshape(1, SIZE, 1, SIZE)
    result = replace(result, curvature=Curvature(hessian, 0.7))
    parameters = sample_registration(result, n_samples=20000)["L3"].parameters
    assert np.cov(parameters.T) == pytest.approx(covariance, abs=0.06 * np.abs(covariance).max())


def test_samples_without_spread_are_the_registered_mesh():
    result = registration(np.full(SIZE, STILL), coefficients=(0.8, -0.4))
    for level, samples in sample_registration(result, n_samples=2).items():
        assert samples.vertices_mm()[0] == pytest.approx(result.vertebrae[level].vertices_mm, abs=1e-4)
        expected = result.vertebrae[level].world_from_vertebra.apply(shape().landmarks(np.array([0.8, -0.4])))
        assert samples.landmarks_mm()[1] == pytest.approx(expected, abs=1e-4)


def test_equal_seeds_give_equal_samples():
    result = registration(np.ones(SIZE))
    first, again, other = (sample_registration(result, n_samples=3, seed=s)["L1"].parameters for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_registration_without_curvature_has_no_samples():
    assert sample_registration(registration()) is None


def test_an_indefinite_curvature_has_no_samples():
    result = registration(np.ones(SIZE), levels=("L3",))
    negative = replace(result, curvature=Curvature(-result.curvature.hessian, 1.0))
    assert sample_registration(negative) is None


def test_values_spread_as_their_parameter_does():
    result = registration(only(6, 0.5))
    deviations = measure_registration(result, result.vertebrae["L1"].shape.surface.triangles).laplace_sd
    # The first mode stretches the height by 5 % per SD.
    assert deviations["L2", "anterior_height"] == pytest.approx(0.5 * STRETCH * HEIGHT_MM, rel=0.2)
    assert deviations["L2", "superior_endplate_width"] == pytest.approx(0, abs=0.02)
    wider = measure_registration(registration(only(7, 0.5)), result.vertebrae["L1"].shape.surface.triangles).laplace_sd
    assert wider["L2", "superior_endplate_width"] == pytest.approx(0.5 * STRETCH * 2 * B_MM, rel=0.2)


def test_a_turn_spreads_angles_and_not_heights():
    result = registration(only(4, np.radians(2.0)))
    deviations = measure_registration(result, result.vertebrae["L1"].shape.surface.triangles).laplace_sd
    assert deviations["L3", "sagittal_tilt"] == pytest.approx(2.0, rel=0.2)
    assert deviations["L3-L4", "disc_angle"] == pytest.approx(2.0 * np.sqrt(2), rel=0.25)
    assert deviations["L3", "anterior_height"] == pytest.approx(0, abs=0.01)


def test_vertices_spread_along_their_normals_only():
    samples = sample_registration(registration(only(2, 0.4)))["L3"]
    normals = Surface(samples.fit.vertices_mm, samples.fit.shape.surface.triangles).normals
    spread = vertex_sd_mm(samples, normals)
    # A shift along z moves the top by its full size, and slides the walls along themselves.
    assert spread == pytest.approx(0.4 * np.abs(normals[:, 2]), rel=0.25, abs=0.03)
