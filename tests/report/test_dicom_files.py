"""DICOM objects read back, and checked by dciodvfy of Debian's dicom3tools where it is installed."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.io.mesh import write_stl
from lumbar_ext.measurements.assessment import Assessment, assess_values
from lumbar_ext.measurements.document import measurements_document, write_measurements
from lumbar_ext.measurements.quality import missing_quality
from lumbar_ext.measurements.spine import Values
from lumbar_ext.report.dicom_files import write_dicom as write_objects
from tests.io.conftest import _write_dicom

pytest.importorskip("highdicom")
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


@pytest.fixture
def reconstruction(tmp_path):
    found = {("L3", "anterior_height"): np.array(27.5), ("L3-L4", "disc_angle"): np.array(8.0)}
    found |= {("L1-L5", "cobb"): np.array(-4.0)}
    levels = ("L1", "L2", "L3", "L4", "L5")
    quality = {level: missing_quality("made up") for level in levels}
    assessment = Assessment(assess_values(Values(found, {})), {}, quality, False)
    document = measurements_document(assessment, {"L3": RigidTransform.identity()})
    write_measurements(tmp_path / "measurements.json", document)
    write_stl(tmp_path / "L3.stl", *TETRAHEDRON)
    return tmp_path


def radiographs(folder, study=None, **changes):
    study = study or generate_uid()
    paths = []
    for view in ("ap", "lat"):
        stored = np.random.default_rng(0).integers(0, 4000, (40, 30)).astype(np.uint16)
        tags = {**HEADER, "StudyInstanceUID": study, "SeriesInstanceUID": generate_uid(), "Modality": "DX", **changes}
        paths.append(str(_write_dicom(folder / f"{view}.dcm", stored, **tags)))
    return paths


def values_of(item):
    """All numbers of a content tree by the code of their name."""
    found = {}
    for node in item.get("ContentSequence", []):
        if node.ValueType == "NUM":
            name = node.ConceptNameCodeSequence[0]
            value = name.get("CodeValue") or name.get("LongCodeValue")
            found[value] = float(node.MeasuredValueSequence[0].NumericValue)
        found |= values_of(node)
    return found


def test_objects_belong_to_the_study_and_hold_the_values(reconstruction):
    images = radiographs(reconstruction)
    write_objects(str(reconstruction), *images, str(reconstruction / "dicom"))
    report = pydicom.dcmread(reconstruction / "dicom" / "measurements.dcm")
    mesh = pydicom.dcmread(reconstruction / "dicom" / "L3.dcm")
    study = pydicom.dcmread(images[0]).StudyInstanceUID
    assert report.StudyInstanceUID == mesh.StudyInstanceUID == study
    assert report.PatientID == mesh.PatientID == "1234"
    assert values_of(report) == pytest.approx({"anterior_height": 27.5, "disc_angle": 8.0, "cobb": -4.0})
    content = bytes(mesh.EncapsulatedDocument)[: mesh.EncapsulatedDocumentLength]
    assert content == (reconstruction / "L3.stl").read_bytes()
    assert sorted(path.name for path in (reconstruction / "dicom").iterdir()) == ["L3.dcm", "measurements.dcm"]


def test_an_empty_header_is_no_obstacle(reconstruction):
    images = radiographs(reconstruction, PatientName="", PatientID="", PatientBirthDate="", StudyDate="")
    write_objects(str(reconstruction), *images, str(reconstruction / "dicom"))
    assert pydicom.dcmread(reconstruction / "dicom" / "L3.dcm").PatientID == ""


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools")
@pytest.mark.parametrize("name", ["measurements.dcm", "L3.dcm"])
def test_dciodvfy_finds_no_error(reconstruction, name):
    write_objects(str(reconstruction), *radiographs(reconstruction), str(reconstruction / "dicom"))
    command = ["dciodvfy", str(reconstruction / "dicom" / name)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [line for line in (finished.stdout + finished.stderr).splitlines() if line.startswith("Error")]
    assert errors == []


def test_radiographs_that_are_not_dicom_are_refused(reconstruction):
    (reconstruction / "ap.png").write_bytes(b"no DICOM")
    with pytest.raises(InputError, match=r"ap\.png.*cannot be read as DICOM"):
        write_objects(str(reconstruction), *[str(reconstruction / "ap.png")] * 2, str(reconstruction / "dicom"))


def test_radiographs_of_different_studies_are_refused(reconstruction):
    ap = radiographs(reconstruction)[0]
    (reconstruction / "other").mkdir()
    lat = radiographs(reconstruction / "other")[1]
    with pytest.raises(InputError, match="different DICOM studies"):
        write_objects(str(reconstruction), ap, lat, str(reconstruction / "dicom"))
