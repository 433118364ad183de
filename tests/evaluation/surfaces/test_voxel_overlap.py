"""Solids on voxels against balls and boxes whose volumes are known."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.evaluation.surfaces.voxel_overlap import occupancy, voxel_scores
from lumbar_ext.mesh.surface import Surface


def surface(mesh):
    return Surface(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def test_a_box_fills_the_voxels_whose_centres_it_holds():
    box = surface(trimesh.creation.box(extents=(4.0, 6.0, 2.0)))
    solid = occupancy(box, np.array([-5.5, -5.5, -5.5]), (12, 12, 12))
    centres = np.stack(np.meshgrid(*[np.arange(12) - 5.5] * 3, indexing="ij"), -1)
    np.testing.assert_array_equal(solid, (np.abs(centres) < [2, 3, 1]).all(-1))


def test_a_ball_has_its_volume_and_a_ring_its_hole():
    ball = surface(trimesh.creation.icosphere(subdivisions=4, radius=15.0))
    solid = occupancy(ball, np.full(3, -20.3), (41, 41, 41))
    assert solid.sum() == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.01)
    torus = trimesh.creation.torus(major_radius=12.0, minor_radius=4.0)
    solid = occupancy(surface(torus), np.full(3, -20.3), (41, 41, 41))
    assert not solid[20, 20].any() and solid[32, 20, 20]
    assert solid.sum() == pytest.approx(torus.volume, rel=0.02)


def test_scores_of_equal_and_of_shifted_solids():
    ball = surface(trimesh.creation.icosphere(subdivisions=3, radius=15.0))
    same = voxel_scores(ball, ball)
    assert (same.dice, same.average_distance_mm, same.hausdorff95_mm, same.surface_dice) == (1, 0, 0, 1)
    moved = voxel_scores(ball.with_vertices(ball.vertices_mm + np.array([3.0, 0, 0])), ball)
    assert 0.8 < moved.dice < 0.9 and moved.hausdorff95_mm == pytest.approx(3, abs=0.3)
    assert 1 < moved.average_distance_mm < 2 and moved.surface_dice < 0.6
