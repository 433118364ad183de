"""A study is read only if its parts belong together."""

import json
import warnings

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.io.calibration import write_calibration
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.studies.biplanar_study import read_study


@pytest.fixture
def folder(tmp_path, geometry, trunk):
    """A study of PNG files."""
    write_calibration(geometry, tmp_path / "calibration.json")
    for seed, view in enumerate(VIEWS):
        columns, rows = geometry[view].size_px
        write_png(tmp_path / f"{view}.png", trunk(rows, columns, seed))
    return tmp_path


def read(folder, ap="ap.png", lat="lat.png", **options):
    return read_study(folder / ap, folder / lat, folder / "calibration.json", **options)


def pixels_of(folder, view):
    return read_radiograph(folder / f"{view}.png").pixels.astype(np.uint16)


def test_a_sound_study_has_no_warnings(folder, geometry):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = read(folder)
    assert study.warnings == ()
    assert study.geometry.ap.size_px == study.ap.size_px == geometry.ap.size_px
    assert study.unsure_of_polarity == ("ap", "lat")


def test_inverted_images_come_out_bone_bright(folder):
    bright = pixels_of(folder, "lat")
    write_png(folder / "dark.png", 65535 - bright)
    found = read(folder, lat="dark.png").lat.pixels
    np.testing.assert_array_equal(found - found.min(), bright.astype(float) - bright.min())
    assert read(folder, lat_polarity="bone_bright").unsure_of_polarity == ("ap",)


def test_the_same_file_or_image_twice_is_refused(folder):
    with pytest.raises(InputError, match=r"ap.png: given as both views"):
        read(folder, lat="ap.png")
    (folder / "copy.png").write_bytes((folder / "ap.png").read_bytes())
    with pytest.raises(InputError, match="the same image twice"):
        read(folder, lat="copy.png")


def test_sizes_must_agree_with_the_calibration(folder):
    with pytest.raises(InputError, match=r"lat.png: 51 columns x 80 rows, .* \[64, 63\] .* wrong way round"):
        read(folder, ap="lat.png", lat="ap.png")
    write_png(folder / "turned.png", pixels_of(folder, "lat").T.copy())
    with pytest.raises(InputError, match=r"turned.png: 80 columns x 51 rows, .* the image is turned"):
        read(folder, lat="turned.png")


@pytest.mark.parametrize("factor, accepted", [(1.008, True), (1.02, False), (0.98, False)])
def test_spacings_must_agree_within_one_percent(folder, geometry, factor, accepted):
    du, dv = geometry.ap.pixel_spacing_mm
    write_nifti_image(folder / "ap.nii", pixels_of(folder, "ap"), (du, dv * factor))
    if accepted:
        read(folder, ap="ap.nii")
        return
    with pytest.raises(InputError, match=r"ap.nii: detector pixel spacing .* .*calibration.json states \[1.0, 1.5\]"):
        read(folder, ap="ap.nii")


def test_a_projection_matrix_takes_the_spacing_of_its_image(folder, geometry):
    document = json.loads((folder / "calibration.json").read_text())
    matrix, size = geometry.ap.projection_matrix().tolist(), list(geometry.ap.size_px)
    document["views"]["ap"] = {"projection_matrix": matrix, "size_px": size}
    (folder / "calibration.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="the image states no detector spacing"):
        read(folder)
    write_nifti_image(folder / "ap.nii", pixels_of(folder, "ap"), geometry.ap.pixel_spacing_mm)
    camera = read(folder, ap="ap.nii").geometry.ap
    np.testing.assert_allclose(camera.detector_origin_mm, geometry.ap.detector_origin_mm, atol=1e-6)


def dicom_pair(folder, write_dicom, ap_tags, lat_tags):
    for view, tags in (("ap", ap_tags), ("lat", lat_tags)):
        write_dicom(folder / f"{view}.dcm", pixels_of(folder, view), **tags)
    return read(folder, ap="ap.dcm", lat="lat.dcm")


@pytest.mark.parametrize(
    "ap_tags, lat_tags, message",
    [
        ({"PatientID": "A"}, {"PatientID": "B"}, "patient identifiers differ"),
        ({"StudyDate": "20240101"}, {"StudyDate": "20240102"}, "study dates differ"),
        ({"ViewPosition": "LL"}, {}, "ap.dcm: given as the ap view but tagged LL"),
        ({}, {"ViewPosition": "PA"}, "lat.dcm: given as the lat view but tagged PA"),
        (
            {"PatientOrientation": ["R", "F"]},
            {},
            r"ap.dcm: by its tags u grows towards R, but u_axis of the ap view is",
        ),
        ({}, {"PatientOrientation": ["P", "H"]}, r"lat.dcm: by its tags v grows towards H, but v_axis of the lat view"),
    ],
)
def test_doubts_are_warned_of_and_kept(folder, write_dicom, ap_tags, lat_tags, message):
    with pytest.warns(UserWarning, match=message):
        study = dicom_pair(folder, write_dicom, ap_tags, lat_tags)
    assert len(study.warnings) == 1 and study.unsure_of_polarity == ()


def test_a_source_that_stands_beside_the_film_is_told(folder, geometry):
    """Of the AP film the left two fifths are left, and the source stood before its middle."""
    columns = 2 * geometry.ap.size_px[0] // 5
    write_png(folder / "ap.png", pixels_of(folder, "ap")[:, :columns])
    camera = geometry.ap.replace(size_px=(columns, geometry.ap.size_px[1]))
    write_calibration(BiplanarGeometry(camera, geometry.lat), folder / "calibration.json")
    outside_mm = (camera.principal_point_px[0] - (columns - 1)) * camera.pixel_spacing_mm[0]
    with pytest.warns(UserWarning, match=f"of the ap view meets its plane {outside_mm:.0f} mm outside the film"):
        read(folder)


def test_agreeing_tags_raise_no_doubt(folder, write_dicom):
    tags = {"PatientID": "A", "StudyDate": "20240101"}
    study = dicom_pair(
        folder,
        write_dicom,
        tags | {"ViewPosition": "PA", "PatientOrientation": ["L", "F"]},
        tags | {"ViewPosition": "RL", "PatientOrientation": ["P", "F"]},
    )
    assert study.warnings == ()


def test_views_tagged_the_other_way_round_are_refused(folder, write_dicom):
    with pytest.raises(InputError, match="the wrong way round"):
        dicom_pair(folder, write_dicom, {"ViewPosition": "LL"}, {"ViewPosition": "AP"})
