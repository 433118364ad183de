import numpy as np

from lumbar_ext.shape.correspondence.matching import Matcher, Matches, trim


def test_the_far_side_of_a_thin_plate_is_not_matched():
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0), indexing="ij"), axis=-1).reshape(-1, 2)
    top = np.column_stack([grid, np.full(len(grid), 2.0)])
    bottom = np.column_stack([grid, np.zeros(len(grid))])
    normals = np.repeat([[0, 0, 1.0], [0, 0, -1.0]], len(grid), axis=0)
    matcher = Matcher(np.concatenate([top, bottom]), normals, normal_weight_mm=6.0)
    matches = matcher.query(np.array([[9.2, 9.1, 0.4]]), np.array([[0, 0, 1.0]]))
    assert matcher.points_mm[matches.index[0], 2] == 2.0
    assert matches.is_valid[0]


def test_matches_on_cut_areas_are_invalid():
    points = np.array([[0, 0, 0.0], [10, 0, 0]])
    normals = np.array([[0, 0, 1.0], [0, 0, 1]])
    matcher = Matcher(points, normals, 5.0, is_cut=np.array([False, True]))
    assert matcher.query(points + 0.1, normals).is_valid.tolist() == [True, False]


def test_trimming_drops_the_most_distant_valid_matches():
    matches = Matches(np.zeros(5, int), np.array([1.0, 2, 3, 4, 100]), np.array([True, True, True, True, False]))
    assert trim(matches, 0.75).tolist() == [True, True, True, False, False]
