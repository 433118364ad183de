"""Means over the area of pixels, against many rays a pixel and finite differences."""

from itertools import pairwise

import numpy as np
import pytest
import trimesh

from lumbar_ext.drr import MeshProjector
from lumbar_ext.drr.coverage import accumulate_piece_gradient, cover_pixels

BALL = trimesh.creation.icosphere(subdivisions=3)
TRIANGLES = np.asarray(BALL.faces, dtype=np.int32)
BUMPS = 1 + 0.2 * np.sin(5 * np.asarray(BALL.vertices) @ np.array([1.0, -2.0, 0.7]))
MESH = np.asarray(BALL.vertices) * BUMPS[:, None] * [9.0, 12.0, 7.0]
NAMES = ("ap", "lat", "ap flipped", "ap transposed", "slot")


def small(camera, spacing_mm=1.7, size_px=(28, 24)):
    """A part of a view around the middle, with large pixels."""
    return camera.resampled(
        size_px=size_px, pixel_spacing_mm=(spacing_mm, spacing_mm), centre_uv_px=camera.project(np.zeros(3))
    )


def covered(vertices_mm, camera, triangles=TRIANGLES):
    """Mean path lengths [rows, columns] mm."""
    projector = MeshProjector(camera)
    depth = np.zeros(camera.size_px[::-1])
    orientation = float(np.sign(camera.source_distance_mm))
    pieces = cover_pixels(projector.project_with_inverse_depth(vertices_mm), triangles, orientation, 0, 0, depth)
    return depth * projector.ray_length_mm, pieces


def mean_of_rays(vertices_mm, camera, n=16):
    """The same from n x n rays a pixel."""
    fine = camera.resampled(
        size_px=tuple(n * size for size in camera.size_px),
        pixel_spacing_mm=tuple(spacing / n for spacing in camera.pixel_spacing_mm),
        centre_uv_px=(np.array(camera.size_px) - 1) / 2,
    )
    rays = MeshProjector(fine).path_length(vertices_mm, TRIANGLES)
    columns, rows = camera.size_px
    return rays.reshape(rows, n, columns, n).mean((1, 3))


@pytest.mark.parametrize("name", NAMES)
def test_means_are_those_of_many_rays(cameras, name):
    camera = small(cameras[name])
    found, expected = covered(MESH, camera)[0], mean_of_rays(MESH, camera)
    assert expected.max() > 12
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert abs((found - expected).mean()) < 1e-3


def test_nothing_is_left_outside_the_silhouette(cameras):
    camera = small(cameras["ap"])
    found = covered(MESH, camera)[0]
    assert np.abs(found[mean_of_rays(MESH, camera, 48) == 0]).max() < 0.01
    far = np.abs(covered(MESH + np.array([0, 0, 3.0]), camera)[0][-4:])
    assert far.max() < 1e-9


def test_a_pixel_sees_the_same_in_a_smaller_image(cameras):
    """Triangles are cut at the borders of the image as well."""
    camera = small(cameras["lat"], 0.9, (30, 30))
    part = camera.resampled(size_px=(11, 9), pixel_spacing_mm=(0.9, 0.9), centre_uv_px=np.array([13.0, 17.0]))
    np.testing.assert_allclose(covered(MESH, part)[0], covered(MESH, camera)[0][13:22, 8:19], atol=1e-4)


def test_pieces_of_a_triangle_make_its_area(cameras):
    camera = small(cameras["ap"], 0.8, (60, 60))
    uv = MeshProjector(camera).project_with_inverse_depth(MESH)[:, :2][TRIANGLES]
    expected = 0.5 * np.abs(np.cross(uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]))
    first, _, areas, _ = covered(MESH, camera)[1]
    found = np.array([areas[a:b].sum() for a, b in pairwise(first)])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_finite_differences_at_silhouettes_too(cameras, name):
    camera, rng = small(cameras[name]), np.random.default_rng(0)
    weights = rng.normal(0, 1, camera.size_px[::-1]).astype(np.float32)
    projector = MeshProjector(camera)
    pieces, gradient = covered(MESH, camera)[1], np.zeros_like(MESH)
    accumulate_piece_gradient(
        projector.project_with_inverse_depth(MESH),
        MESH,
        camera.source_mm,
        camera.source_step_mm,
        TRIANGLES,
        *pieces,
        weights * projector.ray_length_mm,
        gradient,
    )
    # Of a slot scan, whose edges are taken for straight, a sum may lack a thousandth of what its parts add up to.
    slack = 1e-3 * np.linalg.norm(gradient) if name == "slot" else 0.0
    for _ in range(4):
        motion = rng.normal(0, 1, MESH.shape)
        sides = [(weights * covered(MESH + s * motion, camera)[0]).sum() for s in (1e-3, -1e-3)]
        assert (gradient * motion).sum() == pytest.approx((sides[0] - sides[1]) / 2e-3, rel=0.01, abs=slack)


def test_a_moving_mesh_changes_its_picture_smoothly(cameras):
    """What single rays do not: the loss of a search over them has a minimum every few hundredths of a millimetre."""
    camera = small(cameras["ap"])
    target = covered(MESH + np.array([0.0, 0.8, 0.5]), camera)[0]
    places = [MESH + np.array([0.0, y, 0.3 * y]) for y in np.arange(0, 0.5, 0.02)]

    def roughness(lengths):
        losses = [np.square(own - target).sum() for own in lengths]
        return np.abs(np.diff(losses, 2)).max() / np.abs(np.diff(losses)).mean()

    rays, areas = (
        roughness([render(own) for own in places])
        for render in (
            lambda own: MeshProjector(camera).path_length(own, TRIANGLES),
            lambda own: covered(own, camera)[0],
        )
    )
    assert areas < 0.1 and areas < 0.2 * rays
