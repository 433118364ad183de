import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.shape.model.surface_fit import FitOptions, LinearModel, fit_by_correspondence, fit_to_surface


@pytest.fixture(scope="module")
def linear(reference):
    """Three smooth, orthogonalised modes of about 1.5 mm on the analytic vertebra."""
    points = reference.surface.vertices_mm
    fields = np.stack([np.sin(points / 22), np.cos(points[:, [1, 2, 0]] / 18), np.sin(points[:, [2, 0, 1]] / 30 + 1)])
    q, _ = np.linalg.qr(fields.reshape(3, -1).T)
    modes = q.T.reshape(3, -1, 3) * 1.5 * np.sqrt(len(points))
    return LinearModel(points, modes, reference.surface.triangles)


B = np.array([1.2, -0.8, 1.5])
POSE = RigidTransform.from_euler(0.2, -0.3, 0.4, np.array([10.0, -20, 30]))


def slid(linear, vertices):
    """The same surface under other vertices: each moves about 2 mm and is put back onto it."""
    surface = Surface(vertices, linear.triangles)
    return locate(surface, vertices + 2 * np.sin(vertices[:, [2, 0, 1]] / 5), candidates=40)[0]


def test_an_instance_is_found_again_by_its_vertices(linear):
    fit = fit_by_correspondence(linear, POSE.apply(linear.instance(B)), rounds=30)
    assert np.allclose(fit.b, B, atol=0.05)


def test_an_instance_is_found_again_under_sliding_vertices(linear):
    target = POSE.apply(linear.instance(B))
    start = fit_by_correspondence(linear, slid(linear, target))
    fit = fit_to_surface(linear, Surface(target, linear.triangles), start, FitOptions(ridge_mm2=1e-6))
    assert np.allclose(fit.b, B, atol=0.05)
    assert np.abs(fit.b - B).max() < 0.5 * np.abs(start.b - B).max()
    assert np.linalg.norm(fit.vertices_mm - target, axis=1).mean() < 0.1


def test_coefficients_stay_within_three_standard_deviations(linear):
    target = linear.instance(np.array([6.0, 0, 0]))
    start = fit_by_correspondence(linear, target)
    fit = fit_to_surface(linear, Surface(target, linear.triangles), start)
    assert max(np.abs(start.b).max(), np.abs(fit.b).max()) <= 3.0 + 1e-9


def test_a_stiff_ridge_keeps_the_mean(linear):
    target = linear.instance(B)
    start = fit_by_correspondence(linear, target)
    fit = fit_to_surface(linear, Surface(target, linear.triangles), start, FitOptions(ridge_mm2=1e6))
    assert np.abs(fit.b).max() < 0.01
