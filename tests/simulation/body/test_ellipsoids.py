"""Ellipsoid path lengths against spheres in closed form and against rendered meshes."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.drr import path_length
from lumbar_ext.geometry import ConeBeam, RigidTransform, SlotScan, euler_rotation
from lumbar_ext.simulation.body.ellipsoids import Ellipsoids, carved_path_length, weighted_path_length


@pytest.fixture(params=[ConeBeam, SlotScan])
def camera(request):
    return request.param([900.0, 0, 0], [-300.0, -95, 95], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (96, 96))


def one(centre, radii, rotation=None, contrast=1.0):
    axes = np.diag(radii).astype(float) if rotation is None else np.diag(radii) @ rotation.T
    return Ellipsoids(np.array([centre], float), axes[None], np.array([contrast]))


def test_a_sphere_has_its_chords_and_the_longest_is_its_diameter(camera):
    image = weighted_path_length(one([0, 0, 0], [25, 25, 25]), camera)
    rays = camera.backproject(np.stack(np.meshgrid(np.arange(96), np.arange(96)), axis=-1))
    along = (rays.directions * rays.origin_mm).sum(-1)
    squared = np.square(rays.origin_mm).sum(-1) - along**2
    assert np.allclose(image, 2 * np.sqrt(np.clip(25**2 - squared, 0, None)), atol=0.01)
    # The nearest rays of a slot scan pass 1.3 mm beside the centre, those of the cone beam 1.1 mm.
    assert np.isclose(image.max(), 50.0, atol=0.07)


def test_an_oblique_ellipsoid_equals_its_rendered_mesh(camera):
    rotation, centre = euler_rotation(0.4, -0.7, 1.1), np.array([20.0, -15, 10])
    image = weighted_path_length(one(centre, [40, 18, 9], rotation), camera)
    mesh = trimesh.creation.icosphere(subdivisions=5)
    rendered = path_length((mesh.vertices * [40, 18, 9]) @ rotation.T + centre, mesh.faces.astype(np.int32), camera)
    assert np.abs(image - rendered).max() < 1.0
    assert np.isclose(image.sum(), rendered.sum(), rtol=2e-3)


def test_contrasts_weigh_and_overlaps_add(camera):
    pair = Ellipsoids.concatenated([one([0, 0, 0], [9, 9, 9], contrast=2.0), one([0, 0, 0], [9, 9, 9], contrast=-0.5)])
    whole = weighted_path_length(one([0, 0, 0], [9, 9, 9]), camera)
    assert np.allclose(weighted_path_length(pair, camera), 1.5 * whole, atol=1e-4)


def test_carving_removes_the_common_part_only(camera):
    ball, hole = one([0, 0, 0], [30, 30, 30]), one([0, 0, 0], [12, 12, 12])
    carved = carved_path_length(ball, hole, camera)
    expected = weighted_path_length(ball, camera) - weighted_path_length(hole, camera)
    assert np.allclose(carved, expected, atol=1e-3)
    apart = carved_path_length(ball, one([0, 100, 0], [12, 12, 12]), camera)
    assert np.array_equal(apart, weighted_path_length(ball, camera))


def test_moving_ellipsoids_and_camera_together_changes_nothing(camera):
    move = RigidTransform.from_euler(0.2, 0.3, -0.4, np.array([5.0, -7, 3]))
    turned = type(camera)(
        move.apply(camera.source_mm),
        move.apply(camera.detector_origin_mm),
        move.rotation @ camera.u_axis,
        move.rotation @ camera.v_axis,
        camera.pixel_spacing_mm,
        camera.size_px,
    )
    body = one([10, 5, -5], [30, 12, 20])
    assert np.allclose(weighted_path_length(body, camera), weighted_path_length(body.moved(move), turned), atol=1e-3)


def test_no_ellipsoid_gives_zero(camera):
    nothing = Ellipsoids(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0))
    assert not weighted_path_length(nothing, camera).any()
