"""Errors of values with T12 and S1: zero where they are where they are, and what was put in where they are not."""

import numpy as np
import pytest

from lumbar_ext.evaluation.anchor_study import anchor_errors
from lumbar_ext.landmarks.anchors import TrueAnchors
from lumbar_ext.landmarks.located_anchors import LocatedAnchors
from lumbar_ext.landmarks.sacral_endplate import TEMPLATE_MM, SacralEndplate
from tests.measurements.values.test_sacral_alignment import DISC_MM, HEIGHT_MM, PITCH_MM, spine

S1_MM = TEMPLATE_MM + np.array([0.0, 0, -PITCH_MM * 4 - HEIGHT_MM / 2 - DISC_MM])
T12_MM = np.array([2.0, 3.0, PITCH_MM])
TRUE = TrueAnchors(T12_MM, np.full(3, np.nan), S1_MM)


def located(offset_mm=(0, 0, 0), sd_mm=0.5):
    s1_mm = S1_MM + np.array(offset_mm, float)
    plate = SacralEndplate(s1_mm, sd_mm**2 * np.eye(15), 0.1)
    return LocatedAnchors(np.vstack([T12_MM, s1_mm]), np.zeros(6), sd_mm**2 * np.eye(3), plate)


def vertebrae():
    return {level: own for level, own in spine((-15, -8, 0, 8, 18, 0)).items() if level.startswith("L")}


def errors(found, true=TRUE):
    return {(row.subject, row.id): row for row in anchor_errors("a", vertebrae(), found, true)}


def test_where_s1_is_where_it_is_nothing_is_wrong():
    rows = errors(located())
    assert len(rows) > 15 and all(abs(row.pipeline_error) < 1e-9 for row in rows.values())
    # Four edges of 0.5 mm each: the height of the centre of an endplate varies by half a millimetre's root of four.
    assert rows["T12-S1", "t12_sagittal_offset"].laplace_sd == pytest.approx(np.hypot(0.5, 0.25), rel=0.25)


def test_an_s1_too_far_back_makes_a_slip_of_as_much():
    rows = errors(located((-3.0, 0, 0)))
    assert rows["L5-S1", "sagittal_slip"].pipeline_error == pytest.approx(3, abs=1e-9)
    assert rows["T12-S1", "t12_sagittal_offset"].pipeline_error == pytest.approx(3, abs=1e-9)
    assert rows["S1", "sacral_slope"].pipeline_error == pytest.approx(0, abs=1e-9)


def test_what_was_not_located_is_a_row_without_an_error():
    rows = errors(LocatedAnchors.unknown())
    assert rows and all(row.pipeline_error is None and row.estimate is None for row in rows.values())
    assert errors(located(), None) == {}
