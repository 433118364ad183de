"""Studies that the network or the clock gets wrong, through the whole walk: an error, or an answer that says so."""

import json

import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import read_mesh


def test_a_view_in_which_nothing_is_seen_is_an_error(true_study, perfect_network, reconstruct, tmp_path):
    half_blind = perfect_network(true_study)
    picture, packed = half_blind.answers[1]
    half_blind.answers[1] = picture, torch.zeros_like(packed)
    with pytest.raises(InputError, match="no lumbar vertebra was found in both views"):
        reconstruct(true_study, tmp_path / "out", multitask_network=half_blind)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_time_limit_that_cuts_off_is_told_and_the_answer_stays_near_the_start(true_study, reconstruct, tmp_path):
    reconstruct(true_study, tmp_path, max_seconds=0.01)
    found = json.loads((tmp_path / "run.json").read_text())
    assert any("cut off by its time limit" in text for text in found["warnings"])
    for level, solid in zip(LEVELS, true_study.vertebrae, strict=True):
        offset = read_mesh(tmp_path / f"{level}.stl")[0].mean(0) - solid.vertices_mm.mean(0)
        assert np.linalg.norm(offset) < 10


def test_a_time_limit_of_nothing_is_refused(true_study, reconstruct, tmp_path):
    with pytest.raises(InputError, match="max_seconds: expected a number above 0"):
        reconstruct(true_study, tmp_path, max_seconds=0)
