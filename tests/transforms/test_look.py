import numpy as np
import pytest
import trimesh

from lumbar_ext.drr import MeshProjector
from lumbar_ext.geometry import ConeBeam
from lumbar_ext.transforms.look import Crop, crop_around, group_of, group_pictures, look_planes, total_picture

BALL = trimesh.creation.icosphere(subdivisions=3, radius=20.0)
TRIANGLES = np.asarray(BALL.faces, np.int32)


def ball(z_mm):
    return np.asarray(BALL.vertices) + np.array([0.0, 0.0, z_mm])


@pytest.fixture(scope="module")
def camera():
    return ConeBeam([900, 0, 0], [-250, -213, 213], [0, 1, 0], [0, 0, -1], (0.834, 0.834), (512, 512))


def test_neighbours_are_drawn_apart():
    assert [group_of(level) for level in ("L1", "L2", "L3", "L4", "L5")] == [0, 1, 0, 1, 0]


def test_the_total_of_the_groups_is_the_picture_of_all(camera):
    """Overlapping balls: path lengths add up, so transmissions multiply."""
    projector = MeshProjector(camera)
    vertices = {"L1": ball(15), "L2": ball(-15)}
    groups = group_pictures(projector, vertices, TRIANGLES)
    together = group_pictures(projector, {"L1": ball(15), "L3": ball(-15)}, TRIANGLES)[0]
    np.testing.assert_allclose(total_picture(groups), together, atol=1e-5)
    assert groups.min() == 0 and groups[0].max() > 0.5 and groups[1].max() > 0.5


def test_a_crop_sees_what_the_whole_view_sees(camera):
    vertices = {"L1": ball(40), "L4": ball(-40)}
    crop = crop_around(camera, vertices.values())
    whole = group_pictures(MeshProjector(camera), vertices, TRIANGLES)
    part = group_pictures(MeshProjector(crop.camera(camera)), vertices, TRIANGLES)
    np.testing.assert_allclose(crop.put(part, (512, 512)), whole, atol=1e-4)  # depths are float32
    np.testing.assert_allclose(crop.cut(whole[0]), part[0], atol=1e-4)


def test_a_crop_grows_with_the_spine_in_steps_of_the_network(camera):
    small = crop_around(camera, [ball(0)])
    assert (small.rows, small.columns) == (352, 192)
    tall = crop_around(camera, [ball(160), ball(-160)])
    outline = camera.project(np.concatenate([ball(160), ball(-160)]))
    assert tall.rows % 16 == 0 and tall.rows > np.ptp(outline[:, 1]) + 30 and tall.columns == 192


def test_beyond_the_image_a_crop_is_dark_and_its_pictures_are_cut_off():
    image = np.arange(1.0, 101.0, dtype=np.float32).reshape(10, 10)
    crop = Crop(u0=-2, v0=7, columns=6, rows=6)
    part = crop.cut(image)
    np.testing.assert_array_equal(part[:3, 2:], image[7:, :4])
    assert (part[3:] == 1).all() and (part[:, :2] == 1).all()
    back = crop.put(part[None], (10, 10))[0]
    np.testing.assert_array_equal(back[7:, :4], image[7:, :4])
    assert back.sum() == image[7:, :4].sum()
    assert not crop.put(part, (5, 5)).any()  # lies beyond that image


def test_planes_are_radiograph_pictures_and_view():
    radiograph = np.linspace(500, 900, 64 * 32, dtype=np.float32).reshape(64, 32)
    groups = np.stack([np.full((64, 32), 0.3), np.full((64, 32), 0.6)]).astype(np.float32)
    planes = look_planes(radiograph, groups, "lat")
    assert planes.dtype == np.float32 and planes.shape == (4, 64, 32)
    low, high = np.percentile(planes[0], [1, 99])
    assert (low, high) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))
    np.testing.assert_array_equal(planes[1:3], groups)
    assert (planes[3] == 1).all() and (look_planes(radiograph, groups, "ap")[3] == 0).all()
