import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lumbar_ext.shape.correspondence.thin_plate import thin_plate_matrix


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    return rng.uniform(-40, 40, size=(200, 3)), rng.uniform(-30, 30, size=(40, 3))


def test_seeds_keep_their_values(clouds):
    _, seeds = clouds
    assert np.allclose(thin_plate_matrix(seeds, seeds), np.eye(40), atol=1e-9)


def test_affine_fields_are_reproduced(clouds):
    points, seeds = clouds
    matrix, shift = np.array([[1.1, 0.2, 0], [0, 0.9, 0.1], [0.3, 0, 1]]), np.array([1.0, -2, 3])
    assert np.allclose(thin_plate_matrix(points, seeds) @ (seeds @ matrix + shift), points @ matrix + shift)


def test_it_solves_the_equations_of_the_biharmonic_spline(clouds):
    """Radial weights that bend no affine field, plus an affine field, through the given values (Bookstein 1989)."""
    points, seeds = clouds
    values = np.random.default_rng(1).normal(size=(40, 3))
    affine = np.column_stack([np.ones(40), seeds])
    system = np.block([[cdist(seeds, seeds), affine], [affine.T, np.zeros((4, 4))]])
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros((4, 3))]))
    expected = np.column_stack([cdist(points, seeds), np.ones(200), points]) @ weights
    assert np.allclose(thin_plate_matrix(points, seeds) @ values, expected, atol=1e-8)


def test_seeds_in_a_plane_are_refused(clouds):
    points, seeds = clouds
    with pytest.raises(ValueError, match="span space"):
        thin_plate_matrix(points, seeds * [1, 1, 0])
