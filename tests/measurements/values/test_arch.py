"""Pedicles and canal of a block with a rectangular canal, and what a solid without them gives."""

import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements.marks.vertebra_marks import NotMeasurableError
from lumbar_ext.measurements.values import arch
from tests.measurements.solids import body, frame, landmarks, placed

POSE = RigidTransform.from_euler(0.2, 0.4, -0.7, np.array([10.0, 20.0, -30.0]))


@pytest.fixture(scope="module", params=[RigidTransform.identity(), POSE])
def block(request):
    return placed(frame(), request.param, landmarks(8.0, -8.0))


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_pedicle_has_the_section_it_was_made_with(block, side):
    assert arch.pedicle_width_mm(block, side) == pytest.approx(9, abs=0.1)
    assert arch.pedicle_height_mm(block, side) == pytest.approx(16, abs=0.1)
    assert arch.pedicle_transverse_angle_deg(block, side) == pytest.approx(0, abs=1.5)
    assert arch.pedicle_sagittal_angle_deg(block, side) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_screw_line_runs_through_the_whole_block(block, side):
    # Straight through it is 60 mm long, and tilted by at most 17 degrees.
    assert 0.8 * 60 - 0.1 <= arch.screw_length_mm(block, side) <= 0.8 * 60 / np.cos(np.radians(17))


def test_the_canal_has_the_size_it_was_made_with(block):
    assert arch.canal_width_mm(block) == pytest.approx(22, abs=1e-3)
    assert arch.canal_depth_mm(block) == pytest.approx(16, abs=1e-3)
    assert arch.canal_area_mm2(block) == pytest.approx(352, rel=1e-3)


def test_an_oblique_pedicle_has_its_angle():
    vertices, triangles = frame()
    # A shear of y by x turns the sagittal walls; the sections at right angles to them get narrower.
    slope = np.tan(np.radians(20))
    sheared = vertices + np.outer(slope * (vertices[:, 0] + 22), [0, 1, 0])
    marked = placed((sheared, triangles), marks=landmarks(8.0, -8.0))
    for side, sign in (("left", -1), ("right", 1)):
        assert arch.pedicle_transverse_angle_deg(marked, side) == pytest.approx(sign * 20, abs=1.5)
        assert arch.pedicle_width_mm(marked, side) == pytest.approx(9 * np.cos(np.radians(20)), abs=0.15)


def test_a_body_without_an_arch_has_neither_pedicle_nor_canal():
    vertebra = placed(body())
    for function in (arch.canal_width_mm, arch.canal_depth_mm, arch.canal_area_mm2, arch.spinous_length_mm):
        with pytest.raises(NotMeasurableError, match="canal"):
            function(vertebra)
    with pytest.raises(NotMeasurableError, match="pedicle"):
        arch.pedicle_width_mm(vertebra, "left")
    with pytest.raises(NotMeasurableError, match="transverse process"):
        arch.transverse_span_mm(vertebra)
