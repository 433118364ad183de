"""Axes of other programs against what their letters say."""

import numpy as np
import pytest

from lumbar_ext.geometry.axes import GLTF_FROM_WORLD, LPS_FROM_WORLD, RAS_FROM_WORLD, lps_from_world, world_from_lps

FRONT, LEFT, UP = np.eye(3)


@pytest.mark.parametrize(
    ("axes", "along"),
    [(LPS_FROM_WORLD, (LEFT, -FRONT, UP)), (RAS_FROM_WORLD, (-LEFT, FRONT, UP)), (GLTF_FROM_WORLD, (LEFT, UP, FRONT))],
)
def test_each_axis_points_where_its_letter_says(axes, along):
    np.testing.assert_array_equal(axes @ np.stack(along, axis=1), np.eye(3))
    assert np.linalg.det(axes) == pytest.approx(1)


def test_there_and_back():
    points = np.random.default_rng(0).normal(size=(4, 7, 3))
    np.testing.assert_array_equal(world_from_lps(lps_from_world(points)), points)
