"""Regions of the mean vertebrae of the shipped shape model."""

from pathlib import Path

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.evaluation.surfaces.regions import REGIONS, vertex_regions
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel

MODEL = Path(__file__).parents[3] / "bundles" / "lumbar_reconstruction" / "models" / "model.pt"


@pytest.fixture(scope="module")
def model():
    return VertebraShapeModel.load(MODEL)


@pytest.mark.parametrize("level", range(5))
def test_landmarks_lie_in_the_regions_they_are_named_after(model, level):
    mean, landmarks = model.mean[level].numpy(), model.landmarks(model.mean[level]).numpy()
    regions = vertex_regions(mean, landmarks)
    for name, expected in (
        ("superior_endplate", "body"),
        ("inferior_endplate", "body"),
        ("left_transverse_process", "transverse processes"),
        ("right_transverse_process", "transverse processes"),
        ("left_pedicle", "pedicles"),
        ("spinous_process", "spinous process"),
    ):
        near = np.argsort(np.linalg.norm(mean - landmarks[LANDMARKS.index(name)], axis=1))[:20]
        assert (regions[near] == REGIONS.index(expected)).mean() > 0.9, name


def test_every_region_has_its_share_and_the_sides_are_equal(model):
    mean, landmarks = model.mean[2].numpy(), model.landmarks(model.mean[2]).numpy()
    regions = vertex_regions(mean, landmarks)
    shares = np.bincount(regions, minlength=len(REGIONS)) / len(regions)
    assert shares[0] == shares.max() and shares.min() > 0.03
    for region in range(len(REGIONS)):
        left = (mean[regions == region, 1] > 0).mean()
        assert left == pytest.approx(0.5, abs=0.1)
