"""Bending: signs, sizes and the ranges of motion."""

import numpy as np
import pytest

from lumbar_ext.simulation.posture.bending import DIRECTIONS, N_THORACIC_JOINTS, sample_bending
from lumbar_ext.simulation.ranges import PostureParameters

LUMBAR = slice(N_THORACIC_JOINTS, None)


def total_deg(direction, level=3):
    bending = sample_bending(np.random.default_rng(0), PostureParameters(), direction=direction, level=level)
    return np.degrees(bending.relative_rad[LUMBAR].sum(0))


@pytest.mark.parametrize(
    ("direction", "axis", "sign"),
    [
        ("flexion", 1, -1),
        ("extension", 1, 1),
        ("left_bend", 0, 1),
        ("right_bend", 0, -1),
        ("left_twist", 2, -1),
        ("right_twist", 2, 1),
    ],
)
def test_each_direction_turns_about_its_axis(direction, axis, sign):
    total = total_deg(direction)
    assert sign * total[axis] > 0
    assert np.abs(total).argmax() == axis


def test_excursions_grow_with_the_level():
    sizes = [np.abs(total_deg("flexion", level)[1]) for level in (1, 2, 3)]
    assert sizes[0] < sizes[1] < sizes[2] < 70


def test_bends_to_both_sides_mirror_each_other():
    assert np.allclose(total_deg("left_bend"), -total_deg("right_bend"))


def test_neutral_adds_nothing():
    bending = sample_bending(np.random.default_rng(0), PostureParameters(), direction="neutral")
    assert bending.level == 0
    assert not bending.relative_rad.any()


def test_all_directions_occur():
    rng = np.random.default_rng(0)
    assert {sample_bending(rng, PostureParameters()).direction for _ in range(200)} == set(DIRECTIONS)


@pytest.mark.parametrize(("direction", "level"), [("sideways", 1), ("flexion", 4), ("flexion", 0)])
def test_unknown_direction_or_level_is_refused(direction, level):
    with pytest.raises(ValueError, match="must be"):
        sample_bending(np.random.default_rng(0), PostureParameters(), direction=direction, level=level)
