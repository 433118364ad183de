"""The page and the paper of a made-up study: complete, self-contained, and safe against what a header may hold."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam, RigidTransform
from lumbar_ext.landmarks.located_anchors import LocatedAnchors
from lumbar_ext.landmarks.sacral_endplate import TEMPLATE_MM, SacralEndplate
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks
from lumbar_ext.measurements.uncertainty.assessment import assess_registration
from lumbar_ext.measurements.uncertainty.interval_calibration import Calibration, Coverage
from lumbar_ext.measurements.values.definitions import BY_ID, DEFINITIONS
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.report.content import MISSING, report_content
from lumbar_ext.report.film_marks import film_marks
from lumbar_ext.report.html import report_html
from lumbar_ext.report.pdf import report_pdf
from lumbar_ext.report.pictures import build_pictures
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.workflow import measure
from tests.measurements.registered_fixture import PITCH_MM, SIZE, registration
from tests.measurements.solids import HEIGHT_MM

EVIL = '<script>alert("x")</script>'
RUN = {
    "date": "2026-01-02T03:04:05+00:00",
    "versions": {"lumbar_ext": "9.9"},
    "inputs": {"ap_image": {"path": "/somewhere/ap.png", "sha256": "ab" * 32}},
}


def camera(source, axis):
    spacing, size = 1.2, 300
    origin = -np.array(source) * 0.3 - np.array(axis) * spacing * size / 2 + np.array([0, 0, 90.0])
    return ConeBeam(source, origin, axis, [0, 0, -1], (spacing, spacing), (size, size))


def study(patient_id=None, study_date=None):
    pixels = np.random.default_rng(0).random((300, 300)).astype(np.float32)
    radiographs = [
        Radiograph(pixels + k, Path(f"/somewhere/{view}.png"), 16, patient_id=patient_id, study_date=study_date)
        for k, view in enumerate(("ap", "lat"))
    ]
    geometry = BiplanarGeometry(camera([900.0, 0, -74.0], [0, 1, 0]), camera([0, 900.0, -74.0], [-1, 0, 0]))
    return BiplanarStudy(*radiographs, geometry, ("a doubt about the study",))


def test_slices_of_a_volume_stand_in_page_and_paper_and_say_that_they_are_no_ct():
    content, pictures = made()
    plain = report_html(content, pictures)
    shown = replace(pictures, slices=(("Sagittal", np.zeros((90, 60, 3), np.uint8)),) * 2)
    page = report_html(content, shown)
    assert "not a CT" in page and "not a CT" not in plain
    assert page.count("<figcaption>Sagittal") == 2
    assert len(report_pdf(content, shown)) > len(report_pdf(content, pictures))


def seen_landmarks():
    shape = (len(LEVELS), len(LANDMARKS))
    places = np.full((*shape, 2), np.nan)
    places[2, 0] = [150.0, 120.0]
    both = {view: np.full(shape, 0.9) for view in ("ap", "lat")}
    return StudyLandmarks(np.zeros((*shape, 3)), {"ap": places, "lat": places}, both, np.zeros(shape))


SACRUM_MM = TEMPLATE_MM + np.array([0.0, 0, -4 * PITCH_MM - HEIGHT_MM / 2 - 9.0])


def with_sacrum():
    """S1's endplate a disc's height below L5, and no T12."""
    positions = np.vstack([np.full((1, 3), np.nan), SACRUM_MM])
    plate = SacralEndplate(SACRUM_MM, 0.25 * np.eye(15), 0.5)
    return LocatedAnchors(positions, np.zeros(6), None, plate, {"T12": "the AP film cuts it off"})


def made(levels=LEVELS, calibration=None, anchors=None, **header):
    result = registration(np.full(SIZE, 0.02), levels=levels)
    triangles = result.vertebrae[levels[0]].shape.surface.triangles
    calibration = calibration or Calibration({d.id: 1.0 for d in DEFINITIONS} | {"vertex": 1.0}, {})
    assessment = assess_registration(result, triangles, calibration=calibration, anchors=anchors)
    images = study(**header)
    meshes = {level: fit.vertices_mm for level, fit in result.vertebrae.items()}
    pictures = build_pictures(
        images,
        seen_landmarks(),
        meshes,
        triangles,
        assessment.vertex_sd_mm,
        assessment.lines,
        assessment.sacral_rim_mm,
    )
    return report_content(images, assessment, result.missing_levels, RUN, {"register": 1.5}), pictures


@pytest.fixture(scope="module")
def whole():
    return made(study_date="20260304")


@pytest.fixture(scope="module")
def page(whole):
    return report_html(*whole)


class Links(HTMLParser):
    """Gathers everything a page would load, and its visible text."""

    def __init__(self):
        super().__init__()
        self.links, self.text, self.scripts, self.inside = [], [], 0, ""

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        self.scripts += tag == "script"
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)


def parsed(page):
    parser = Links()
    parser.feed(page)
    return parser


def test_the_page_loads_nothing_from_elsewhere(page):
    links = parsed(page).links
    assert links
    assert all(link.startswith("data:image/") for link in links)
    assert "default-src 'none'" in page


def test_the_page_says_every_value_and_its_limits(page, whole):
    text = " ".join(" ".join(parsed(page).text).split())
    for definition in DEFINITIONS:
        assert definition.title in text
    for expected in (*LEVELS, "2026-03-04", "a doubt about the study", "Research only", "sha256", "not stated"):
        assert expected in text
    for table in whole[0].tables:
        for row in table.rows:
            assert all(cell.text in text for cell in row.cells)


def test_the_3d_view_holds_all_vertebrae_with_their_uncertainty(page):
    text = re.search(r'<script type="application/json" id="figure">(.*?)</script>', page, re.DOTALL)[1]
    traces = json.loads(text)["data"]
    assert [trace["name"] for trace in traces] == list(LEVELS)
    points = np.frombuffer(base64.b64decode(traces[0]["z"]["bdata"]), dtype="<f4")
    corners = np.frombuffer(base64.b64decode(traces[0]["i"]["bdata"]), dtype="<u2")
    spread = np.frombuffer(base64.b64decode(traces[0]["meta"]["intensity"]["bdata"]), dtype="<f4")
    assert corners.max() < len(points) == len(spread)


def test_outlines_enclose_the_vertebrae_in_both_radiographs(whole):
    for figure in whole[1].radiographs:
        heights = [np.concatenate(figure.outlines[level])[:, 1].mean() for level in LEVELS]
        assert heights == sorted(heights)
        assert len(figure.landmarks) == 1
        assert figure.landmarks[0]["u"] == pytest.approx((150.5 * 1024 / 300) - 0.5)


def test_films_say_which_side_is_which_and_how_large_things_are(whole):
    ap, lat = whole[1].radiographs
    assert ap.marks.sides == ("R", "L") and lat.marks.sides == ("A", "P")
    mirrored = film_marks(camera([900.0, 0, -74.0], [0, 1, 0]).flipped_u(), {"L3": np.array([[0.0, 0, -74]])})
    assert mirrored.sides == ("L", "R")
    # The detector stands 270 mm behind an isocentre 900 mm from the source; 1024 px show 360 mm.
    assert ap.marks.scale_px == pytest.approx(50 * 1170 / 900 * 1024 / 360, rel=0.01)


def test_the_lines_of_the_angles_lie_in_their_endplates(whole):
    for figure in whole[1].radiographs:
        (upper, lower) = figure.marks.lines
        assert {upper.name.split()[1], lower.name.split()[1]} == {"superior", "inferior"}
        outline = np.concatenate([np.concatenate(figure.outlines[level]) for level in LEVELS])
        assert upper.ends_px[:, 1].mean() < lower.ends_px[:, 1].mean()
        for line in (upper, lower):
            level = np.concatenate(figure.outlines[line.name[:2]])
            edge = level[:, 1].min() if line is upper else level[:, 1].max()
            # The outline is the rim nearest to the beam's edge, up to 4 mm away; a body is 28 mm (80 px) high.
            assert line.ends_px[:, 1].mean() == pytest.approx(edge, abs=14)
            # To both sides of the vertebra.
            assert line.ends_px[:, 0].min() < outline[:, 0].max() and np.ptp(line.ends_px[:, 0]) > 250
    assert "L1 superior endplate" in whole[0].captions["lat"]


def test_what_is_outside_its_range_stands_in_the_summary(whole, page):
    flagged = [
        (cell, row) for table in whole[0].tables for row in table.rows for cell in row.cells if cell.flag is not None
    ]
    assert len(whole[0].flagged) == len(flagged) > 0
    text = " ".join(" ".join(parsed(page).text).split())
    assert all(sentence in text for sentence in whole[0].flagged)


def test_a_header_cannot_inject_markup():
    content, pictures = made(patient_id=EVIL)
    page = report_html(content, pictures)
    assert EVIL not in page
    assert "&lt;script&gt;alert" in page
    assert report_pdf(content, pictures).startswith(b"%PDF")


def test_missing_vertebrae_are_said_to_be_missing():
    content, pictures = made(levels=("L3", "L4"))
    assert any("L1, L2, L5" in warning for warning in content.warnings)
    cells = {}
    for table in content.tables:
        for row in table.rows:
            cells |= {(row.title, column): cell for column, cell in zip(table.columns, row.cells, strict=True)}
    assert cells["Anterior height Ha", "L1"].text == MISSING
    assert cells["Anterior height Ha", "L1"].hint == "L1 is missing"
    assert dict(content.headlines)["Lumbar lordosis L1-L5"].text == MISSING
    assert "L1 is missing" in report_html(content, pictures)


def test_what_was_found_of_intervals_stands_beside_values_or_why_there_are_none():
    calibration = Calibration(
        {d.id: 1.0 for d in DEFINITIONS} | {"disc_angle L5-S1": 1.0},
        {d.id: 50 for d in DEFINITIONS},
        left_out={"cobb": {"findings": Coverage(0.7, 20)}},
        checked={
            "lordosis_l1_l5": {"plain": Coverage(0.95, 20), "findings": Coverage(0.9, 30)},
            "disc_angle": {"plain": Coverage(0.88, 80)},
            "disc_angle L5-S1": {"plain": Coverage(1.0, 20)},
        },
    )
    content, pictures = made(calibration=calibration, anchors=with_sacrum())
    rows = {row.title: row.held for table in content.tables for row in table.rows}
    cobb = BY_ID["cobb"].title
    withheld = "interval withheld: held 70% of 20 left-out validation cases (findings)"
    assert rows["Lumbar lordosis L1-L5"] == "± held 92% of 50"
    assert rows["Disc angle"] == "± held 88% of 80; L5-S1: ± held 100% of 20"
    assert rows[cobb] == dict(content.headlines)[cobb].held == withheld
    page = report_html(content, pictures)
    assert "± held 92% of 50" in page and page.count(withheld) == 2


def test_without_calibration_no_interval_is_printed():
    content, pictures = made(calibration=Calibration({}, {}))
    assert {row.held for table in content.tables for row in table.rows} == {""}
    assert not any("±" in cell.text for table in content.tables for row in table.rows for cell in row.cells)
    assert any("not calibrated" in warning for warning in content.warnings)
    assert "colour by uncertainty" not in report_html(content, pictures)


def test_values_outside_their_range_are_flagged_with_the_side(whole):
    rows = {row.title: row for table in whole[0].tables for row in table.rows}
    # Discs of 9 mm are low for L4-L5; bodies of 28 mm are high enough for L5 in front.
    assert rows["Anterior disc height"].cells[3].flag == "below"
    assert rows["Anterior height Ha"].cells[4].flag is None


def test_the_paper_has_the_pages_and_pictures(whole):
    paper = report_pdf(*whole)
    assert paper.startswith(b"%PDF-")
    assert 2 <= paper.count(b"/Type /Page\n") <= 8
    assert paper.count(b"/Subtype /Image") >= 4


@pytest.fixture(scope="module")
def sacral():
    return made(anchors=with_sacrum())


def test_s1_is_told_and_drawn_where_it_was_located(sacral):
    content, pictures = sacral
    values = dict(content.headlines)
    # The cylinders and the endplate are all level.
    assert values["Lumbar lordosis L1-S1"].text.startswith("0.0 ±") and values["Sacral slope"].text.startswith("0.0 ±")
    lateral = pictures.radiographs[1]
    assert [line.name for line in lateral.marks.lines] == ["L1 superior endplate", "S1 superior endplate", "horizontal"]
    assert (
        "S1 superior endplate and horizontal" in content.captions["lat"] and "Sacral slope" in content.captions["lat"]
    )
    rim = np.ptp(pictures.radiographs[0].outlines["S1"][0], axis=0)
    assert rim[0] > 4 * rim[1]  # seen from the front, an endplate that lies level is a line
    page = report_html(content, pictures)
    assert "the AP film cuts it off" in page and '"name":"S1"' in page
    assert report_pdf(content, pictures).startswith(b"%PDF")


def test_without_s1_its_values_say_why(whole, page):
    content, pictures = whole
    assert dict(content.headlines)["Sacral slope"].hint == "S1: the network of this run does not see S1"
    assert "does not see S1" in page and "S1" not in pictures.radiographs[0].outlines
    assert [line.name for line in pictures.radiographs[1].marks.lines][-1] == "L5 inferior endplate"


def test_a_long_caption_does_not_leave_a_page_of_the_paper_empty(sacral):
    content, pictures = sacral
    tall = io.BytesIO()
    Image.new("L", (300, 700)).save(tall, "JPEG")
    films = tuple(replace(film, jpeg=tall.getvalue(), size_px=(300, 700)) for film in pictures.radiographs)
    long = "White: L1 superior endplate, S1 superior endplate and horizontal; Sacral slope 36.9 ± 12.0°, measured in 3D"

    def pages(caption):
        paper = report_pdf(
            replace(content, captions={"ap": "AP", "lat": caption}), replace(pictures, radiographs=films)
        )
        return len(re.findall(rb"/Type /Page\b", paper))

    assert pages(long) == pages("Lateral") > 1


def test_outlines_are_drawn_in_the_cameras_that_the_registration_ended_with(monkeypatch, tmp_path):
    result = registration(np.full(SIZE, 0.02))
    triangles = result.vertebrae["L1"].shape.surface.triangles
    shift_mm = np.array([0.0, 0.0, 7.0])
    refined = replace(result, camera_motions={"lat": RigidTransform(np.eye(3), shift_mm)})
    drawn = []
    monkeypatch.setattr(
        measure, "build_pictures", lambda study, *rest: drawn.append(study) or build_pictures(study, *rest)
    )
    measured = measure.MeasuredReconstruction(
        study(), seen_landmarks(), refined, assess_registration(refined, triangles), triangles
    )
    measure.write_report(tmp_path, measured, RUN, {}, measure.ReportOptions(pdf=False))
    stated, used = study().geometry, drawn[0].geometry
    assert np.allclose(used.lat.source_mm - stated.lat.source_mm, shift_mm)
    assert np.allclose(used.ap.source_mm, stated.ap.source_mm)
    assert (tmp_path / "report.html").is_file()
