"""Grades follow the worst sign."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.landmarks.triangulated import Landmarks3D
from lumbar_ext.measurements.uncertainty.grade import (
    CHECK,
    FAILED,
    Grade,
    bound_hits,
    graded,
    missing_quality,
    vertebra_quality,
    without_impossible,
)
from lumbar_ext.measurements.values.definitions import DEFINITIONS, subject_name
from lumbar_ext.measurements.values.reference_ranges import possible_range, reference_range
from lumbar_ext.registration.parameters import Bounds
from tests.measurements.registered_fixture import registration

FINE = (0.01, 0.5, 0, 0.3)


@pytest.mark.parametrize("sign", range(4))
def test_each_sign_can_lower_the_grade(sign):
    assert graded(*FINE).grade is Grade.GOOD
    limits = [(CHECK, Grade.CHECK), (FAILED, Grade.FAILED)]
    for limit, grade in limits:
        signs = list(FINE)
        signs[sign] = (limit.residual, limit.gap_mm, limit.bound_hits, limit.vertex_sd_mm)[sign]
        quality = graded(*signs)
        assert quality.grade is grade
        assert len(quality.reasons) == 1


@pytest.mark.parametrize(
    ("signs", "grade"),
    [
        ((0.055, 3.4, 1, 3.8), Grade.GOOD),
        ((0.065, 0.5, 0, 0.3), Grade.CHECK),
        ((0.01, 3.6, 0, 0.3), Grade.CHECK),
        ((0.01, 0.5, 2, 0.3), Grade.CHECK),
        ((0.15, 11.9, 7, 7.9), Grade.CHECK),
        ((0.01, 12.1, 0, 0.3), Grade.FAILED),
        ((0.01, 0.5, 8, 0.3), Grade.FAILED),
        ((0.17, 0.5, 0, 0.3), Grade.FAILED),
    ],
)
def test_the_limits_are_those_of_the_documentation(signs, grade):
    """`measurements.md`: residual 0.06, 0.16; gap 3.5, 12 mm; 2, 8 parameters at bounds; uncertainty 4, 8 mm."""
    assert graded(*signs).grade is grade


def test_unknown_signs_do_not_count():
    assert graded(None, None, 0, None).grade is Grade.GOOD
    assert graded(np.nan, np.nan, 0, np.nan).grade is Grade.GOOD


def test_a_missing_vertebra_has_failed():
    quality = missing_quality("not found in both views")
    assert (quality.grade, quality.reasons) == (Grade.FAILED, ("not found in both views",))


def test_bounds_are_counted_where_parameters_stand_on_them():
    fit = registration().vertebrae["L3"]
    assert bound_hits(fit, Bounds()) == 0
    at_bounds = replace(fit, pose=np.array([10.0, 0, -10.0, 0, 0, 0]), coefficients=np.array([3.0, 2.9]))
    assert bound_hits(at_bounds, Bounds()) == 3


def test_the_signs_of_a_fit_are_its_worse_view_and_the_median_gap():
    shape = (len(LEVELS), len(LANDMARKS))
    gaps = np.full(shape, np.nan)
    gaps[2, :3] = [1.0, 2.0, 30.0]
    landmarks = Landmarks3D(np.zeros((*shape, 3)), gaps, np.ones(shape), np.ones(5, dtype=bool))
    quality = vertebra_quality(registration().vertebrae["L3"], landmarks, np.array([0.2, 0.4]))
    assert quality.residual == pytest.approx(0.02)
    assert quality.gap_mm == pytest.approx(2.0)
    assert quality.vertex_sd_mm == pytest.approx(0.3)
    assert quality.grade is Grade.GOOD
    unknown = vertebra_quality(registration().vertebrae["L1"], landmarks, None)
    assert unknown.gap_mm is None
    assert unknown.vertex_sd_mm is None


def test_what_the_registration_warns_about_is_to_be_checked():
    fit = replace(registration().vertebrae["L3"], warnings=("stands on the bounds of its pose (tx)",))
    quality = vertebra_quality(fit, None, None)
    assert quality.grade is Grade.CHECK and quality.reasons == fit.warnings


def test_vertebrae_of_a_spine_that_nobody_has_have_failed():
    good = dict.fromkeys(LEVELS, graded(*FINE))
    people = {("L1-L5", "cobb"): -62.0, ("L1-L5", "lordosis_l1_l5"): 81.0, ("L4-L5", "segmental_lordosis"): 43.0}
    assert without_impossible(good, people) == good
    for name, value in (("cobb", -97.0), ("lordosis_l1_l5", 131.0), ("lordosis_l1_l5", -80.0)):
        graded_anew = without_impossible(good, {("L1-L5", name): value})
        assert {own.grade for own in graded_anew.values()} == {Grade.FAILED}
        assert f"would be {value:.0f} deg, people have" in graded_anew["L3"].reasons[0]
    folded = without_impossible(good, {("L2-L3", "segmental_lordosis"): -55.0})
    assert [level for level, own in folded.items() if own.grade is Grade.FAILED] == ["L2", "L3"]


def test_what_is_usual_is_possible():
    for definition in DEFINITIONS:
        for levels in definition.subjects:
            subject = subject_name(levels)
            usual, possible = reference_range(definition.id, subject), possible_range(definition.id, subject)
            if usual and possible:
                assert possible.low < usual.low and usual.high < possible.high
