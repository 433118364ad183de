"""What is drawn on the films as one draws it by hand, and the values beside it: with and without scoliosis."""

import numpy as np
import pytest

from lumbar_ext.measurements.uncertainty.assessment import Assessment, assess_values
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine, LineKind
from lumbar_ext.measurements.values.spine_values import Values
from lumbar_ext.report import content, painted_film
from lumbar_ext.report.film_marks import film_marks
from lumbar_ext.report.html import report_html
from tests.measurements.registered_fixture import PITCH_MM, SCOLIOSIS
from tests.report.test_report import SACRUM_MM, camera, made, with_sacrum

T12_MM = np.array([12.0, 6.0, PITCH_MM])
AP, LAT = camera([900.0, 0, -74.0], [0, 1, 0]), camera([0, 900.0, -74.0], [-1, 0, 0])


@pytest.fixture(scope="module", params=["straight", "scoliosis"])
def drawn(request):
    bent = SCOLIOSIS if request.param == "scoliosis" else None
    return request.param, *made(anchors=with_sacrum(T12_MM), bent=bent)


def lines_of(pictures, view):
    return {line.name: line for line in pictures.radiographs[("ap", "lat").index(view)].marks.lines}


def projected(view, points_mm):
    """In pixels of the figure, whose long side is 1024; the centre of the first pixel is (0, 0)."""
    return ((AP if view == "ap" else LAT).project(np.asarray(points_mm)) + 0.5) * 1024 / 300 - 0.5


@pytest.mark.parametrize("view", ["ap", "lat"])
def test_the_vertical_goes_through_the_middle_of_s1_and_the_offset_of_t12_ends_on_it(drawn, view):
    lines, foot = lines_of(drawn[2], view), SACRUM_MM[1:].mean(0)
    first, last = lines["vertical over S1"].ends_px
    along = (last - first) / np.linalg.norm(last - first)
    for name, places in {"foot": projected(view, [foot]), "T12": lines["T12"].ends_px[1:]}.items():
        way = places[0] - first
        assert abs(along[0] * way[1] - along[1] * way[0]) < 1.5, name
    assert lines["T12"].ends_px[0] == pytest.approx(projected(view, T12_MM), abs=0.5)
    # The places that it has to do with lie between its ends.
    assert last[1] < lines["T12"].ends_px[0, 1] < projected(view, foot)[1] < first[1]


def test_the_apex_is_drawn_where_the_spine_stands_out(drawn):
    kind, said, pictures = drawn
    assert "apex" in lines_of(pictures, "lat")
    assert ("apex" in lines_of(pictures, "ap")) is (kind == "scoliosis")
    if kind == "scoliosis":
        l3 = [0.0, SCOLIOSIS["aside_mm"][2], -2 * PITCH_MM]
        assert lines_of(pictures, "ap")["apex"].ends_px[0] == pytest.approx(projected("ap", l3), abs=2)
        assert said.film_values["ap"]["apex"].startswith("apex L3 \N{MINUS SIGN}14")


def test_the_values_on_the_films_are_those_of_the_tables(drawn):
    kind, said, _ = drawn
    table = {row.title: row.cells[0].text for row in said.tables[0].rows}
    ap, lat = said.film_values["ap"], said.film_values["lat"]
    cobb = next(text for text in ap.values() if text.startswith("Cobb"))
    assert cobb == f"Cobb {table['Coronal Cobb angle']}°"
    assert abs(float(table["Coronal Cobb angle"].split()[0].replace("\N{MINUS SIGN}", "-"))) == pytest.approx(
        28 if kind == "scoliosis" else 0, abs=0.5
    )
    assert (
        ap["T12"] == f"T12 {table['T12 over S1, coronal']} mm"
        and lat["T12"] == f"T12 {table['T12 over S1, sagittal']} mm"
    )
    assert lat["L1 superior endplate"] == f"L1-S1 {table['Lumbar lordosis L1-S1']}°"
    assert lat["horizontal"] == f"slope {table['Sacral slope']}°"
    page = report_html(*drawn[1:])
    assert all(f">{text}</text>" in page for text in (*ap.values(), *lat.values()))


def test_without_s1_there_is_no_vertical_and_the_lordosis_is_that_of_l1_to_l5():
    said, pictures = made()
    assert all("vertical" not in name for view in ("ap", "lat") for name in lines_of(pictures, view))
    assert list(said.film_values["lat"]) == ["L1 superior endplate"]
    assert said.film_values["lat"]["L1 superior endplate"].startswith("L1-L5 ")
    assert "dotted" not in said.captions["lat"]


def test_a_value_that_cannot_be_had_is_not_written_on_the_film():
    plate = EndplateLine("L1 superior endplate", np.zeros(3), np.array([1.0, 0, 0]))
    for found, written in (({}, {}), ({("L1-L5", "lordosis_l1_l5"): np.array(41.0)}, {plate.name: "L1-L5 41.0°"})):
        assessment = Assessment(assess_values(Values(found, {})), {}, {}, True, {"lat": (plate,)})
        assert content._film_values("lat", assessment) == written


def test_values_stand_beside_their_lines_and_not_upon_each_other(drawn):
    for view in ("ap", "lat"):
        told = {name: line for name, line in lines_of(drawn[2], view).items() if name in drawn[1].film_values[view]}
        for line in told.values():
            (u, v), us = line.value_px, line.ends_px[:, 0]
            assert u < us.min() if line.value_ends else u > us.max()
            assert np.abs(line.ends_px[:, 1] - v).min() < 80
        for side in (True, False):
            heights = sorted(line.value_px[1] for line in told.values() if line.value_ends is side)
            assert (np.diff(heights) >= 33.9).all()


@pytest.mark.parametrize("left_rises", [True, False])
def test_the_side_of_an_offset_that_an_endplates_line_takes_is_left_to_it(left_rises):
    """An endplate that is tilted by 30 deg, and a place as high as the end of its line."""
    tilt = np.radians(-30 if left_rises else 30)
    plate = EndplateLine("L1", np.array([0, 0, -74.0]), np.array([0, np.cos(tilt), np.sin(tilt)]))
    place = np.array([0, 4.0, -74 + 55 * np.sin(np.radians(30))])
    offset = EndplateLine("T12", place, np.array([0, -1.0, 0]), LineKind.OFFSET, (0.0, 4.0))
    _, told = film_marks(AP, {"L3": np.array([[0.0, 0, -74]])}, [plate, offset]).lines
    assert told.value_ends is not left_rises


def test_the_paper_shows_lines_and_values(drawn):
    """White is added where lines are, and again where values are; letters of a minus are those of the font."""
    _, said, pictures = drawn
    for figure in pictures.radiographs:
        values = said.film_values[figure.view]
        plain, told = (painted_film.painted_film(figure, own).astype(int) for own in ({}, values))
        changed = np.abs(told - plain).max(-1) > 60
        rows = np.nonzero(changed)[0]
        for name in values:
            line = next(line for line in figure.marks.lines if line.name == name)
            assert np.abs(rows - line.value_px[1]).min() < 6, name
        assert changed.sum() > 300 * len(values)


def test_a_scale_is_as_long_as_the_spine_is_magnified():
    marks = film_marks(AP, {"L3": np.array([[0.0, 0, -74]])})
    assert marks.scale_px == pytest.approx(50 * 1170 / 900 / 1.2, rel=1e-6)
