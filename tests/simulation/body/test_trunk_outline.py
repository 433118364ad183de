"""The trunk's outline: covers the bones, and sections that shrink into themselves."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.simulation.body.trunk_outline import sample_sections
from lumbar_ext.simulation.ranges import TrunkParameters


@pytest.fixture(params=range(4))
def sections(request):
    rng = np.random.default_rng(request.param)
    spine = np.stack([np.zeros(12), np.zeros(12), np.linspace(-100, 200, 12)], axis=1)
    bones = np.concatenate(
        [spine - np.array([70.0, 0, 0]), spine - np.array([40.0, -45, 0]), [[-50.0, 140, -120], [-50, -140, -120]]]
    )
    return sample_sections(rng, bones, spine, 1.0, TrunkParameters()), bones


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
