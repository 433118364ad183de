import numpy as np
import pytest

from lumbar_ext.shape.correspondence.nonrigid import NonrigidRegistration, Stage, gaussian_kernel

STAGES = (
    Stage(30.0, 60, 12, 1.0, 6.0, 0.9),
    Stage(15.0, 200, 12, 0.7, 3.0, 0.95, 0.5),
    Stage(7.0, 600, 8, 0.4, 1.5, 0.98, 0.1),
)


@pytest.fixture(scope="module")
def registration(reference):
    return NonrigidRegistration(reference.surface, STAGES)


def bent(points_mm):
    """A smooth analytic deformation of up to about 6 mm: bending, widening, longer spinous process."""
    x, y, z = points_mm.T
    return np.stack([x + 0.03 * np.minimum(x + 20, 0), 1.06 * y, z + 0.0012 * x**2 + 2 * np.sin(y / 25)], axis=1)


def test_an_analytic_deformation_is_recovered(registration, reference, vertebra):
    target = vertebra.with_vertices(bent(vertebra.vertices_mm))
    result = registration.register(reference.surface.vertices_mm, target)
    assert result.mean_mm < 0.3
    assert result.n_self_intersections == 0
    # Correspondence, not only the surface: landmarks land where the deformation takes them.
    expected = bent(reference.landmarks_mm(reference.surface.vertices_mm))
    found = reference.landmarks_mm(result.vertices_mm)
    assert np.linalg.norm(found - expected, axis=1).max() < 3.0


def test_the_missing_part_of_a_cut_target_follows_smoothly(registration, reference, vertebra):
    is_cut = vertebra.vertices_mm[:, 1] > 36
    cut_off = vertebra.vertices_mm.copy()
    cut_off[is_cut, 1] = 36
    result = registration.register(reference.surface.vertices_mm, vertebra.with_vertices(cut_off), is_cut)
    tip = reference.landmarks_mm(result.vertices_mm)[2]
    assert tip[1] > 41
    assert result.n_self_intersections == 0


def test_registration_to_itself_stays(registration, reference):
    result = registration.register(reference.surface.vertices_mm, reference.surface)
    assert np.abs(result.vertices_mm - reference.surface.vertices_mm).max() < 0.05


def test_the_kernel_is_one_at_its_seeds():
    seeds = np.random.default_rng(0).normal(size=(5, 3)) * 10
    kernel = gaussian_kernel(seeds, seeds, 8.0)
    assert np.allclose(np.diag(kernel), 1)
    assert np.allclose(kernel[0, 1], np.exp(-((seeds[0] - seeds[1]) ** 2).sum() / 128))
