"""Points that a user marked on the films, and the hips among them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.hip_axis import LATERAL_SD_MM, NOT_MARKED, locate_hips
from lumbar_ext.landmarks.marked_points import FEMORAL_HEADS, read_marked_points
from lumbar_ext.landmarks.sacral_endplate import TEMPLATE_MM, SacralEndplate
from tests.landmarks.test_located_anchors import GEOMETRY

SIZES = {"ap": (512, 640), "lat": (400, 640)}
HEADER = "view,point,u_px,v_px\n"
PLATE = RigidTransform.from_euler(0.05, 0.7, -0.04, np.array([-12.0, 4.0, 8.0]))
SACRUM = SacralEndplate(PLATE.apply(TEMPLATE_MM), np.eye(15), 0.5)
HEADS_MM = np.array([[38.0, 94.0, -62.0], [40.0, -88.0, -66.0]])
"""Left and right, in the room."""


def marked(views=VIEWS, heads=FEMORAL_HEADS, shift_px=0.0):
    return {
        view: {
            name: GEOMETRY[view].project(HEADS_MM[FEMORAL_HEADS.index(name)]) + shift_px * (view == "lat")
            for name in (heads if view in views else ())
        }
        for view in VIEWS
    }


@pytest.fixture
def read(tmp_path):
    def write_and_read(*lines, header=HEADER):
        path = tmp_path / "points.csv"
        path.write_text(header + "\n".join(lines))
        return read_marked_points(path, SIZES)

    return write_and_read


def test_points_are_read_by_view_and_name(read):
    found = read("lat,left_femoral_head,12.5,600", "ap,marker_end,0,-0.5", "lat,right_femoral_head,14,601.25")
    assert set(found["lat"]) == set(FEMORAL_HEADS) and set(found["ap"]) == {"marker_end"}
    np.testing.assert_array_equal(found["lat"]["right_femoral_head"], [14, 601.25])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["pa,left_femoral_head,1,2"], "line 2: 'pa'"),
        (["ap,left_hip,1,2"], "'left_hip', expected a view"),
        (["ap,marker_end,1,2", "ap,marker_end,1,3"], "line 3: marker_end of the ap view is there twice"),
        (["lat,marker_end,401,2"], r"line 2: pixel \[401.0, 2.0\] of a film of \[400, 640\]"),
        (["ap,marker_end,nan,2"], "of a film of"),
        (["ap,marker_end,one,2"], "expected two numbers"),
        (["ap,marker_end,1"], "expected two numbers"),
        ([], "no point, expected some of left_femoral_head"),
    ],
)
def test_what_is_no_point_of_a_film_is_refused(read, lines, message):
    with pytest.raises(InputError, match=rf"points\.csv.*{message}"):
        read(*lines)


def test_other_columns_are_refused(read):
    with pytest.raises(InputError, match="the columns view, u, v, expected view, point, u_px, v_px"):
        read("ap,1,2", header="view,u,v\n")


def test_both_views_give_the_middle_of_the_heads():
    found = locate_hips(GEOMETRY, marked(), SACRUM)
    assert found.middle_mm == pytest.approx(HEADS_MM.mean(0), abs=1e-6) and not found.reason
    samples = found.samples(400).middle_mm
    assert samples.shape == (400, 3) and samples.mean(0) == pytest.approx(HEADS_MM.mean(0), abs=0.5)


def test_the_lateral_film_alone_gives_it_in_the_sagittal_plane():
    found = locate_hips(GEOMETRY, marked(("lat",)), SACRUM)
    # The beam opens: what lies to the side is seen up to 2 mm elsewhere.
    assert found.middle_mm[[0, 2]] == pytest.approx(HEADS_MM.mean(0)[[0, 2]], abs=2.0)
    assert found.samples(400).middle_mm.std(0) == pytest.approx([LATERAL_SD_MM] * 3, rel=0.15)
    left = PLATE.rotation[:, 1]
    assert (found.middle_mm - SACRUM.points_mm[1:].mean(0)) @ left == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(
    ("points", "sacrum", "reason"),
    [
        (marked(()), SACRUM, NOT_MARKED),
        (marked(("ap",)), SACRUM, "both femoral heads must be marked on the lateral film"),
        (marked(heads=FEMORAL_HEADS[:1]), SACRUM, "both femoral heads must be marked"),
        (marked(), None, "S1 is not located"),
        (marked(shift_px=40.0), SACRUM, "the marks of both films show the femoral heads .* mm apart"),
        (
            marked(),
            replace(SACRUM, points_mm=SACRUM.points_mm + np.array([0, 0, 110.0])),
            "mm from S1, expected 50 to 170",
        ),
    ],
)
def test_without_usable_marks_there_is_a_reason(points, sacrum, reason):
    found = locate_hips(GEOMETRY, points, sacrum)
    assert found.middle_mm is None and found.samples(3).middle_mm is None
    assert re.search(re.escape(reason) if reason == NOT_MARKED else reason, found.reason)
