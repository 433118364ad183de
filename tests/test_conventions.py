"""Every statement of docs/conventions.md that can be executed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.drr import MU_BONE_800HU_PER_MM, drr_from_path_length, path_length
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam, RigidTransform, SlotScan
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh, write_stl
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.radiographs.nifti import read_nifti_image, write_nifti_image
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.shape.model.frame import world_from_vertebra
from lumbar_ext.transforms.canonical import NETWORK_SIZE_PX, NETWORK_SPACING_MM, to_network_grid
from lumbar_ext.transforms.spine_crop import CROP_SIZE_PX

PAGE = (Path(__file__).parents[1] / "docs" / "conventions.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(block) for block in re.findall(r"``json\n(.*?)``", PAGE, re.DOTALL)]
FRONT, LEFT, UP = np.eye(3)


@pytest.fixture
def geometry(tmp_path) -> BiplanarGeometry:
    """The calibration example of the page."""
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(EXAMPLES[0]))
    return read_calibration(path)


def test_levels_landmarks_and_views_are_in_the_order_of_the_page():
    assert " ".join(LEVELS) in PAGE
    places = [PAGE.index(f"`{name}`") for name in LANDMARKS]
    assert places == sorted(places)
    assert VIEWS == ("ap", "lat")


def test_transforms_read_as_names_that_cancel():
    world_from_a = RigidTransform.from_pose(np.array([1, 2, 3, 0.1, 0.2, 0.3]))
    a_from_b = RigidTransform.from_pose(np.array([-4, 5, 6, -0.3, 0.1, 0.7]))
    point = np.array([7.0, 8.0, 9.0])
    np.testing.assert_allclose((world_from_a @ a_from_b).apply(point), world_from_a.apply(a_from_b.apply(point)))


def test_world_is_right_handed():
    np.testing.assert_array_equal(np.cross(FRONT, LEFT), UP)


def test_vertebra_frame_from_its_landmarks():
    landmarks = np.zeros((7, 3))
    landmarks[0], landmarks[1] = [1, 0, 14], [-1, 0, -14]
    landmarks[4], landmarks[5] = [-20, 15, 8], [-22, -15, 5]
    shifted = landmarks + np.array([100, 50, 20])
    pose = world_from_vertebra(shifted)
    own = pose.inverse().apply(shifted)
    np.testing.assert_allclose(own[0] + own[1], 0, atol=1e-9)
    np.testing.assert_allclose(own[0] / np.linalg.norm(own[0]), UP, atol=1e-9)
    leftward = own[4] - own[5]
    assert leftward[1] > 0 and leftward[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(pose.rotation[:, 0], np.cross(pose.rotation[:, 1], pose.rotation[:, 2]), atol=1e-9)


def test_pose_parameters_and_their_signs():
    pose = np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
    lateral, flexion, axial = (
        RigidTransform.from_pose(np.where(np.arange(6) == i, pose, 0)).rotation for i in (3, 4, 5)
    )
    transform = RigidTransform.from_pose(pose)
    np.testing.assert_allclose(transform.rotation, axial @ flexion @ lateral, atol=1e-12)
    point = np.array([5.0, -6.0, 7.0])
    np.testing.assert_allclose(transform.apply(point), transform.rotation @ point + pose[:3])
    assert (lateral @ LEFT) @ UP > 0 and (flexion @ UP) @ FRONT > 0 and (axial @ FRONT) @ LEFT > 0


def test_bounds_of_registration():
    np.testing.assert_allclose(Bounds().limits(1), [10, 10, 10, *np.radians([15, 15, 30]), 3])


def test_image_axes_and_pixel_rule(geometry):
    for camera in (geometry.ap, geometry.lat):
        du, dv = camera.pixel_spacing_mm
        np.testing.assert_allclose(camera.project(camera.detector_origin_mm), [0, 0], atol=1e-9)
        point = camera.detector_origin_mm + 7 * du * camera.u_axis + 5 * dv * camera.v_axis
        np.testing.assert_allclose(camera.detector_point([7, 5]), point)
        np.testing.assert_allclose(camera.project((point + camera.source_mm) / 2), [7, 5], atol=1e-9)


def test_shape_of_an_image_is_rows_by_columns():
    camera = ConeBeam([1000, 0, 0], [-200, -50, 40], [0, 1, 0], [0, 0, -1], (1, 1), (101, 81))
    cube = trimesh.creation.box((10, 10, 10))
    image = path_length(cube.vertices + np.array([0, 30, -20]), np.asarray(cube.faces, dtype=np.int32), camera)
    assert image.shape == (81, 101) == camera.size_px[::-1]
    u, v = np.rint(camera.project([0, 30, -20])).astype(int)
    assert image[v, u] > 9 and image[u % 81, v] == 0


def test_projection_matrix_is_that_of_opencv(geometry):
    points = np.random.default_rng(0).uniform(-80, 80, (10, 3))
    for camera in (geometry.ap, geometry.lat, geometry.lat.flipped_u()):
        u, v, w = camera.projection_matrix() @ np.c_[points, np.ones(10)].T
        np.testing.assert_allclose(np.c_[u, v] / w[:, None], camera.project(points), atol=1e-7)
        assert (w > 800).all()


def test_cameras_of_mirrored_and_turned_images(geometry):
    camera = geometry.ap.resampled(size_px=(120, 90), pixel_spacing_mm=(3.5, 4.0))
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=50)
    vertices, triangles = (
        np.asarray(mesh.vertices) * [1, 0.6, 1.2] + [9, 20, 30],
        np.asarray(mesh.faces, dtype=np.int32),
    )
    image = path_length(vertices, triangles, camera)
    pairs = ((camera.flipped_u(), image[:, ::-1]), (camera.flipped_v(), image[::-1]), (camera.transposed(), image.T))
    for laid, expected in pairs:
        np.testing.assert_allclose(path_length(vertices, triangles, laid), expected, atol=5e-3)


def test_decomposition_formula():
    assert pytest.approx(0.04086) == MU_BONE_800HU_PER_MM == 0.0227 * 1.8
    lengths = np.array([0.0, 10.0, 300.0])
    np.testing.assert_allclose(drr_from_path_length(lengths), 1 - np.exp(-0.04086 * lengths), rtol=1e-12)


@pytest.mark.parametrize("view", VIEWS)
def test_network_grid_and_orientation(geometry, view):
    stored = geometry[view].resampled(size_px=(400, 500), pixel_spacing_mm=(1, 1)).transposed().flipped_u()
    canonical = to_network_grid(np.zeros(stored.size_px[::-1], dtype=np.float32), stored, view)
    camera = canonical.camera
    assert (CROP_SIZE_PX, NETWORK_SIZE_PX, NETWORK_SPACING_MM) == ((384, 256), 512, 0.834)
    assert camera.size_px == (512, 512) and camera.pixel_spacing_mm == (0.834, 0.834)
    np.testing.assert_allclose(camera.u_axis, {"ap": LEFT, "lat": -FRONT}[view], atol=1e-9)
    np.testing.assert_allclose(camera.v_axis, -UP, atol=1e-9)
    assert not canonical.swap_left_right


def test_left_and_right_are_exchanged_when_the_lateral_source_is_on_the_right(geometry):
    mirror = np.array([1, -1, 1])
    camera = geometry.lat.replace(
        source_mm=geometry.lat.source_mm * mirror, detector_origin_mm=geometry.lat.detector_origin_mm * mirror
    ).resampled(size_px=(300, 300), pixel_spacing_mm=(1.4, 1.4))
    assert to_network_grid(np.zeros((300, 300), dtype=np.float32), camera, "lat").swap_left_right
    point = np.array([10.0, 30.0, -20.0])
    np.testing.assert_allclose(
        camera.project(point),
        geometry.lat.resampled(size_px=(300, 300), pixel_spacing_mm=(1.4, 1.4)).project(point * mirror),
    )


def test_packed_network_output():
    maps = SPINE_PACK.unpack(torch.zeros(2, 111, 48, 32))
    assert maps.decomposition.shape == (2, 1, 384, 256)
    assert (SPINE_PACK.px_from_cells(0.0), SPINE_PACK.px_from_cells(3.0)) == (3.5, 27.5)


def test_packed_output_of_the_first_generation():
    maps = LUMBAR_PACK.unpack(torch.zeros(2, 37, 32, 24))
    shapes = [tuple(part.shape) for part in maps]
    assert shapes == [(2, 1, 128, 96), (2, 5, 32, 24), (2, 2, 32, 24), (2, 14, 32, 24)]
    assert (LUMBAR_PACK.px_from_cells(0.0), LUMBAR_PACK.px_from_cells(3.0)) == (1.5, 13.5)


def test_triangles_are_counter_clockwise_seen_from_outside(geometry, tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=2, radius=30)
    vertices, triangles = np.asarray(ball.vertices), np.asarray(ball.faces, dtype=np.int32)
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a) * a).sum(-1).min() > 0
    camera = geometry.ap.resampled(size_px=(64, 64), pixel_spacing_mm=(5, 5))
    assert path_length(vertices, triangles, camera).max() > 55
    write_stl(tmp_path / "ball.stl", vertices, triangles)
    again, same_triangles = read_mesh(tmp_path / "ball.stl")
    np.testing.assert_allclose(again[same_triangles], vertices[triangles], atol=1e-4)


def test_examples_of_the_page_are_read(geometry, tmp_path):
    assert geometry.angle_deg == pytest.approx(90, abs=0.1)
    path = tmp_path / "landmarks.json"
    path.write_text(json.dumps(EXAMPLES[2]))
    landmarks = read_landmarks(path)
    np.testing.assert_allclose(landmarks.positions_mm[2, 6], [-55.2, 1.3, -12.0])
    assert np.isnan(landmarks.positions_mm[0]).all() and landmarks.confidence["lat"][2, 6] == 0.88


def test_the_page_s_slot_scanner_magnifies_widths_about_its_isocentre_and_no_heights(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(EXAMPLES[1]))
    read = read_calibration(path)
    assert isinstance(read.ap, SlotScan) and isinstance(read.lat, SlotScan)
    for camera, aside, behind, source_mm in ((read.ap, LEFT, -FRONT, 987), (read.lat, -FRONT, -LEFT, 918)):
        for depth_mm in (-150, 0, 150):
            here = camera.project(depth_mm * behind + np.stack([0 * UP, aside, -UP])) * 0.1794
            wider = source_mm / (source_mm + depth_mm)
            np.testing.assert_allclose(here[1:] - here[0], [[wider, 0], [0, 1]], atol=1e-9)
        np.testing.assert_allclose(camera.project(900 * UP)[1], 0, atol=1e-9)
        # The row is exposed from where the page says, by rays across the scan.
        rays = camera.backproject([[10, 0], [10, 4000]])
        np.testing.assert_allclose(rays.origin_mm[1], camera.source_mm + 4000 * 0.1794 * camera.v_axis)
        np.testing.assert_allclose(rays.directions @ camera.v_axis, 0, atol=1e-12)
        seen = to_network_grid(np.zeros(camera.size_px[::-1]), camera, "ap" if camera is read.ap else "lat", size_px=32)
        np.testing.assert_allclose(seen.camera.pixel_spacing_mm, 0.834 / 1.3)


def test_view_given_by_its_projection_matrix(geometry, tmp_path):
    document = json.loads(json.dumps(EXAMPLES[0]))
    matrix = geometry.lat.projection_matrix()
    view = {"projection_matrix": matrix.tolist(), "size_px": [3072, 3072], "pixel_spacing_mm": [0.139, 0.139]}
    document["views"]["lat"] = view
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(document))
    read = read_calibration(path).lat
    np.testing.assert_allclose(read.source_mm, geometry.lat.source_mm, atol=1e-6)
    np.testing.assert_allclose(read.detector_origin_mm, geometry.lat.detector_origin_mm, atol=1e-6)


def test_nifti_planes_are_stored_u_first(tmp_path):
    import nibabel

    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_nifti_image(tmp_path / "image.nii.gz", image, (0.5, 0.7))
    stored = nibabel.load(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(np.asarray(stored.dataobj)[..., 0], image.T)
    assert stored.header.get_zooms()[:2] == pytest.approx((0.5, 0.7))
    np.testing.assert_array_equal(read_nifti_image(tmp_path / "image.nii.gz")[0], image)
