"""What a pathology may be, and how often it is drawn."""

from collections import Counter

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.bones.pathology import KINDS, Pathology, sample_pathology
from lumbar_ext.simulation.ranges import PathologyParameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gout",), "pathology is 'gout'"),
        (("wedge", None, 0.3), "level of wedge"),
        (("fusion", "L5", 0.5), "level of fusion"),
        (("scoliosis", "L2", 20.0), "has no level"),
        (("slip", "L4", 0.6), "amount of slip"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Pathology(*arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_asked_for_is_drawn_within_its_range(kind):
    drawn = [sample_pathology(np.random.default_rng(seed), kind) for seed in range(20)]
    assert {pathology.kind for pathology in drawn} == {kind}
    if kind == "slip":
        assert all(0.05 <= pathology.amount <= 0.30 for pathology in drawn)
        assert {pathology.level for pathology in drawn} <= {"L2", "L3", "L4", "L5"}


def test_nobody_has_anything_by_default():
    assert sample_pathology(np.random.default_rng(0), "none") is None


def test_a_mixed_cohort_keeps_to_the_shares():
    parameters = PathologyParameters()
    drawn = [sample_pathology(np.random.default_rng(seed), "mixed", parameters) for seed in range(1500)]
    counts = Counter(pathology.kind if pathology else "none" for pathology in drawn)
    shares = {kind: getattr(parameters, f"{kind}_share") for kind in ("none", *KINDS)}
    assert sum(shares.values()) == pytest.approx(1.0)
    for kind, share in shares.items():
        assert counts[kind] / len(drawn) == pytest.approx(share, abs=4 * np.sqrt(share / len(drawn)))


def test_an_unknown_choice_is_refused():
    with pytest.raises(InputError, match="expected one of none, mixed, wedge"):
        sample_pathology(np.random.default_rng(0), "all")
