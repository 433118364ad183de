"""Whole studies: reproducible, and true to their own truth."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.drr import MU_BONE_800HU_PER_MM, path_length
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import SlotScan
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.simulated_study import refuse_no_picture, simulate_study
from lumbar_ext.simulation.study_spec import StudySpec

PLAIN = StudySpec(9, size_px=128, parameters=read_parameters("plain"))


@pytest.fixture(scope="module")
def study(population):
    return simulate_study(population, PLAIN)


def test_equal_seeds_give_equal_studies(population, study):
    again = simulate_study(population, PLAIN)
    for view in VIEWS:
        assert np.array_equal(again.pictures[view].pixels, study.pictures[view].pixels)
        assert np.array_equal(again.truth.decomposition[view], study.truth.decomposition[view])
    assert np.array_equal(again.truth.landmarks_mm, study.truth.landmarks_mm)


def test_other_seeds_and_splits_give_other_studies(population, study):
    for seed, split in ((6, "train"), (9, "validation")):
        other = simulate_study(population, StudySpec(seed, split, size_px=128))
        assert not np.array_equal(other.truth.landmarks_mm, study.truth.landmarks_mm)


def test_decomposition_is_the_drr_of_each_vertebra_added_up(study):
    for view in VIEWS:
        camera = study.truth.geometry[view]
        total = sum(path_length(v.vertices_mm, v.triangles, camera) for v in study.truth.vertebrae)
        assert np.allclose(study.truth.decomposition[view], 1 - np.exp(-MU_BONE_800HU_PER_MM * total), atol=1e-5)
        assert (study.truth.decomposition[view][total == 0] == 0).all()
        assert 0.5 < study.truth.decomposition[view].max() < 1


def test_landmarks_project_onto_the_decomposition(study):
    for view in VIEWS:
        uv = study.truth.geometry[view].project(study.truth.landmarks_mm[:, :2].mean(axis=1))
        assert ((uv > 0) & (uv < 127)).all()
        values = study.truth.decomposition[view][uv[:, 1].round().astype(int), uv[:, 0].round().astype(int)]
        assert (values > 0.3).all()


def test_pictures_show_the_bones(study):
    for view in VIEWS:
        pixels = study.pictures[view].pixels.astype(float)
        bone = study.truth.decomposition[view] > 0
        assert pixels[bone].mean() > np.percentile(pixels, 40)


def test_stated_calibration_is_exact_by_default(study):
    for view in VIEWS:
        assert np.array_equal(study.geometry[view].source_mm, study.truth.geometry[view].source_mm)


def test_an_unknown_split_is_refused(population):
    with pytest.raises(ValueError, match="split"):
        simulate_study(population, StudySpec(0, "holdout"))


@pytest.mark.parametrize("pixels", [np.full((4, 4), 7.0), np.full((4, 4), np.nan), np.diag([1.0, np.inf, 1.0])])
def test_what_is_no_picture_is_refused_by_name(pixels):
    with pytest.raises(InputError, match="train seed 3, ap"):
        refuse_no_picture(pixels, "train seed 3, ap: the picture")


def test_anchors_lie_where_their_bones_are(study):
    """T12 above L1, the sacral endplate below L5, its rim around its centre."""
    anchors, landmarks = study.truth.anchors_mm, study.truth.landmarks_mm
    centres = landmarks[:, :2].mean(axis=1)
    up = (centres[0] - centres[1]) / np.linalg.norm(centres[0] - centres[1])
    assert set(anchors) == {"T12", "S1"}
    assert 25 < (anchors["T12"]["centre"] - centres[0]) @ up < 45
    plate = {name.removeprefix("superior_"): point for name, point in anchors["S1"].items()}
    assert (landmarks[4, 1] - plate["centre"]) @ up > 0
    assert np.linalg.norm(plate["centre"] - landmarks[4, 1]) < 25
    forward, leftward = plate["anterior"] - plate["posterior"], plate["left"] - plate["right"]
    assert 25 < np.linalg.norm(forward) < 45 and 35 < np.linalg.norm(leftward) < 65
    assert abs(forward @ leftward) < 0.2 * np.linalg.norm(forward) * np.linalg.norm(leftward)
    assert np.linalg.norm((plate["left"] + plate["right"]) / 2 - plate["centre"]) < 6


def test_a_slot_scan_shows_the_same_person_row_by_row(population, study):
    scanned = simulate_study(population, replace(PLAIN, geometry="slot"))
    np.testing.assert_array_equal(scanned.truth.landmarks_mm, study.truth.landmarks_mm)
    assert scanned.truth.subject == study.truth.subject
    seen = {view: scanned.geometry[view].project(scanned.truth.landmarks_mm) for view in VIEWS}
    for view in VIEWS:
        camera = scanned.truth.geometry[view]
        assert isinstance(camera, SlotScan)
        assert (seen[view] > 0).all() and (seen[view] < np.array(camera.size_px) - 1).all()
        assert scanned.pictures[view].pixels.shape == camera.size_px[::-1]
        total = sum(path_length(v.vertices_mm, v.triangles, camera) for v in scanned.truth.vertebrae)
        assert np.allclose(scanned.truth.decomposition[view], 1 - np.exp(-MU_BONE_800HU_PER_MM * total), atol=1e-5)
    # One row of both films is at one height.
    np.testing.assert_allclose(seen["ap"][..., 1], seen["lat"][..., 1], atol=1e-6)


def test_an_unknown_geometry_is_refused():
    with pytest.raises(InputError, match="geometry must be one of cone, slot"):
        StudySpec(0, geometry="fan")
