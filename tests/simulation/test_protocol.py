"""Cohort plans: which people, which poses, which names."""

import json
from collections import Counter

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.protocol import plan_studies
from lumbar_ext.simulation.simulated_study import simulate_study
from lumbar_ext.simulation.study_files import write_study
from lumbar_ext.simulation.study_spec import StudySpec


def test_a_person_is_seen_in_eighteen_poses():
    plans = plan_studies("poses18", 2, 7, "test")
    assert len(plans) == len({plan.name for plan in plans}) == len({plan.seed for plan in plans}) == 36
    assert Counter(plan.person_seed for plan in plans) == {7: 18, 8: 18}
    assert Counter(plan.direction for plan in plans if plan.person_seed == 8) == dict.fromkeys(
        ("flexion", "extension", "left_bend", "right_bend", "left_twist", "right_twist"), 3
    )
    assert plans[0].name == "test-000007-flexion-1"


def test_single_studies_take_everything_from_their_seed():
    (plan,) = plan_studies("single", 1, 5, "train")
    assert (plan.name, plan.seed, plan.person_seed, plan.direction) == ("train-000005", 5, None, None)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match="poses18"):
        plan_studies("twice", 1, 0, "train")


@pytest.fixture(scope="module")
def studies(population):
    return [
        simulate_study(population, StudySpec(seed, size_px=96, person_seed=3, direction=direction, level=2))
        for seed, direction in ((54, "flexion"), (55, "extension"))
    ]


def test_each_person_takes_the_next_posture_in_turn():
    plans, all_poses = plan_studies("poses_in_turn", 20, 7, "test"), plan_studies("poses18", 20, 7, "test")
    assert [plan.person_seed for plan in plans] == list(range(7, 27))
    assert len({(plan.direction, plan.level) for plan in plans[:18]}) == 18
    assert [(plan.direction, plan.level) for plan in plans[18:]] == [(plan.direction, plan.level) for plan in plans[:2]]
    assert set(plans) <= set(all_poses)


def test_one_person_keeps_its_anatomy_between_poses(studies):
    shapes = [
        [np.linalg.norm(points - points.mean(axis=0), axis=1) for points in study.truth.landmarks_mm]
        for study in studies
    ]
    assert np.allclose(*shapes, atol=1e-6)
    assert studies[0].truth.composition == studies[1].truth.composition
    assert studies[0].truth.posture.lordosis_deg < studies[1].truth.posture.lordosis_deg - 5


def test_the_person_is_named_in_meta(studies, tmp_path):
    write_study(studies[0], tmp_path / "study", meshes=False)
    meta = json.loads((tmp_path / "study" / "truth" / "meta.json").read_text())
    assert (meta["seed"], meta["person_seed"], meta["pathology"]) == (54, 3, None)
    assert meta["levels"] == ["L1", "L2", "L3", "L4", "L5"]
