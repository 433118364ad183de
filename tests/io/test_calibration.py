"""Calibration files: exact round trips, and every way to get a calibration wrong."""

import copy
import json

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, SlotScan
from lumbar_ext.io.calibration import (
    CameraUncertainty,
    read_calibration,
    read_camera_uncertainty,
    states_slot_scans,
    write_calibration,
)

AP = {
    "source_mm": [1000, 0, 0],
    "detector_origin_mm": [-300, -32, 47],
    "u_axis": [0, 1, 0],
    "v_axis": [0, 0, -1],
    "pixel_spacing_mm": [1.0, 1.5],
    "size_px": [64, 63],
}
LAT = {
    "source_mm": [0, 1000, 0],
    "detector_origin_mm": [30, -300, 47],
    "u_axis": [-1, 0, 0],
    "v_axis": [0, 0, -1],
    "pixel_spacing_mm": [1.2, 1.2],
    "size_px": [51, 80],
}


def write(path, **changes):
    """A calibration file with some keys of a view changed, as ap={...}, lat={...}; None removes a key."""
    document = {"views": {"ap": copy.deepcopy(AP), "lat": copy.deepcopy(LAT)}}
    for view, entries in changes.items():
        for key, value in entries.items():
            document["views"][view][key] = value
            if value is None:
                del document["views"][view][key]
    path.write_text(json.dumps(document))
    return path


def test_written_geometry_is_read_back_exactly(tmp_path, geometry):
    write_calibration(geometry, tmp_path / "c.json")
    read = read_calibration(tmp_path / "c.json")
    for view in VIEWS:
        for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis", "pixel_spacing_mm", "size_px"):
            assert np.array_equal(getattr(read[view], name), getattr(geometry[view], name)), (view, name)


@pytest.mark.parametrize("stated", [None, CameraUncertainty(0.021), CameraUncertainty(0.05, 3.9, "the size of people")])
def test_cameras_say_how_well_they_are_known(tmp_path, geometry, stated):
    path = tmp_path / "calibration.json"
    write_calibration(geometry, path, stated)
    assert read_camera_uncertainty(path) == stated
    read_calibration(path)


def test_an_impossible_uncertainty_is_refused(tmp_path, geometry):
    path = tmp_path / "calibration.json"
    write_calibration(geometry, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "uncertainty": {"size_sd": -0.1}}))
    with pytest.raises(InputError, match=r"calibration\.json.*size_sd.*-0\.1"):
        read_calibration(path)


@pytest.mark.parametrize("scale", [1.0, -0.3])
def test_a_projection_matrix_is_the_same_camera(tmp_path, geometry, scale):
    matrix = (scale * geometry.ap.projection_matrix()).tolist()
    entry = {key: None for key in AP} | {"projection_matrix": matrix, "size_px": AP["size_px"]}
    path = write(tmp_path / "c.json", ap=entry | {"pixel_spacing_mm": [1.0, 1.5]})
    points = np.random.default_rng(0).uniform(-80, 80, (20, 3))
    np.testing.assert_allclose(read_calibration(path).ap.project(points), geometry.ap.project(points), atol=1e-8)


def test_a_projection_matrix_without_spacing_takes_the_image_s(tmp_path, geometry):
    entry = {key: None for key in AP} | {"projection_matrix": geometry.ap.projection_matrix().tolist()}
    path = write(tmp_path / "c.json", ap=entry | {"size_px": AP["size_px"]})
    camera = read_calibration(path, image_spacing_mm={"ap": (1.0, 1.5), "lat": None}).ap
    np.testing.assert_allclose(camera.detector_origin_mm, geometry.ap.detector_origin_mm, atol=1e-8)
    with pytest.raises(InputError, match="views/ap has a projection_matrix but no pixel_spacing_mm"):
        read_calibration(path)


def test_images_may_lie_any_way_and_the_person_may_face_any_way(tmp_path):
    upside_down = {"u_axis": [0, -1, 0], "v_axis": [0, 0, 1], "detector_origin_mm": [-300, 32, -47]}
    turned = read_calibration(write(tmp_path / "a.json", ap=upside_down))
    from_behind = {"source_mm": [-1000, 0, 0], "detector_origin_mm": [300, -32, 47]}
    from_the_right = {"source_mm": [0, -1000, 0], "detector_origin_mm": [30, 300, 47]}
    backward = read_calibration(write(tmp_path / "b.json", ap=from_behind, lat=from_the_right))
    # What is higher and farther to the left is seen there, or where the image was turned to.
    low, high = np.array([0.0, 0.0, 0.0]), np.array([0.0, 5.0, 10.0])
    (du, dv), (back_du, back_dv) = (each.ap.project(high) - each.ap.project(low) for each in (turned, backward))
    assert du < 0 < dv and back_dv < 0 < back_du
    assert backward.lat.source_mm[1] == -1000


NAN = float("nan")
GEOMETRY = ("source_mm", "detector_origin_mm", "u_axis", "v_axis", "pixel_spacing_mm")
MATRIX = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"ap": {"source_mm": None}}, r"views/ap lacks 'source_mm' \(the X-ray focal spot"),
        ({"ap": {"u_axis": None, "v_axis": None}}, "lacks 'u_axis' .*; 'v_axis'"),
        ({"ap": {"pixel_spacing_mm": None}}, "lacks 'pixel_spacing_mm'"),
        ({"ap": dict.fromkeys(GEOMETRY) | {"sou" + " " * 500: 0}}, r"^.{60,500}views/ap lacks .{60,300}$"),
        ({"ap": {"pixelspacing": [1, 1]}}, r"views/ap has unknown keys \['pixelspacing'\]"),
        ({"ap": {"projection_matrix": MATRIX}}, "views/ap has unknown keys .*'source_mm'"),
        ({"ap": {"source_mm": [1000, "zero", 0]}}, "views/ap/source_mm/1 is wrong: found zero, expected a number"),
        ({"ap": {"source_mm": [1000, True, 0]}}, "views/ap/source_mm/1 is wrong"),
        ({"ap": {"source_mm": [1000, 0]}}, r"views/ap/source_mm is wrong: found \[1000, 0\], expected three numbers"),
        ({"lat": {"source_mm": "1000 0 0"}}, "views/lat/source_mm is wrong"),
        ({"lat": {"source_mm": [0, NAN, 0]}}, "views/lat/source_mm/1 is nan, expected a finite number"),
        ({"lat": {"source_mm": [0, float("inf"), 0]}}, "views/lat/source_mm/1 is inf"),
        ({"ap": {"pixel_spacing_mm": [0, 1]}}, "views/ap/pixel_spacing_mm/0 is wrong: found 0, expected a positive"),
        ({"ap": {"pixel_spacing_mm": [1, -1]}}, "views/ap/pixel_spacing_mm/1 is wrong: found -1"),
        ({"ap": {"size_px": [64, 62.5]}}, "views/ap/size_px/1 is wrong: found 62.5, expected a positive integer"),
        ({"ap": {"size_px": [64, 0]}}, "views/ap/size_px/1 is wrong: found 0"),
        ({"ap": {"u_axis": [0, 1.01, 0]}}, "views/ap: u_axis must be a unit vector, found length 1.01"),
        ({"ap": {"u_axis": [0, 0.8, 0.6]}}, "views/ap: u_axis and v_axis must be orthogonal"),
        ({"ap": {"source_mm": [-300, 0, 0]}}, "views/ap: source_mm lies in the detector plane"),
        ({"ap": {"source_mm": [1.0, 0, 0], "detector_origin_mm": [-1, 0, 0]}}, "are the lengths in mm"),
        ({"ap": {"source_mm": [-2000, 0, 0]}}, "views/ap: .* beyond the detector; .* wrong side"),
        ({"lat": {"source_mm": [0, -2000, 0]}}, "views/lat: .* beyond the detector; .* wrong side"),
        ({"lat": {"source_mm": [0, -1000, 0], "detector_origin_mm": [30, -300, 47]}}, "wrong side"),
        ({"lat": {"source_mm": [0, 1000, 0], "detector_origin_mm": [30, 300, 47]}}, "behind the source|beyond the"),
        ({"ap": LAT, "lat": AP}, "swapped"),
        ({"lat": AP}, "parallel"),
        ({"ap": {"detector_origin_mm": [-300, -32, 447], "source_mm": [1000, 0, 400]}}, "no common region"),
    ],
)
def test_wrong_calibrations_say_what_is_wrong(tmp_path, changes, message):
    path = write(tmp_path / "wrong.json", **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_calibration(path)
    assert "wrong.json" in str(caught.value)


def test_a_view_far_from_its_axis_is_refused(tmp_path):
    turned = np.radians(50)
    cos, sin = np.cos(turned), np.sin(turned)
    source, u_axis = np.array([cos, sin, 0]) * 1000, np.array([-sin, cos, 0])
    origin = np.array([cos, sin, 0]) * -300 - 32 * u_axis + [0, 0, 47]
    oblique = {"source_mm": source.tolist(), "u_axis": u_axis.tolist(), "detector_origin_mm": origin.tolist()}
    with pytest.raises(InputError, match=r"views/ap: .* 50 deg from the world axis X"):
        read_calibration(write(tmp_path / "c.json", ap=oblique))


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not valid JSON: .* line 1"),
        ("[]", "the document is wrong"),
        ("{}", "the document lacks 'views'"),
        ('{"views": {"ap": {}}}', "views lacks 'lat'"),
        ('{"views": {"ap": {}, "ap": {}}}', "'ap' appears twice"),
        ('{"views": {"ap": 3, "lat": {}}}', "views/ap is wrong: found 3|views/lat lacks"),
    ],
)
def test_documents_that_are_no_calibration(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_calibration(tmp_path / "c.json")


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_calibration(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="not a text file"):
        read_calibration(tmp_path / "b.json")


def _moved(path, by_mm):
    moved = {
        view: {name: (np.array(camera[name]) + by_mm).tolist() for name in ("source_mm", "detector_origin_mm")}
        for view, camera in (("ap", AP), ("lat", LAT))
    }
    return write(path, **moved)


def test_the_origin_may_be_anywhere_in_the_room_but_not_beyond(tmp_path):
    here = read_calibration(write(tmp_path / "here.json"))
    away = read_calibration(_moved(tmp_path / "away.json", [15_000, -8_000, 100]))
    point, shift = np.array([3.0, -4.0, 5.0]), np.array([15_000, -8_000, 100])
    for view in VIEWS:
        np.testing.assert_allclose(away[view].project(point + shift), here[view].project(point), atol=1e-6)
    for distance_mm, said in ((1e6, "farther than 20 m"), (1e9, "origin near the person"), (1e15, "beyond 1e15")):
        with pytest.raises(InputError, match=said):
            read_calibration(_moved(tmp_path / "far.json", [distance_mm, 0, 0]))


SLOT = {"type": "slot_scan", "detector_origin_mm": [0, -32, 47], "source_isocentre_mm": 987}


def test_slot_scans_are_read_back(tmp_path, geometry):
    written = BiplanarGeometry(
        SlotScan([987.0, 0, 0], [-20, -30, 40], [0, 1, 0], [0, 0, -1], (0.6, 0.5), (101, 161), 980.0),
        SlotScan([0, 918.0, 0], [30, 0, 40], [-1, 0, 0], [0, 0, -1], (0.6, 0.5), (101, 161)),
    )
    write_calibration(written, tmp_path / "c.json")
    read = read_calibration(tmp_path / "c.json")
    points = np.random.default_rng(0).uniform(-80, 80, (20, 3))
    for view in VIEWS:
        assert isinstance(read[view], SlotScan) and read[view].source_isocentre_mm == written[view].source_isocentre_mm
        np.testing.assert_allclose(read[view].project(points), written[view].project(points), atol=1e-9)
    assert states_slot_scans(tmp_path / "c.json")
    write_calibration(geometry, tmp_path / "c.json")
    assert not states_slot_scans(tmp_path / "c.json")


def test_the_type_of_a_cone_beam_may_be_said(tmp_path, geometry):
    read = read_calibration(write(tmp_path / "c.json", ap={"type": "cone_beam"}))
    np.testing.assert_array_equal(read.ap.source_mm, geometry.ap.source_mm)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"type": "slot"},
            "views/ap/type is wrong: found slot, expected 'cone_beam', which need not be said, or 'slot_scan'",
        ),
        ({**SLOT, "projection_matrix": np.eye(3, 4).tolist()}, "views/ap has unknown keys"),
        ({**SLOT, "source_isocentre_mm": -5}, "views/ap/source_isocentre_mm is wrong"),
        ({**SLOT, "source_mm": None}, "views/ap lacks 'source_mm'"),
        ({**SLOT, "u_axis": [0, 0, -1], "v_axis": [0, 1, 0], "detector_origin_mm": [0, -32, 32]}, "way of the scan"),
        ({"source_isocentre_mm": 987}, "views/ap has unknown keys"),
    ],
)
def test_wrong_slot_scans_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_calibration(write(tmp_path / "c.json", ap=change))
