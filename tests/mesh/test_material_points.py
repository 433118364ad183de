"""Weighted means of vertices."""

import numpy as np
import pytest

from lumbar_ext.mesh.material_points import MaterialPoints

CORNERS = MaterialPoints(np.array([[0, 1, 2], [3, 3, 0]]), np.array([[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]]))


def test_they_move_as_the_mesh_does():
    rng = np.random.default_rng(0)
    vertices, turn, shift = rng.normal(size=(4, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.normal(size=3)
    np.testing.assert_allclose(CORNERS.of(vertices @ turn.T + shift), CORNERS.of(vertices) @ turn.T + shift, atol=1e-12)
    np.testing.assert_allclose(CORNERS[1:].of(vertices), [0.75 * vertices[3] + 0.25 * vertices[0]])


def test_what_varies_linearly_at_the_vertices_does_so_at_the_points():
    modes, b = np.random.default_rng(1).normal(size=(5, 4, 3)), np.arange(5.0)
    of_sum = CORNERS.of(np.tensordot(b, modes, 1))
    np.testing.assert_allclose(np.tensordot(b, CORNERS.of(modes), 1), of_sum, atol=1e-12)


def test_each_vertex_needs_a_weight():
    with pytest.raises(ValueError, match="a weight for each vertex"):
        MaterialPoints(np.zeros((2, 3), dtype=int), np.ones((2, 2)))
