"""The levels T12 to S1 of two views of one spine, decided together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import SPINE_LEVELS
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.transforms.level_naming.joint_levels import assign_levels
from lumbar_ext.transforms.level_naming.level_choice import Peak, choose_levels
from lumbar_ext.transforms.level_naming.level_readings import LevelPair, Readings
from lumbar_ext.transforms.level_naming.spine_levels import SPINE_RULES, decode_chosen, level_maps
from lumbar_ext.transforms.spine_decode import decode_spine
from lumbar_ext.transforms.spine_targets import SpinePoints, encode_spine_target

SIZE_PX, SPACING_MM = (256, 384), 0.834
HALF_MM = (np.array(SIZE_PX) - 1) * SPACING_MM / 2
CAMERAS = BiplanarGeometry(
    ConeBeam([1000, 0, 0], [-200, -HALF_MM[0], HALF_MM[1]], [0, 1, 0], [0, 0, -1], (SPACING_MM,) * 2, SIZE_PX),
    ConeBeam([0, 1000, 0], [HALF_MM[0], -200, HALF_MM[1]], [-1, 0, 0], [0, 0, -1], (SPACING_MM,) * 2, SIZE_PX),
)
# of a vertebra's centre, mm: endplates, transverse processes, pedicles, spinous process
LANDMARKS_MM = np.array(
    [[0, 0, 13], [0, 0, -13], [-30, 38, 0], [-30, -38, 0], [-22, 14, 3], [-22, -14, 3], [-62, 0, -8]], float
)
S1_MM = np.array([[0, 0, 0], [15, 0, -4], [-15, 0, 4], [0, 22, 0], [0, -22, 0]], float)


def true_maps(sixth=False, s1_from_l5_mm=None):
    """Packed targets of both views, and their points; `s1_from_l5_mm` puts the endplate of S1 elsewhere."""
    heights = [92, 60, 28, -4, -36, -68, -100, -122] if sixth else [88, 55, 22, -11, -44, -77, np.nan, -100]
    centres = np.stack([np.linspace(-5, 8, 8), np.linspace(4, -3, 8), np.array(heights, float)], axis=1)
    if s1_from_l5_mm is not None:
        centres[7] = centres[5] + s1_from_l5_mm
    packed, points = {}, {}
    for view in ("ap", "lat"):
        camera = CAMERAS[view]
        landmarks = camera.project(centres[:7, None] + LANDMARKS_MM)
        own_centres = np.concatenate([landmarks[:, :2].mean(axis=1), camera.project(centres[7:])])
        points[view] = SpinePoints(landmarks, own_centres, camera.project(centres[7] + S1_MM), np.ones(8, bool))
        everywhere = torch.ones(SIZE_PX[::-1], dtype=torch.bool)
        packed[view] = encode_spine_target(torch.zeros(SIZE_PX[::-1]), points[view], everywhere)
    return packed, points


def decided(packed):
    maps = {view: level_maps(own) for view, own in packed.items()}
    levels = assign_levels(maps, CAMERAS, SPINE_RULES)
    seen = {
        view: decode_chosen(own, levels.choice(view, choose_levels(maps[view].peaks, 0.3)))
        for view, own in packed.items()
    }
    return levels, seen


@pytest.mark.parametrize("sixth", [False, True])
def test_perfect_maps_are_read_as_they_are(sixth):
    packed, points = true_maps(sixth)
    levels, seen = decided(packed)
    assert [pair is not None for pair in levels.best.pairs] == [name != "L6" or sixth for name in SPINE_LEVELS]
    told = [
        text for text in levels.warnings if text.startswith("six lumbar vertebrae: between L5 and S1 lies one more, L6")
    ]
    assert len(told) == len(levels.warnings) == sixth
    assert all("counted from the sacrum, L6 is L5" in text for text in told)
    for view, own in seen.items():
        assert own.present.all()
        assert np.abs(own.landmarks_px - points[view].landmarks_px[1:6]).max() < 0.1
        assert np.abs(own.anchors.s1_landmarks_px - points[view].s1_px).max() < 0.1
        assert np.abs(own.anchors.t12_centre_px - points[view].centres_px[0]).max() < 0.1
        assert np.array_equal(own.centres_px, decode_spine(packed[view]).centres_px)


@pytest.mark.parametrize("s1_from_l5_mm", [(-9, 0, -11), (-10, 1, -9), (-4, 0, -30)])
def test_the_endplate_of_s1_is_half_a_vertebra_from_l5(s1_from_l5_mm):
    """Of low bodies, worn discs and steep sacra 14 mm, of tall people 30: no reason to do without L5."""
    levels, seen = decided(true_maps(s1_from_l5_mm=s1_from_l5_mm)[0])
    assert list(levels.missing) == ["L6"]
    assert all(own.present.all() for own in seen.values())


def four():
    """Maps of a spine whose sacrum has taken L5 up: S1 begins 24 mm below L4."""
    packed, points = true_maps()
    for view in packed:
        camera = CAMERAS[view]
        below = 24.0 * np.array([0.05, 0, -1])
        l4_mm = np.array([np.linspace(-5, 8, 8)[4], np.linspace(4, -3, 8)[4], -44.0])
        s1 = camera.project(l4_mm + below + S1_MM)
        landmarks, centres = points[view].landmarks_px.copy(), points[view].centres_px.copy()
        landmarks[5:7], centres[5:7], centres[7] = np.nan, np.nan, s1[0]
        everywhere = torch.ones(SIZE_PX[::-1], dtype=torch.bool)
        packed[view] = encode_spine_target(
            torch.zeros(SIZE_PX[::-1]), SpinePoints(landmarks, centres, s1, np.ones(8, bool)), everywhere
        )
    return packed


def test_a_fifth_vertebra_that_the_sacrum_has_taken_up_is_read_as_four():
    levels, seen = decided(four())
    assert [name for name, pair in zip(SPINE_LEVELS, levels.best.pairs, strict=True) if pair is None] == ["L5", "L6"]
    assert levels.missing["L5"].startswith("the sacrum begins right under the vertebra above")
    (told,) = levels.warnings
    assert told.startswith("four lumbar vertebrae: the sacrum begins right under L4") and "that one is L5" in told
    assert all(own.present.tolist() == [True] * 4 + [False] for own in seen.values())


def test_that_a_vertebra_was_taken_up_costs_what_its_rarity_says():
    """4.1 of 94.2 people: the odds of the two readings are those of the pairs times these, by enumeration of two pairs."""
    rules = replace(SPINE_RULES, optional=frozenset())
    peak = Peak(0, 0, 1.0)
    l4 = LevelPair(4, peak, peak, (0.0, 0.0, 0.0), 0.0, 2.0)
    s1 = LevelPair(7, peak, peak, (0.0, 0.0, -24.0), 0.0, 5.0)
    readings = Readings([l4, s1], rules)
    weights = [1.0, np.exp(2), np.exp(5), np.exp(7) * 0.041 / 0.901]
    assert readings.log_total == pytest.approx(np.log(sum(weights)))
    assert readings.best().is_without(rules) == (weights[3] > max(weights[:3]))
    far = replace(s1, point_mm=(0.0, 0.0, -32.0))
    assert Readings([l4, far], rules).log_total == pytest.approx(np.log(sum(weights[:3]) + np.exp(7)))


def test_a_level_that_one_view_hardly_shows_is_found_where_the_other_shows_it():
    packed, points = true_maps()
    packed["ap"][SPINE_PACK["heatmap"]][1] *= 0.06
    assert not decode_spine(packed["ap"]).present[0]
    seen = decided(packed)[1]["ap"]
    assert seen.present.all() and np.abs(seen.centres_px[0] - points["ap"].centres_px[1]).max() < 0.5


def test_a_view_that_is_a_level_off_is_corrected_by_the_other():
    """The AP view takes each vertebra for the one above it, at 0.6 against 0.35 for the right name."""
    packed, points = true_maps()
    heat = packed["ap"][SPINE_PACK["heatmap"]].clone()
    lumbar = heat[0:6].clone()
    heat[0:6] = 0.35 * lumbar
    heat[0:5] = torch.maximum(heat[0:5], 0.6 * lumbar[1:6])
    packed["ap"][SPINE_PACK["heatmap"]] = heat
    alone = decode_spine(packed["ap"])
    assert np.abs(alone.centres_px[0] - points["ap"].centres_px[2]).max() < 3
    _, seen = decided(packed)
    for view, own in seen.items():
        assert np.abs(own.centres_px - points[view].centres_px[1:6]).max() < 3
