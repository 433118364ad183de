"""DICOM objects read back, and checked by dciodvfy of Debian's dicom3tools where it is installed."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.io.input_file import sha256
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.measurements.document import measurements_document, write_measurements
from lumbar_ext.measurements.uncertainty.assessment import Assessment, assess_values
from lumbar_ext.measurements.uncertainty.grade import missing_quality
from lumbar_ext.measurements.values.definitions import BY_ID
from lumbar_ext.measurements.values.reference_ranges import ReferenceRange
from lumbar_ext.measurements.values.spine_values import Values
from lumbar_ext.mesh.files import write_stl
from tests.radiographs.conftest import _write_dicom
from tests.validators import sr_findings

pytest.importorskip("highdicom")

from highdicom.sr import srread

from lumbar_ext.geometry.axes import LPS_FROM_WORLD
from lumbar_ext.report.dicom.export import write_dicom

HEADER = {
    "PatientName": "Doe^Jane",
    "PatientID": "1234",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "StudyDate": "20260304",
    "StudyTime": "101112",
    "StudyID": "1",
    "AccessionNumber": "7",
    "ReferringPhysicianName": "",
}
TETRAHEDRON = (
    np.array([[0, 0, 0], [30, 0, 0], [0, 30, 0], [0, 0, 30.0]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)


PDF = b"%PDF-1.4 a report of odd length"
OBJECTS = ["L3.dcm", "measurements.dcm", "overlay_ap.dcm", "overlay_lat.dcm", "report.dcm"]
VALUES = {
    ("L3", "superior_endplate_width"): 44.5,
    ("L3", "wedge_ratio"): 0.95,
    ("L3-L4", "disc_angle"): 8.0,
    ("L1-L5", "cobb"): -4.0,
}


WIDTH, COBB = ("L3", "superior_endplate_width"), ("L1-L5", "cobb")
KNOWN = {
    WIDTH: {"interval_90": (42.25, 46.0), "reference": ReferenceRange(40.0, None, "Somebody, 1990")},
    COBB: {"grade": "L2 to L4", "interval_90": None, "reference": ReferenceRange(None, 10.0, "Somebody, 1991")},
}


@pytest.fixture
def reconstruction(tmp_path):
    """Files of a reconstruction that found L3."""
    values = {key: np.array(value) for key, value in VALUES.items()}
    quality = {level: missing_quality("made up") for level in LEVELS}
    measured = [replace(m, **KNOWN.get((m.subject, m.id), {})) for m in assess_values(Values(values, {}))]
    assessment = Assessment(tuple(measured), {}, quality, False)
    document = measurements_document(assessment, {"L3": RigidTransform.identity()})
    write_measurements(tmp_path / "measurements.json", document)
    write_stl(tmp_path / "L3.stl", *TETRAHEDRON)
    write_landmarks(tmp_path / "landmarks.json", landmarks_of_l3())
    (tmp_path / "report.pdf").write_bytes(PDF)
    for seed, view in enumerate(VIEWS):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"overlay_{view}.png")
    return tmp_path


def landmarks_of_l3():
    """L3 alone; its spinous process is not seen, its left pedicle in the AP view only."""
    rng = np.random.default_rng(1)
    shape = (len(LEVELS), len(LANDMARKS))
    position_mm, ap_px, lat_px = (rng.uniform(5, 25, (*shape, size)) for size in (3, 2, 2))
    confidence, gap_mm = np.ones(shape), np.zeros(shape)
    absent = np.ones(shape, bool)
    absent[2] = [name == "spinous_process" for name in LANDMARKS]
    in_lat = absent.copy()
    in_lat[2, LANDMARKS.index("left_pedicle")] = True
    for array, unknown in ((ap_px, absent), (lat_px, in_lat), (position_mm, in_lat), (gap_mm, in_lat)):
        array[unknown] = np.nan
    known = {"ap": np.where(absent, np.nan, confidence), "lat": np.where(in_lat, np.nan, confidence)}
    return StudyLandmarks(position_mm, {"ap": ap_px, "lat": lat_px}, known, gap_mm)


def radiographs(folder, study=None, **changes):
    study = study or generate_uid()
    paths = []
    for view in ("ap", "lat"):
        stored = np.random.default_rng(0).integers(0, 4000, (40, 30)).astype(np.uint16)
        tags = {**HEADER, "StudyInstanceUID": study, "SeriesInstanceUID": generate_uid(), "Modality": "DX", **changes}
        paths.append(str(_write_dicom(folder / f"{view}.dcm", stored, **tags)))
    made_from(folder, *paths)
    return paths


def made_from(folder, ap, lat):
    """The part of a reconstruction's run.json that says what it was made from."""
    inputs = {f"{view}_image": {"path": path, "sha256": sha256(path)} for view, path in (("ap", ap), ("lat", lat))}
    (folder / "run.json").write_text(json.dumps({"inputs": inputs, "bundles": {"lumbar_reconstruction": "7.8.9"}}))


@pytest.fixture
def objects(reconstruction):
    """Folder of the objects of a reconstruction with a complete header."""
    write_dicom(str(reconstruction), *radiographs(reconstruction), str(reconstruction / "dicom"))
    return reconstruction / "dicom"


@pytest.fixture
def groups(objects):
    """Measurement groups of the report by subject, each a dictionary of values by the code of their name."""
    found = srread(objects / "measurements.dcm").content.get_image_measurement_groups()
    return {group.tracking_identifier: {item.name.value: item for item in group.get_measurements()} for group in found}


def test_all_objects_belong_to_the_study_and_the_person(objects):
    assert sorted(path.name for path in objects.iterdir()) == OBJECTS
    results = [pydicom.dcmread(path) for path in sorted(objects.iterdir())]
    assert {data.StudyInstanceUID for data in results} == {pydicom.dcmread(objects.parent / "ap.dcm").StudyInstanceUID}
    assert {(data.PatientID, str(data.PatientName)) for data in results} == {("1234", "Doe^Jane")}
    assert len({data.SOPInstanceUID for data in results}) == len(OBJECTS)
    assert len({data.SeriesInstanceUID for data in results}) == len({data.SeriesNumber for data in results}) == 4
    assert all(data.SeriesDate and data.SeriesTime for data in results)
    assert all("Research only" in data.SeriesDescription for data in results)


def test_the_report_names_the_bundle_that_measured(objects):
    report = pydicom.dcmread(objects / "measurements.dcm")
    named = [item for item in report.iterall() if item.keyword == "ConceptNameCodeSequence"]
    assert any(item.value[0].CodeMeaning == "Algorithm Version" for item in named)
    texts = {str(item.value) for item in report.iterall() if item.keyword == "TextValue"}
    assert "lumbar_reconstruction 7.8.9" in texts


def test_the_report_holds_all_values_under_their_ids(groups):
    """Ids longer than a DICOM code value, a ratio, a segment and the whole spine; values that cannot be had are absent."""
    found = {
        (subject, name): item.value for subject, own in groups.items() for name, item in own.items() if name in BY_ID
    }
    assert found == pytest.approx(VALUES)
    for (subject, name), item in ((key, groups[key[0]][key[1]]) for key in VALUES):
        assert item.unit.value == BY_ID[name].unit, subject
    assert set(groups) == {"L3", "L3-L4", "L1-L5"}


def numbers_about(item):
    """By name, the numbers that are said of a measurement."""
    return {
        about.name.meaning: (float(about.value), about.unit.value)
        for about in item[0].ContentSequence
        if about.ValueType == "NUM"
    }


def test_values_carry_their_interval_and_their_reference_range(groups):
    width, cobb = (groups[subject][name] for subject, name in (WIDTH, COBB))
    assert numbers_about(width) == {
        "+, range of upper measurement uncertainty": (1.5, "mm"),
        "-, range of lower measurement uncertainty": (2.25, "mm"),
        "Normal Range Lower Limit": (40.0, "mm"),
    }
    assert numbers_about(cobb) == {"Normal Range Upper Limit": (10.0, "deg")}
    assert "Somebody, 1991" in [about.value for about in cobb[0].ContentSequence if about.ValueType == "TEXT"]


def test_grades_stand_with_what_they_belong_to(objects):
    found = srread(objects / "measurements.dcm").content.get_image_measurement_groups()
    said = {
        (group.tracking_identifier, item.name.meaning): item.value.meaning
        for group in found
        for item in group.get_qualitative_evaluations()
    }
    assert said == {
        ("L3", "Reliability of the reconstruction"): "failed",
        ("L1-L5", f"Class of: {BY_ID[COBB[1]].title}"): "L2 to L4",
    }


@pytest.mark.skipif(shutil.which("dsr2html") is None, reason="needs Debian's dcmtk")
def test_dsr2html_shows_names_with_values(objects):
    command = ["dsr2html", "+U8", str(objects / "measurements.dcm")]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for text in (BY_ID[WIDTH[1]].title, "44.5", "Normal Range Lower Limit", "Reliability of the reconstruction", "Doe"):
        assert text in page, text


def test_the_report_is_there_as_it_is(objects):
    data = pydicom.dcmread(objects / "report.dcm")
    assert data.file_meta.MediaStorageSOPClassUID.name == "Encapsulated PDF Storage"
    assert (data.Modality, data.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
    assert data.EncapsulatedDocument[: data.EncapsulatedDocumentLength] == PDF


def test_without_a_pdf_there_is_no_report(reconstruction):
    (reconstruction / "report.pdf").unlink()
    write_dicom(str(reconstruction), *radiographs(reconstruction), str(reconstruction / "dicom"))
    assert not (reconstruction / "dicom" / "report.dcm").exists()


@pytest.mark.parametrize("name", ["measurements.dcm", "L3.dcm"])
def test_our_coding_scheme_is_declared(objects, name):
    (scheme,) = pydicom.dcmread(objects / name).CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99LUMBAREXT" and len(scheme.CodingSchemeName) > 10


def test_volume_and_distances_come_from_mesh_and_landmarks(groups):
    own, landmarks = groups["L3"], landmarks_of_l3()
    (volume,) = (item for item in own.values() if item.name.meaning == "Volume")
    assert volume.value == pytest.approx(30**3 / 6)
    top, bottom = landmarks.positions_mm[2, :2]
    assert own["centre_height"].value == pytest.approx(np.linalg.norm(top - bottom), abs=1e-3)
    assert "pedicle_dist" not in own, "one pedicle has no place in space"
    lines = [item.value for item in own["centre_height"].referenced_coordinates]
    # DICOM counts from the corner of the first pixel, the landmarks file from its centre.
    np.testing.assert_allclose(
        lines, [landmarks.positions_px["ap"][2, :2] + 0.5, landmarks.positions_px["lat"][2, :2] + 0.5], atol=1e-2
    )


def test_sites_are_the_vertebrae_or_the_spine(objects):
    found = srread(objects / "measurements.dcm").content.get_image_measurement_groups()
    sites = {group.tracking_identifier: [site.value.meaning for site in group.finding_sites] for group in found}
    assert sites == {"L3": ["L3 vertebra"], "L3-L4": ["L3 vertebra", "L4 vertebra"], "L1-L5": ["Lumbar spine"]}


def test_the_mesh_is_in_patient_axes_with_its_true_length(objects):
    data = pydicom.dcmread(objects / "L3.dcm")
    assert data.file_meta.MediaStorageSOPClassUID.name == "Encapsulated STL Storage"
    assert (data.Modality, data.MIMETypeOfEncapsulatedDocument) == ("M3D", "model/stl")
    assert data.MeasurementUnitsCodeSequence[0].CodeValue == "mm" and data.ModelMirroring == "NO"
    content = data.EncapsulatedDocument[: data.EncapsulatedDocumentLength]
    assert len(data.EncapsulatedDocument) % 2 == 0 and len(content) == 84 + 50 * len(TETRAHEDRON[1])
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(content, record, offset=84)["corners"]
    np.testing.assert_allclose(corners @ LPS_FROM_WORLD, TETRAHEDRON[0][TETRAHEDRON[1]], atol=1e-4)
    # A person's front and left in DICOM's axes (left, posterior, head).
    np.testing.assert_array_equal(LPS_FROM_WORLD @ [1, 0, 0], [0, -1, 0])
    np.testing.assert_array_equal(LPS_FROM_WORLD @ [0, 1, 0], [1, 0, 0])
    assert np.linalg.det(LPS_FROM_WORLD) == pytest.approx(1)


@pytest.mark.parametrize("view", VIEWS)
def test_overlays_are_secondary_captures_of_their_radiograph(objects, view):
    data = pydicom.dcmread(objects / f"overlay_{view}.dcm")
    assert data.file_meta.MediaStorageSOPClassUID.name == "Secondary Capture Image Storage"
    picture = np.asarray(Image.open(objects.parent / f"overlay_{view}.png"))
    np.testing.assert_array_equal(data.pixel_array, picture)
    source = pydicom.dcmread(objects.parent / f"{view}.dcm")
    assert data.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_an_empty_header_is_no_obstacle(reconstruction):
    images = radiographs(reconstruction, PatientName="", PatientID="", PatientBirthDate="", StudyDate="")
    write_dicom(str(reconstruction), *images, str(reconstruction / "dicom"))
    assert pydicom.dcmread(reconstruction / "dicom" / "L3.dcm").PatientID == ""


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools")
@pytest.mark.parametrize("name", OBJECTS)
def test_dciodvfy_finds_no_error(objects, name):
    command = ["dciodvfy", str(objects / name)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [line for line in (finished.stdout + finished.stderr).splitlines() if line.startswith("Error")]
    assert errors == []


# Rows 9 and 10 of TID 300 take numbers of any name; the validator holds those of TID 310 and 312 against them, too.
_ANY_NUMBER = re.compile(r"Template 300 .*/\[Row (9|10)\] NUM \*: .*expected INFERRED FROM - found HAS PROPERTIES")
# Its context groups are of 2019; today's CID 100 holds the code (PS3.16 2024).
_NEWER_CODE = 'Code (43468-8,LN,"XR unspecified body region") not found in context group 100'


def test_the_report_follows_its_template(objects):
    template, errors = sr_findings(objects / "measurements.dcm")
    assert template == "TID_1500"
    assert [line for line in errors if not _ANY_NUMBER.search(line) and _NEWER_CODE not in line] == []


def test_a_report_that_does_not_is_found_out(objects, tmp_path):
    report = pydicom.dcmread(objects / "measurements.dcm")
    (procedure,) = (item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121058")
    procedure.RelationshipType = "CONTAINS"
    report.save_as(tmp_path / "wrong.dcm")
    _, errors = sr_findings(tmp_path / "wrong.dcm")
    assert any("121058" in line and "Incorrect relationship" in line for line in errors)


def test_radiographs_that_are_not_dicom_are_refused(reconstruction):
    (reconstruction / "ap.png").write_bytes(b"no DICOM")
    with pytest.raises(InputError, match=r"ap\.png.*cannot be read as DICOM"):
        write_dicom(str(reconstruction), *[str(reconstruction / "ap.png")] * 2, str(reconstruction / "dicom"))


@pytest.mark.parametrize(("changes", "what"), [({}, "studies"), ({"PatientID": "5678"}, "patients")])
def test_radiographs_of_different_studies_or_patients_are_refused(reconstruction, changes, what):
    ap = radiographs(reconstruction)[0]
    (reconstruction / "other").mkdir()
    lat = radiographs(reconstruction / "other", **changes)[1]
    made_from(reconstruction, ap, lat)
    with pytest.raises(InputError, match=f"different {what}") as refused:
        write_dicom(str(reconstruction), ap, lat, str(reconstruction / "dicom"))
    assert "5678" not in str(refused.value)
    assert not (reconstruction / "dicom").exists()


def test_results_are_not_filed_under_another_persons_radiographs(reconstruction):
    radiographs(reconstruction)
    (reconstruction / "other").mkdir()
    others = radiographs(reconstruction / "other", PatientName="Roe^Richard", PatientID="5678", StudyDate="20260305")
    with pytest.raises(InputError, match="not the ap radiograph that"):
        write_dicom(str(reconstruction), *others, str(reconstruction / "dicom"))
    assert not (reconstruction / "dicom").exists()


def test_a_reconstruction_that_does_not_say_what_it_was_made_from_is_refused(reconstruction):
    paths = radiographs(reconstruction)
    (reconstruction / "run.json").write_text("{}")
    with pytest.raises(InputError, match="does not say which radiographs"):
        write_dicom(str(reconstruction), *paths, str(reconstruction / "dicom"))


@pytest.mark.parametrize("name", ["measurements.json", "landmarks.json", "overlay_lat.png"])
def test_a_folder_without_a_reconstruction_is_refused_and_nothing_is_written(reconstruction, name):
    (reconstruction / name).unlink()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        write_dicom(str(reconstruction), *radiographs(reconstruction), str(reconstruction / "dicom"))
    assert not (reconstruction / "dicom").exists()


AS_PACS_LEAVES_IT = {
    "AccessionNumber": "RAD-2024-000000012345",
    "PatientBirthDate": "1970-01-01",
    "StudyTime": "10:15:00",
    "PatientSex": "female",
    "StudyID": "x" * 20,
    "PatientName": "Doe^" + "J" * 80,
}


def test_values_against_their_representation_are_made_valid_or_left_empty(reconstruction):
    images = radiographs(reconstruction)
    for path in images:
        data = pydicom.dcmread(path)
        for keyword, value in AS_PACS_LEAVES_IT.items():
            vr = pydicom.datadict.dictionary_VR(keyword)
            data[keyword] = pydicom.DataElement(keyword, vr, value, validation_mode=pydicom.config.IGNORE)
        with pydicom.config.disable_value_validation():
            data.save_as(path)
    made_from(reconstruction, *images)
    with pytest.warns(UserWarning, match="AccessionNumber is no valid SH value and is left empty"):
        write_dicom(str(reconstruction), *images, str(reconstruction / "dicom"))
    written = [pydicom.dcmread(path) for path in (reconstruction / "dicom").iterdir()]
    assert len(written) == len(OBJECTS)
    for data in written:
        found = {keyword: str(data.get(keyword, "")) for keyword in AS_PACS_LEAVES_IT}
        assert found == {
            "AccessionNumber": "",
            "PatientBirthDate": "19700101",
            "StudyTime": "101500",
            "PatientSex": "F",
            "StudyID": "",
            "PatientName": "Doe^" + "J" * 60,
        }


JAPANESE = "Test^Case=\u8a66\u9a13^\u60a3\u8005=\u3057\u3051\u3093^\u304b\u3093\u3058\u3083"


@pytest.mark.parametrize(
    "charset, name",
    [
        (["", "ISO 2022 IR 87"], JAPANESE),
        ("ISO_IR 100", "M\u00fcster^J\u00f6rg"),
        ("ISO_IR 144", "\u041b\u044e\u043ac\u0435\u043c\u0431\u0443\u0440\u0433"),
        ("ISO_IR 192", "\u0141ukasz^\u017b"),
    ],
)
def test_names_stay_readable_in_every_character_set(reconstruction, charset, name):
    images = radiographs(reconstruction, SpecificCharacterSet=charset, PatientName=name)
    assert str(pydicom.dcmread(images[0]).PatientName) == name
    write_dicom(str(reconstruction), *images, str(reconstruction / "dicom"))
    for path in (reconstruction / "dicom").iterdir():
        data = pydicom.dcmread(path)
        assert (data.SpecificCharacterSet, str(data.PatientName)) == ("ISO_IR 192", name)


def test_a_study_without_its_uid_is_named(reconstruction):
    images = radiographs(reconstruction, study="no uid")
    with pytest.raises(InputError, match=r"\(0020,000D\) StudyInstanceUID is missing or no UID"):
        write_dicom(str(reconstruction), *images, str(reconstruction / "dicom"))
