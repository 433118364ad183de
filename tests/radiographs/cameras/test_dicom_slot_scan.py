"""Cameras of a slot scanner from its headers, and that nobody takes its films for those of a cone beam."""

import json

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import SlotScan, triangulate
from lumbar_ext.io import read_calibration, write_calibration
from lumbar_ext.radiographs.cameras.dicom_calibration import provide_calibration
from lumbar_ext.radiographs.cameras.dicom_slot_scan import slot_scans_from_tags, write_slot_calibration
from lumbar_ext.radiographs.dicom_folder import find_radiographs
from lumbar_ext.radiographs.dicom_pairing import pair_radiographs
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.studies.biplanar_study import read_study
from tests.radiographs.dicom_study import write_image

PIXELS = np.random.default_rng(0).integers(0, 4096, (500, 320))
SCANNER = {"Manufacturer": "EOS imaging", "ManufacturerModelName": "EOSedge", "ImagerPixelSpacing": [0.2, 0.2]}
FRONT = {"DistanceSourceToIsocenter": 987, "ViewPosition": "AP", "PatientOrientation": ["L", "F"]}
SIDE = {"DistanceSourceToIsocenter": 918, "ViewPosition": "RL", "PatientOrientation": ["P", "F"]}


@pytest.fixture
def films(tmp_path):
    """A function that writes both films of a scan and pairs them."""

    def make(ap=(), lat=(), **tags):
        folder = tmp_path / "scan"
        folder.mkdir(exist_ok=True)
        for view, own, change in (("ap", FRONT, ap), ("lat", SIDE, lat)):
            # Other pixels: the same image twice is no pair.
            pixels = PIXELS if view == "ap" else PIXELS[::-1]
            write_image(folder / f"{view}.dcm", pixels, {**SCANNER, **own, **tags, **dict(change)})
        return pair_radiographs(find_radiographs(folder))

    return make


def test_headers_place_both_sources_about_the_isocentre(films):
    geometry = slot_scans_from_tags(films())
    assert isinstance(geometry.ap, SlotScan)
    np.testing.assert_allclose(geometry.ap.sources_mm(geometry.ap.centre_px), [987, 0, 0], atol=1e-9)
    np.testing.assert_allclose(geometry.lat.sources_mm(geometry.lat.centre_px), [0, 918, 0], atol=1e-9)
    points = np.random.default_rng(1).uniform(-20, 20, (10, 3))
    uv_ap, uv_lat = geometry.ap.project(points), geometry.lat.project(points)
    # One row of both films is at one height.
    np.testing.assert_allclose(uv_ap[:, 1], uv_lat[:, 1], atol=1e-9)
    np.testing.assert_allclose(triangulate(geometry.ap, geometry.lat, uv_ap, uv_lat).points_mm, points, atol=1e-9)


@pytest.mark.parametrize("position, side", [("PA", -1), ("AP", 1)])
def test_the_view_position_tells_the_side_of_the_source(films, position, side):
    camera = slot_scans_from_tags(films(ap={"ViewPosition": position})).ap
    assert camera.source_mm[0] == side * 987
    np.testing.assert_allclose(camera.u_axis, [0, 1, 0])


def test_the_plane_of_the_spacing_can_be_chosen(films):
    pair = films(DistanceSourceToDetector=1300)
    here, there = slot_scans_from_tags(pair).ap, slot_scans_from_tags(pair, "detector").ap
    point = np.array([0.0, 10.0, 7.0])
    offsets = [(camera.project(point) - camera.project(np.zeros(3))) * 0.2 for camera in (here, there)]
    np.testing.assert_allclose(offsets, [[10, -7], [10 * 1300 / 987, -7]], atol=1e-9)
    with pytest.raises(InputError, match="expected one of isocentre, detector"):
        slot_scans_from_tags(pair, "patient")


@pytest.mark.parametrize(
    "tags, message",
    [
        ({"ap": {"ViewPosition": None, "SeriesDescription": "ap"}}, "ap.dcm lacks ViewPosition AP or PA"),
        ({"lat": {"DistanceSourceToIsocenter": None}}, "lat.dcm lacks DistanceSourceToIsocenter"),
        ({"lat": {"PatientOrientation": None}}, "lat.dcm lacks PatientOrientation"),
        ({"ap": {"PatientOrientation": ["F", "L"]}}, "ap.dcm lacks PatientOrientation whose columns run"),
        ({"lat": {"ImagerPixelSpacing": [0.3, 0.2]}}, "the films differ in their rows"),
    ],
)
def test_what_does_not_suffice_is_said_in_the_words_of_the_refusal(films, tmp_path, tags, message):
    pair = films(**tags)
    with pytest.raises(InputError, match=message):
        slot_scans_from_tags(pair)
    with pytest.raises(InputError, match=f"made by a slot scanner .* magnifies along rows only.*{message}"):
        provide_calibration(pair, tmp_path / "scan", tmp_path)


def test_the_distance_to_the_patient_stands_in_for_that_to_the_isocentre(films):
    pair = films(lat={"DistanceSourceToIsocenter": None, "DistanceSourceToPatient": 918})
    assert slot_scans_from_tags(pair).lat.source_isocentre_mm == 918


def test_a_study_is_read_with_slot_scans_and_refused_with_cone_beams(films, tmp_path):
    pair = films()
    calibration = provide_calibration(pair, tmp_path / "scan", tmp_path)
    study = read_study(pair.ap.path, pair.lat.path, calibration, ap_polarity="bone_bright", lat_polarity="bone_bright")
    assert study.geometry.ap.source_moves and study.ap.slot_scanner == "EOS imaging EOSedge"
    document = json.loads(calibration.read_text())
    for view in document["views"].values():
        view["type"] = "cone_beam"
        del view["source_isocentre_mm"]
        # A cone beam's detector stands behind the isocentre.
        view["detector_origin_mm"] = [
            x - 0.3 * s for x, s in zip(view["detector_origin_mm"], view["source_mm"], strict=True)
        ]
    (tmp_path / "scan" / "calibration.json").write_text(json.dumps(document))
    said = []
    for use in (
        lambda: read_study(pair.ap.path, pair.lat.path, tmp_path / "scan" / "calibration.json"),
        lambda: provide_calibration(pair, tmp_path / "scan", tmp_path),
        lambda: read_radiograph(pair.ap.path),
    ):
        with pytest.raises(InputError, match="made by a slot scanner") as caught:
            use()
        said.append(str(caught.value))
    assert len(set(said)) == 1


def test_a_calibration_beside_the_films_goes_first(films, tmp_path):
    pair = films(ap={"ViewPosition": None, "SeriesDescription": "ap"})
    sidecar = tmp_path / "scan" / "calibration.json"
    write_calibration(slot_scans_from_tags(films()), sidecar)
    assert provide_calibration(pair, tmp_path / "scan", tmp_path) == sidecar


def test_the_command_writes_what_the_headers_say(films, tmp_path, capsys):
    pair = films()
    write_slot_calibration(str(pair.ap.path), str(pair.lat.path), str(tmp_path / "c.json"))
    assert "at the isocentre" in capsys.readouterr().out
    read = read_calibration(tmp_path / "c.json")
    np.testing.assert_allclose(read.lat.project(np.ones(3)), slot_scans_from_tags(pair).lat.project(np.ones(3)))
    other = write_image(tmp_path / "other.dcm", PIXELS, FRONT)
    with pytest.raises(InputError, match="not of a slot scanner"):
        write_slot_calibration(str(other), str(pair.lat.path), str(tmp_path / "d.json"))
    with pytest.raises(InputError, match="not a DICOM file"):
        write_slot_calibration(str(tmp_path / "none.dcm"), str(pair.lat.path), str(tmp_path / "d.json"))
    assert not (tmp_path / "d.json").exists()
