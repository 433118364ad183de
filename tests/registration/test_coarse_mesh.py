import numpy as np

from lumbar_ext.drr import path_length
from lumbar_ext.registration.coarse_mesh import reduce_shapes, surface_groups


def test_groups_cover_every_vertex_and_are_connected_patches(shapes):
    groups = surface_groups(shapes[0].mean_mm, shapes[0].triangles, 500)
    assert np.bincount(groups, minlength=500).min() >= 1
    size = [np.ptp(shapes[0].mean_mm[groups == g], axis=0).max() for g in range(500)]
    assert max(size) < 15


def test_coarse_mesh_casts_nearly_the_same_shadow_and_nothing_outside(shapes, geometry):
    coarse = reduce_shapes(shapes, 1000)[2]
    b = np.random.default_rng(0).normal(size=8)
    full = path_length(shapes[2].instance(b), shapes[2].triangles, geometry.ap)
    reduced = path_length(coarse.instance(b), coarse.triangles, geometry.ap)
    assert len(coarse.mean_mm) == 1000
    assert np.abs(full - reduced)[full > 0].mean() < 0.04 * full[full > 0].mean()
    assert (reduced[:150] == 0).all() and reduced.min() > -1e-3


def test_modes_are_reduced_like_the_mean(shapes):
    coarse = reduce_shapes(shapes[:1], 800)[0]
    groups = surface_groups(shapes[0].mean_mm, shapes[0].triangles, 800)
    b = np.linspace(-1, 1, 8)
    members = shapes[0].instance(b)[groups == 17]
    np.testing.assert_allclose(coarse.instance(b)[17], members.mean(0), atol=1e-4)


def test_a_mesh_that_is_small_enough_stays(shapes):
    assert reduce_shapes(shapes, 10_000) is shapes
