"""The trunk's outline: covers the bones, and sections that shrink into themselves."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.simulation.body.trunk_outline import sample_sections
from lumbar_ext.simulation.ranges import TrunkParameters


def draw(seed, **changes):
    rng = np.random.default_rng(seed)
    spine = np.stack([np.zeros(12), np.zeros(12), np.linspace(-100, 200, 12)], axis=1)
    bones = np.concatenate(
        [spine - np.array([70.0, 0, 0]), spine - np.array([40.0, -45, 0]), [[-50.0, 140, -120], [-50, -140, -120]]]
    )
    return sample_sections(rng, bones, spine, 1.0, TrunkParameters(**changes)), bones


@pytest.fixture(params=range(4))
def sections(request):
    return draw(request.param, obese_share=0.0)


def test_the_skin_covers_the_bones(sections):
    outline, bones = sections
    skin = trimesh.Trimesh(outline.surface().vertices_mm, outline.surface().triangles)
    assert skin.is_watertight
    assert skin.contains(bones[bones[:, 2] > -100]).all()


def test_widths_and_depths_are_those_of_adults(sections):
    depth, width = 2 * sections[0].at(0.0)[1]
    assert 170 < depth < 320
    assert 270 < width < 420


def test_an_inset_lies_inside(sections):
    outline = sections[0]
    inner = outline.inset(15.0)
    assert inner.surface().volume_mm3 < outline.surface().volume_mm3
    assert (inner.half_width_mm < outline.half_width_mm).all()
    assert (inner.back_mm > outline.back_mm).all()


def test_obese_people_are_up_to_400_mm_deep_with_more_fat_behind_the_spine():
    outlines = [draw(seed, obese_share=1.0)[0] for seed in range(60)]
    depths = np.array([2 * outline.at(0.0)[1][0] for outline in outlines])
    lean = [draw(seed, obese_share=0.0)[0] for seed in range(60)]
    assert all(outline.obese for outline in outlines) and not any(outline.obese for outline in lean)
    assert 250 < depths.min() and 380 < depths.max() < 470
    behind = [
        np.mean([-outline.at(0.0)[0][0] + outline.at(0.0)[1][0] for outline in group]) for group in (outlines, lean)
    ]
    assert behind[0] > behind[1] + 20


def test_one_in_five_is_obese():
    assert np.mean([draw(seed)[0].obese for seed in range(200)]) == pytest.approx(0.2, abs=0.07)
