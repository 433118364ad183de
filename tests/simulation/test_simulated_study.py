"""Whole studies: reproducible, and true to their own truth."""

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.drr import MU_BONE_800HU_PER_MM, path_length
from lumbar_ext.simulation.simulated_study import simulate_study


@pytest.fixture(scope="module")
def study(population):
    return simulate_study(population, 5, size_px=128)


def test_equal_seeds_give_equal_studies(population, study):
    again = simulate_study(population, 5, size_px=128)
    for view in VIEWS:
        assert np.array_equal(again.pictures[view].pixels, study.pictures[view].pixels)
        assert np.array_equal(again.truth.decomposition[view], study.truth.decomposition[view])
    assert np.array_equal(again.truth.landmarks_mm, study.truth.landmarks_mm)


def test_other_seeds_and_splits_give_other_studies(population, study):
    for seed, split in ((6, "train"), (5, "validation")):
        other = simulate_study(population, seed, split, size_px=128)
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
        simulate_study(population, 0, "holdout")
