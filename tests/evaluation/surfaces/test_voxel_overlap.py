"""Scores of solids on voxels: equal ones, and a ball shifted by a known length."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.evaluation.surfaces.voxel_overlap import voxel_scores
from lumbar_ext.mesh.surface import Surface


def surface(mesh):
    return Surface(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def test_scores_of_equal_and_of_shifted_solids():
    ball = surface(trimesh.creation.icosphere(subdivisions=3, radius=15.0))
    same = voxel_scores(ball, ball)
    assert (same.dice, same.average_distance_mm, same.hausdorff95_mm, same.surface_dice) == (1, 0, 0, 1)
    moved = voxel_scores(ball.with_vertices(ball.vertices_mm + np.array([3.0, 0, 0])), ball)
    assert 0.8 < moved.dice < 0.9 and moved.hausdorff95_mm == pytest.approx(3, abs=0.3)
    assert 1 < moved.average_distance_mm < 2 and moved.surface_dice < 0.6
