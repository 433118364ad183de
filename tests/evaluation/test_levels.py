from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import LEVELS, SPINE_LEVELS, VIEWS
from lumbar_ext.evaluation.levels import (
    ALONE,
    TOGETHER,
    LevelOutcome,
    judged,
    levels_table,
    measure_assignment,
    measure_levels,
)
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.workflow.observe import see_views, to_network_grids

TRUE = np.array([70.0, 34.0, -2.0, -38.0, np.nan])


def test_a_name_is_right_where_its_own_vertebra_is_nearest_and_near():
    assert judged(TRUE, TRUE + 12) == ["right"] * 4 + [""]
    assert judged(TRUE, TRUE + 14) == ["wrong"] * 4 + [""]
    assert judged(TRUE, np.array([70, 50, np.nan, -2, np.nan])) == ["right", "wrong", "missed", "wrong", ""]


def test_a_vertebra_that_is_not_there_is_found_wrongly():
    assert judged(TRUE, np.array([np.nan, 34, -2, -38, -74])) == ["missed", "right", "right", "right", "wrong"]


def test_the_table_counts_vertebrae_and_studies():
    rows = [
        LevelOutcome("a", "s1", rule, "L1", kind, 0.9, rule == TOGETHER)
        for rule, kind in ((ALONE, "missed"), (TOGETHER, "wrong"))
    ]
    rows += [LevelOutcome("a", "s2", rule, "L1", "right", 0.9, False) for rule in (ALONE, TOGETHER)]
    rows += [LevelOutcome("a", "s2", rule, "L5", "", np.nan, False) for rule in (ALONE, TOGETHER)]
    alone, together = levels_table(rows).splitlines()[2:]
    assert alone == f"| a | 2 | 2 | {ALONE} | 1 | 0 | 1 | 1 |  |"
    assert together == f"| a | 2 | 2 | {TOGETHER} | 1 | 1 | 0 | 1 | 1 of 1 |"


def test_neighbours_that_are_named_too_do_not_shift_the_lumbar_levels():
    """T12 stands before L1 in the second generation's names; a sacrum at L5's height is no L5."""
    heights = dict(zip(SPINE_LEVELS, [106.0, 70.0, 34.0, -2.0, -38.0, np.nan, np.nan, -74.0], strict=True))
    pairs = tuple(
        None if np.isnan(height) else SimpleNamespace(point_mm=np.array([0, 0, height])) for height in heights.values()
    )
    levels = SimpleNamespace(
        best=SimpleNamespace(pairs=pairs), level_probability=np.linspace(0.1, 0.8, 8), warnings=("doubtful",)
    )
    outcomes = measure_assignment("a", "s", levels, np.array([70.0, 34.0, -2.0, -38.0, -74.0]), SPINE_LEVELS)
    assert [own.outcome for own in outcomes] == ["right"] * 4 + ["missed"]
    assert [own.probability for own in outcomes] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6]) and outcomes[0].warned


class FaintInOneView(torch.nn.Module):
    """Answers as a network that knows the study, but for a level that it hardly sees in the AP view."""

    def __init__(self, network, level, value):
        super().__init__()
        self.network, self.level, self.value = network, level, value

    def parameters(self, recurse=True):
        return self.network.parameters(recurse)

    def forward(self, image):
        packed = self.network(image).clone()
        if np.corrcoef(self.network.answers[0][0].ravel(), image.ravel())[0, 1] > 0.9:
            packed[:, LUMBAR_PACK["heatmap"].start + self.level] *= self.value
        return packed


def test_both_views_together_name_what_one_of_them_hardly_shows(true_study, perfect_network):
    paths = true_study.inputs("out")
    study = read_study(paths["ap_image"], paths["lat_image"], paths["calibration"])
    height_mm = true_study.landmarks_mm[:, :2, 2].mean(1)
    seen = see_views(FaintInOneView(perfect_network(true_study), 2, 0.1), to_network_grids(study))
    outcomes = measure_levels("own", "study", seen, height_mm)
    kinds = {rule: [own.outcome for own in outcomes if own.rule == rule] for rule in (ALONE, TOGETHER)}
    assert kinds == {ALONE: ["right", "right", "missed", "right", "right"], TOGETHER: ["right"] * 5}
    assert all(own.probability > 0.8 for own in outcomes if own.rule == TOGETHER)
    assert set(seen.views) == set(VIEWS) and [own.level for own in outcomes[:5]] == list(LEVELS)
