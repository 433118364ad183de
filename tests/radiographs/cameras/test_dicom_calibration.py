"""Calibration beside the images, or from the header of an isocentric system."""

import json

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.radiographs.cameras.dicom_calibration import provide_calibration
from lumbar_ext.radiographs.cameras.dicom_cameras import camera_from_tags
from lumbar_ext.radiographs.dicom_folder import find_radiographs
from lumbar_ext.radiographs.dicom_pairing import pair_radiographs
from tests.radiographs.dicom_study import write_image

PIXELS = np.random.default_rng(0).integers(0, 4096, (400, 300))
C_ARM = {
    "Modality": "XA",
    "DistanceSourceToDetector": 1200,
    "DistanceSourceToPatient": 800,
    "PositionerSecondaryAngle": 0,
    "ImagerPixelSpacing": [0.4, 0.5],
}


@pytest.fixture
def c_arm(tmp_path):
    """A function that writes both views of a C-arm and pairs them."""

    def make(folder=tmp_path / "study", ap=(), lat=(), **tags):
        folder.mkdir(exist_ok=True)
        angles = {"ap": {"PositionerPrimaryAngle": 0}, "lat": {"PositionerPrimaryAngle": 90}}
        for view, own in (("ap", ap), ("lat", lat)):
            write_image(folder / view, PIXELS, {**C_ARM, **angles[view], **tags, **dict(own)})
        return pair_radiographs(find_radiographs(folder))

    return make


@pytest.mark.parametrize(
    "primary_deg, secondary_deg, detector, u_axis, v_axis",
    [
        (0, 0, [1, 0, 0], [0, 1, 0], [0, 0, -1]),  # seen from the front: the person's left on the right
        (90, 0, [0, 1, 0], [-1, 0, 0], [0, 0, -1]),  # left lateral: the front on the left
        (-90, 0, [0, -1, 0], [1, 0, 0], [0, 0, -1]),
        (180, 0, [-1, 0, 0], [0, -1, 0], [0, 0, -1]),
        (0, 30, [np.cos(np.pi / 6), 0, 0.5], [0, 1, 0], [0.5, 0, -np.cos(np.pi / 6)]),  # cranial
    ],
)
def test_angles_place_the_detector(c_arm, primary_deg, secondary_deg, detector, u_axis, v_axis):
    pair = c_arm(
        ap={"PositionerPrimaryAngle": primary_deg, "PositionerSecondaryAngle": secondary_deg, "ViewPosition": "AP"}
    )
    camera = camera_from_tags(pair.ap)
    np.testing.assert_allclose(camera.source_mm, -800 * np.array(detector), atol=1e-9)
    np.testing.assert_allclose(camera.detector_point(camera.centre_px), 400 * np.array(detector), atol=1e-9)
    np.testing.assert_allclose([camera.u_axis, camera.v_axis], [u_axis, v_axis], atol=1e-12)
    assert camera.pixel_spacing_mm == (0.5, 0.4) and camera.size_px == (300, 400)
    assert abs(camera.source_distance_mm) == pytest.approx(1200)


def test_the_isocentre_lies_in_the_middle_and_is_magnified(c_arm):
    camera = camera_from_tags(c_arm().ap)
    np.testing.assert_allclose(camera.project(np.zeros(3)), camera.centre_px)
    assert camera.magnification(np.zeros(3)) == pytest.approx([1.5, 1.5])


def test_patient_orientation_turns_the_axes(c_arm):
    camera = camera_from_tags(c_arm(ap={"PatientOrientation": ["R", "F"]}).ap)
    np.testing.assert_allclose(camera.u_axis, [0, -1, 0], atol=1e-12)
    camera = camera_from_tags(c_arm(ap={"PatientOrientation": ["F", "L"]}).ap)
    np.testing.assert_allclose([camera.u_axis, camera.v_axis], [[0, 0, -1], [0, 1, 0]], atol=1e-12)


def test_headers_of_a_c_arm_suffice(c_arm, tmp_path):
    pair = c_arm()
    path = provide_calibration(pair, tmp_path / "study", tmp_path)
    geometry = read_calibration(path)
    np.testing.assert_allclose(geometry["lat"].source_mm, [0, -800, 0], atol=1e-9)


def test_a_file_beside_the_images_or_above_them_goes_first(c_arm, tmp_path):
    pair = c_arm()
    for folder in (tmp_path / "study", tmp_path):
        (folder / "calibration.json").write_text("{}")
        assert provide_calibration(pair, tmp_path, tmp_path) == tmp_path / "study" / "calibration.json"
    (tmp_path / "study" / "calibration.json").unlink()
    assert provide_calibration(pair, tmp_path, tmp_path) == tmp_path / "calibration.json"
    (tmp_path / "study" / "calibration.json").symlink_to(tmp_path / "calibration.json")
    with pytest.raises(InputError, match="a link that leads out of"):
        provide_calibration(pair, tmp_path / "study", tmp_path)
    (tmp_path / "study" / "calibration.json").unlink()
    # What lies above the folder that was given is no part of the input.
    work = tmp_path / "work"
    work.mkdir()
    assert provide_calibration(pair, tmp_path / "study", work) == work / "calibration.json"


@pytest.mark.parametrize(
    "tags, message",
    [
        ({"DistanceSourceToPatient": None}, "ap lacks DistanceSourceToPatient; lat lacks DistanceSourceToPatient"),
        ({"Modality": "DX"}, "lacks PositionerType CARM"),
        ({"DetectorPrimaryAngle": 5}, "lacks DetectorPrimaryAngle 0"),
        ({"DistanceSourceToPatient": 1300}, "expected 0 < the former < the latter"),
        (
            {"ImagerPixelSpacing": [0.0, 0.4]},
            r"ap\S*: no camera from the DICOM header: pixel_spacing_mm must be two positive",
        ),
        ({"Manufacturer": "EOS imaging"}, "made by a slot scanner .* not supported yet"),
        ({"ManufacturerModelName": "EOSedge"}, "made by a slot scanner"),
    ],
)
def test_what_does_not_suffice_is_said(c_arm, tmp_path, tags, message):
    with pytest.raises(InputError, match=message):
        provide_calibration(c_arm(**tags), tmp_path / "study", tmp_path)


def test_a_slot_scanner_is_refused_even_with_a_calibration(c_arm, tmp_path):
    pair = c_arm(Manufacturer="EOS imaging")
    (tmp_path / "study" / "calibration.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="slot scanner"):
        provide_calibration(pair, tmp_path / "study", tmp_path)


def test_one_header_alone_is_no_calibration(c_arm, tmp_path):
    pair = c_arm(lat={"DistanceSourceToDetector": None})
    with pytest.raises(InputError, match=r"expected calibration\.json beside the images.*\(lat lacks"):
        provide_calibration(pair, tmp_path / "study", tmp_path)
