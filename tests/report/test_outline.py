"""Outlines of masks whose borders are known."""

import numpy as np
import pytest

from lumbar_ext.report.outline import mask_outlines


def area(polygon):
    u, v = polygon.T
    return abs(np.sum(u * np.roll(v, -1) - v * np.roll(u, -1))) / 2


def disc(radius, size=200, centre=100.0):
    rows, columns = np.mgrid[:size, :size]
    return np.hypot(rows - centre, columns - centre) < radius


def test_a_disc_has_one_outline_of_its_radius():
    (outline,) = mask_outlines(disc(60))
    assert np.hypot(*(outline - 100).T) == pytest.approx(60, abs=0.9)
    assert area(outline) == pytest.approx(np.pi * 60**2, rel=0.005)


def test_a_hole_has_an_outline_of_its_own():
    areas = sorted(area(loop) for loop in mask_outlines(disc(60) & ~disc(20)))
    assert areas == pytest.approx([np.pi * 20**2, np.pi * 60**2], rel=0.02)


def test_a_mask_that_fills_the_image_is_outlined_along_its_border():
    (outline,) = mask_outlines(np.ones((30, 50), dtype=bool))
    assert outline.min(0) == pytest.approx([-0.5, -0.5], abs=0.6)
    assert outline.max(0) == pytest.approx([49.5, 29.5], abs=0.6)


def test_two_masks_that_touch_at_a_corner_are_two_outlines():
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:10, 2:10] = mask[10:18, 10:18] = True
    assert sum(area(loop) for loop in mask_outlines(mask)) == pytest.approx(128, rel=0.1)


def test_nothing_has_no_outline():
    assert mask_outlines(np.zeros((5, 5), dtype=bool)) == []
