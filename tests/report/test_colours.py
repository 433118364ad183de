"""Colours told apart by people with colour-blindness, as Machado, Oliveira and Fernandes (2009) model it."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.report.colours import linear_from_srgb, uncertainty_scale_mm, viridis
from lumbar_ext.report.follow_up_page import _COLOURS as STUDIES
from lumbar_ext.report.overlay import LEVEL_COLOURS

# IEEE Trans Vis Comput Graph 2009;15:1291, severity 1.0; they act on linear RGB.
SEEN_BY = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
# IEC 61966-2-1: sRGB primaries, white point D65.
XYZ_FROM_LINEAR = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colours, sight):
    """CIE 1976 L*a*b* [N, 3] of sRGB colours [N, 3] in 0..255 as somebody sees them."""
    shares = np.asarray(colours) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ SEEN_BY[sight].T, 0, 1)
    ratio = seen @ XYZ_FROM_LINEAR.T / XYZ_FROM_LINEAR.sum(1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)


def least_distance(colours, pairs, sight):
    seen = lab(colours, sight)
    return min(float(np.linalg.norm(seen[a] - seen[b])) for a, b in pairs)


@pytest.mark.parametrize("sight", SEEN_BY)
def test_levels_are_told_apart(sight):
    """A just noticeable difference is 2.3 (Mahy et al. 1994); neighbours lie upon each other on a film."""
    order = ("T12", *LEVELS, "S1")
    colours = [LEVEL_COLOURS[level] for level in order]
    everyone = least_distance(colours, combinations(range(len(order)), 2), sight)
    neighbours = least_distance(colours, pairwise(range(len(order))), sight)
    assert everyone > 15 and neighbours > 20


@pytest.mark.parametrize("sight", SEEN_BY)
def test_studies_of_a_follow_up_are_told_apart(sight):
    assert least_distance(STUDIES, combinations(range(len(STUDIES)), 2), sight) > 15


@pytest.mark.parametrize("sight", SEEN_BY)
def test_a_greater_uncertainty_is_brighter_for_everybody(sight):
    lightness = lab(viridis(np.linspace(0, 1, 101), 1.0), sight)[:, 0]
    assert (np.diff(lightness) > 0).all() and np.ptp(lightness) > 60


def test_the_check_finds_a_red_and_a_green_that_are_alike_to_a_deuteranope():
    red_green = [(200, 40, 40), (110, 104, 30)]
    assert least_distance(red_green, [(0, 1)], "all cones") > 60
    assert least_distance(red_green, [(0, 1)], "deuteranopia") < 15


def test_light_is_half_as_much_where_srgb_says_188():
    """IEC 61966-2-1: the curve meets its straight beginning, and its ends."""
    assert linear_from_srgb(np.array([0, 188, 255])) == pytest.approx([0, 0.5, 1], abs=0.003)
    assert linear_from_srgb(np.array([10.0])) == pytest.approx(10 / 255 / 12.92)
    steps = linear_from_srgb(np.linspace(10, 11, 101))
    assert (np.diff(steps) > 0).all() and np.diff(steps).max() < 2 * np.diff(steps).min()


def test_the_scale_of_uncertainty_ends_at_half_a_millimetre_above_nearly_all():
    spread = {"L1": np.linspace(0, 2.2, 1001), "L2": np.linspace(0, 2.2, 1001)}
    assert uncertainty_scale_mm(spread) == 2.5 and uncertainty_scale_mm({}) == 1.0
