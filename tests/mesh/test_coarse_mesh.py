import numpy as np

from lumbar_ext.drr import path_length
from lumbar_ext.mesh.coarse_mesh import CoarseMesh


def coarse_mesh(shape, n_vertices):
    return CoarseMesh.of(shape.surface.mean_mm, shape.surface.triangles, n_vertices)


def test_every_group_has_members_and_is_a_small_patch(shapes):
    groups = coarse_mesh(shapes[0], 500).groups
    assert np.bincount(groups, minlength=500).min() >= 1
    assert max(np.ptp(shapes[0].surface.mean_mm[groups == g], axis=0).max() for g in range(500)) < 15


def test_coarse_mesh_is_closed(shapes):
    triangles = coarse_mesh(shapes[0], 700).triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    balance = np.zeros((700, 700), dtype=int)
    np.add.at(balance, tuple(edges.T), 1)
    np.testing.assert_array_equal(balance, balance.T)


def test_coarse_mesh_casts_nearly_the_same_shadow(shapes, geometry):
    surface = shapes[2].surface
    coarse = surface.reduced(coarse_mesh(shapes[2], 1000))
    b = np.random.default_rng(0).normal(size=8)
    full = path_length(surface.instance(b), surface.triangles, geometry.ap)
    reduced = path_length(coarse.instance(b), coarse.triangles, geometry.ap)
    assert coarse.mean_mm.shape == (1000, 3)
    assert np.abs(full - reduced)[full > 0].mean() < 0.04 * full[full > 0].mean()
    assert (reduced[:150] == 0).all() and reduced.min() > -1e-3


def test_modes_are_reduced_like_the_mean(shapes):
    coarse = coarse_mesh(shapes[0], 800)
    b = np.linspace(-1, 1, 8)
    members = shapes[0].surface.instance(b)[coarse.groups == 17]
    np.testing.assert_allclose(shapes[0].surface.reduced(coarse).instance(b)[17], members.mean(0), atol=1e-4)


def test_a_mesh_that_is_small_enough_keeps_its_triangles(shapes):
    assert len(coarse_mesh(shapes[0], 10_000).triangles) == len(shapes[0].surface.triangles)
