"""Which files are the AP and the lateral radiograph of one study."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.dicom_folder import find_radiographs
from lumbar_ext.radiographs.dicom_pairing import pair_radiographs
from lumbar_ext.radiographs.dicom_view import tell_view, view_named
from tests.radiographs.dicom_study import write_image

PIXELS = np.random.default_rng(0).integers(0, 4096, (6, 5))


def code(meaning):
    item = Dataset()
    item.CodeMeaning = meaning
    return [item]


def pair_of(folder):
    pair = pair_radiographs(find_radiographs(folder))
    return pair.ap.path.name, pair.lat.path.name, pair.remarks


@pytest.mark.parametrize(
    "ap, lat",
    [
        ({"ViewPosition": "AP"}, {"ViewPosition": "LL"}),
        ({"ViewPosition": "PA"}, {"ViewPosition": "RL"}),
        ({"ViewCodeSequence": code("antero-posterior")}, {"ViewCodeSequence": code("left lateral")}),
        ({"PositionerPrimaryAngle": 2.5}, {"PositionerPrimaryAngle": -88}),
        ({"PositionerPrimaryAngle": 179}, {"PositionerPrimaryAngle": 91}),
        ({"PatientOrientation": ["L", "F"]}, {"PatientOrientation": ["A", "F"]}),
        ({"PatientOrientation": ["F", "R"]}, {"PatientOrientation": ["F", "P"]}),
        ({"SeriesDescription": "LWS a.p. stehend"}, {"SeriesDescription": "LWS seitlich stehend"}),
        ({"ProtocolName": "Lumbar_Spine_AP"}, {"ProtocolName": "Lumbar_Spine_LAT"}),
        ({"SeriesDescription": "Rachis lombaire face"}, {"SeriesDescription": "Rachis lombaire profil"}),
    ],
)
def test_the_view_is_told_by_any_of_many_elements(tmp_path, ap, lat):
    write_image(tmp_path / "1", PIXELS, lat)
    write_image(tmp_path / "2", PIXELS, ap)
    assert pair_of(tmp_path) == ("2", "1", ())


def test_without_any_element_the_file_name_tells(tmp_path):
    for name in ("case7_AP.dcm", "case7_lat.dcm"):
        write_image(tmp_path / name, PIXELS, {})
    assert pair_of(tmp_path) == ("case7_AP.dcm", "case7_lat.dcm", ())


def test_an_image_that_tells_nothing_is_the_other_view_with_a_remark(tmp_path):
    write_image(tmp_path / "1", PIXELS, {})
    write_image(tmp_path / "2", PIXELS, {"ViewPosition": "AP"})
    ap, lat, (remark,) = pair_of(tmp_path)
    assert (ap, lat) == ("2", "1") and "tells no view; taken for the lat view" in remark


def test_contradictions_are_remarked_and_the_position_is_followed(tmp_path):
    write_image(tmp_path / "1", PIXELS, {"ViewPosition": "AP", "SeriesDescription": "lateral"})
    write_image(tmp_path / "2", PIXELS, {"ViewPosition": "LL"})
    ap, lat, (remark,) = pair_of(tmp_path)
    assert (ap, lat) == ("1", "2") and "not by SeriesDescription" in remark


def test_a_raw_copy_is_left_out(tmp_path):
    for name, view in (("1", "AP"), ("2", "LL")):
        write_image(tmp_path / name, PIXELS, {"ViewPosition": view})
        write_image(tmp_path / f"{name}raw", PIXELS, {"ViewPosition": view, "PresentationIntentType": "FOR PROCESSING"})
    assert pair_of(tmp_path)[:2] == ("1", "2")


def test_other_dicom_objects_and_other_files_are_left_out(tmp_path):
    write_image(tmp_path / "1", PIXELS, {"ViewPosition": "AP"})
    (tmp_path / "deep").mkdir()
    write_image(tmp_path / "deep" / "2", PIXELS, {"ViewPosition": "LL"})
    write_image(tmp_path / "capture.dcm", PIXELS, {"Modality": "OT", "ViewPosition": "AP"})
    (tmp_path / "DICOMDIR").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("AP")
    assert pair_of(tmp_path)[:2] == ("1", "2")


def views(*names):
    return [{"ViewPosition": name} if name else {} for name in names]


@pytest.mark.parametrize(
    "tags, message",
    [
        (views("AP"), r"expected one AP and one lateral radiograph, found 1: .*\(ap, by ViewPosition\)"),
        (views("AP", "LL", "LL"), r"found 3: .*\(lat, by ViewPosition\), .*\(lat, by ViewPosition\)"),
        (views("AP", "PA"), "found 2: .*ap, by ViewPosition.*ap, by ViewPosition"),
        (views("", ""), "view unknown.*a view is told by ViewPosition"),
        ([{"ViewPosition": "AP"}, {"ViewPosition": "LL", "PatientID": "other"}], "radiographs of 2 patients"),
        ([{"ViewPosition": "AP"}, {"ViewPosition": "LL", "StudyInstanceUID": "1.2.3"}], "radiographs of 2 studies"),
        ([{"ViewPosition": "AP", "SOPClassUID": None}], "lacks SOPClassUID"),
    ],
)
def test_what_is_no_pair_is_said(tmp_path, tags, message):
    for index, own in enumerate(tags):
        write_image(tmp_path / str(index), PIXELS, own)
    with pytest.raises(InputError, match=message) as caught:
        pair_of(tmp_path)
    assert "SIM-1" not in str(caught.value)


@pytest.mark.parametrize(
    "content, message",
    [(b"", "not a DICOM file in spite of its name"), (b"x" * 500, "not a DICOM file"), (None, "damaged DICOM")],
)
def test_corrupt_files_are_named(tmp_path, content, message):
    path = write_image(tmp_path / "bad.dcm", PIXELS, {"ViewPosition": "AP"})
    path.write_bytes(path.read_bytes()[:180] if content is None else content)
    with pytest.raises(InputError, match=rf"bad\.dcm.*({message}|lacks)"):
        find_radiographs(tmp_path)


def test_links_that_lead_out_of_the_folder_are_left_out(tmp_path, caplog):
    outside = write_image(tmp_path / "outside.dcm", PIXELS, {"ViewPosition": "AP"})
    (tmp_path / "in").mkdir()
    inside = write_image(tmp_path / "in" / "lat.dcm", PIXELS, {"ViewPosition": "LL"})
    (tmp_path / "in" / "ap.dcm").symlink_to(outside)
    (tmp_path / "in" / "same.dcm").symlink_to("lat.dcm")
    assert [found.path for found in find_radiographs(tmp_path / "in")] == [inside, tmp_path / "in" / "same.dcm"]
    assert "ap.dcm: left out, a link that leads out of the folder" in caplog.text


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no DICOM radiograph"):
        find_radiographs(tmp_path)


@pytest.mark.parametrize(
    "text, view",
    [
        ("L-Spine AP/LAT", None),
        ("Lap band", None),
        ("flat panel", None),
        ("A.P.", "ap"),
        ("antero-posterior", "ap"),
        ("POSTERO ANTERIOR", "ap"),
        ("LLD lateral", "lat"),
        ("oblique", None),
        ("", None),
    ],
)
def test_words_name_views(text, view):
    assert view_named(text) == view


@pytest.mark.parametrize("name", ["DICOMDIR", "dicomdir", "dicomdir;1", "index"])
def test_the_directory_of_a_cd_is_left_out_under_any_name(tmp_path, name):
    for view in ("ap", "lat"):
        write_image(tmp_path / f"{view}.dcm", PIXELS, {"ViewPosition": view.upper()})
    directory = pydicom.dcmread(tmp_path / "ap.dcm")
    directory.clear()
    directory.FileSetID = "CD"
    directory.DirectoryRecordSequence = []
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.save_as(tmp_path / name)
    pair = pair_radiographs(find_radiographs(tmp_path))
    assert (pair.ap.path.name, pair.lat.path.name) == ("ap.dcm", "lat.dcm")


def test_a_damaged_element_is_named_when_it_is_needed(tmp_path):
    """pydicom raises ValueError for it."""
    path = write_image(tmp_path / "ap.dcm", PIXELS, {"DistanceSourceToDetector": "1234567"})
    path.write_bytes(path.read_bytes().replace(b"1234567", b"1234,67"))
    (radiograph,) = find_radiographs(tmp_path)
    with pytest.raises(InputError, match=r"ap\.dcm: DICOM tag \(0018,1110\) DistanceSourceToDetector is '1234,67'"):
        radiograph.number("DistanceSourceToDetector")


@pytest.mark.parametrize("seed", range(40))
def test_damaged_headers_raise_input_errors_alone(tmp_path, seed):
    path = write_image(tmp_path / "ap.dcm", PIXELS, {"ViewPosition": "AP"})
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for place in rng.integers(128, len(content), 3):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    try:
        for radiograph in find_radiographs(tmp_path):
            tell_view(radiograph)
            radiograph.text("PatientID")
    except InputError as error:
        assert "ap.dcm" in str(error) or str(tmp_path) in str(error)


def test_texts_of_headers_are_as_they_are_written(tmp_path):
    tags = {"PatientName": "M\u00fcster^J\u00f6rg", "SpecificCharacterSet": "ISO_IR 100", "PatientID": "\u00c4-0123"}
    (radiograph,) = find_radiographs(write_image(tmp_path / "ap.dcm", PIXELS, {"ImageType": ["A", "B"], **tags}))
    texts = [radiograph.text(keyword) for keyword in ("PatientName", "PatientID", "ImageType")]
    assert texts == ["M\u00fcster^J\u00f6rg", "\u00c4-0123", "A\\B"]
