"""Vertebral bodies against elliptic cylinders and wedges of known size, in any pose."""

import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements.values.endplates import endplate
from lumbar_ext.measurements.values.vertebral_body import (
    anterior_height_mm,
    biconcavity_ratio,
    body_wedge_deg,
    concavity_mm,
    crush_ratio,
    genant_grade,
    middle_height_mm,
    posterior_height_mm,
    wedge_ratio,
)
from tests.measurements.solids import A_MM, B_MM, HEIGHT_MM, body, placed

POSES = (
    RigidTransform.identity(),
    RigidTransform.from_euler(0.3, -0.5, 0.8, np.array([120.0, -40.0, 300.0])),
    RigidTransform.from_euler(-0.4, 0.6, -2.9, np.array([-7.0, 3.0, 1.0])),
)


@pytest.mark.parametrize("pose", POSES)
def test_a_cylinder_has_the_heights_it_was_made_with(pose):
    vertebra = placed(body(), pose)
    for height in (anterior_height_mm, middle_height_mm, posterior_height_mm):
        assert height(vertebra) == pytest.approx(HEIGHT_MM, abs=1e-3)
    assert wedge_ratio(vertebra) == pytest.approx(1, abs=1e-4)
    assert biconcavity_ratio(vertebra) == pytest.approx(1, abs=1e-4)
    assert body_wedge_deg(vertebra) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("side", ["superior", "inferior"])
def test_the_endplate_of_a_cylinder_is_its_ellipse(pose, side):
    plate = endplate(placed(body(), pose), side)
    assert plate.width_mm == pytest.approx(2 * B_MM, rel=1e-4)
    assert plate.depth_mm == pytest.approx(2 * A_MM, rel=1e-3)
    assert plate.area_mm2 == pytest.approx(np.pi * A_MM * B_MM, rel=1e-3)
    assert concavity_mm(placed(body(), pose), side) == pytest.approx(0, abs=1e-2)
    assert plate.up == pytest.approx(pose.rotation[:, 2], abs=1e-4)


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize(("top", "bottom"), [(0.15, 0.0), (-0.1, 0.05), (0.1, -0.2)])
def test_a_wedge_has_its_angle_and_heights(pose, top, bottom):
    vertebra = placed(body(top, bottom), pose)
    assert body_wedge_deg(vertebra) == pytest.approx(np.degrees(np.arctan(top) - np.arctan(bottom)), abs=0.01)
    assert anterior_height_mm(vertebra) == pytest.approx(HEIGHT_MM + A_MM * (top - bottom), abs=0.02)
    assert posterior_height_mm(vertebra) == pytest.approx(HEIGHT_MM - A_MM * (top - bottom), abs=0.02)
    assert middle_height_mm(vertebra) == pytest.approx(HEIGHT_MM, abs=0.02)


def test_a_dished_endplate_is_as_concave_as_it_was_made():
    vertices, triangles = body()
    radius = np.hypot(vertices[:, 0] / A_MM, vertices[:, 1] / B_MM)
    dished = vertices.copy()
    # Only the middle vertex: a cone 2 mm deep.
    dished[np.argmax((vertices[:, 2] > HEIGHT_MM / 2 - 1e-6) & (radius < 0.1)), 2] -= 2.0
    vertebra = placed((dished, triangles))
    assert concavity_mm(vertebra, "superior") == pytest.approx(2.0, abs=0.1)
    assert concavity_mm(vertebra, "inferior") == pytest.approx(0.0, abs=0.01)
    assert middle_height_mm(vertebra) == pytest.approx(HEIGHT_MM - 2, abs=0.05)


def test_crush_compares_with_the_mean_of_the_neighbours():
    vertices, triangles = body()
    low = placed((vertices * [1, 1, 0.7], triangles), marks=None)
    assert crush_ratio(low, [placed(body()), placed(body())]) == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize(
    ("ratios", "grade"), [([1.0, 0.81], 0), ([0.8], 1), ([0.9, 0.74], 2), ([0.61], 2), ([0.59, 1.1], 3), ([], 0)]
)
def test_genant_grades_follow_the_largest_loss(ratios, grade):
    assert genant_grade(ratios) == grade
