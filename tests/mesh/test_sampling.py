import numpy as np

from lumbar_ext.mesh.sampling import farthest_points, spread_points


def test_farthest_points_of_a_line():
    points = np.zeros((5, 3))
    points[:, 0] = [0, 1, 2, 3, 10]
    np.testing.assert_array_equal(farthest_points(points, 3), [0, 4, 3])


def test_spread_points_leave_no_hole():
    points = np.random.default_rng(0).uniform(size=(2000, 3))
    chosen = points[spread_points(points, 50)]
    gaps = np.linalg.norm(chosen[:, None] - chosen[None], axis=-1) + 10 * np.eye(50)
    holes = np.linalg.norm(points[:, None] - chosen[None], axis=-1).min(axis=1)
    # Every point is closer to a chosen one than the chosen ones are to each other.
    assert holes.max() <= gaps.min()


def test_spread_points_begin_at_the_point_farthest_from_the_middle():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [7, 0, 0], [2, 0, 0]])
    np.testing.assert_array_equal(spread_points(points, 2), [2, 0])
    assert len(spread_points(points, 9)) == 4
