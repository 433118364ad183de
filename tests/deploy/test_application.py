"""The application from DICOM files to meshes and DICOM results, beside the bundle run by itself."""

import json
import resource
import shutil

import numpy as np
import pydicom
import pytest
import trimesh
from highdicom.sr import srread
from PIL import Image

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.deploy.dicom_files import find_radiographs
from lumbar_ext.deploy.encapsulated_stl import PATIENT_FROM_WORLD
from lumbar_ext.deploy.pairing import pair_radiographs
from lumbar_ext.deploy.structured_report import measurement_report
from lumbar_ext.io import read_landmarks
from lumbar_ext.workflow.provenance import sha256
from tests.deploy.conftest import BUNDLES
from tests.deploy.dicom_study import STUDY_UID, write_sample_study

BUNDLE = BUNDLES / "lumbar_reconstruction"
START = """
import sys
from lumbar_ext.deploy.application import LumbarReconstructionApp
LumbarReconstructionApp(sys.argv, {"max_seconds": 3600}).run()
"""


@pytest.fixture(scope="module")
def folders(run, tmp_path_factory):
    """The application's output and the bundle's own, for the same DICOM files; no time limit cuts either short."""
    folder = tmp_path_factory.mktemp("application")
    study = write_sample_study(folder / "dicom")
    (folder / "start.py").write_text(START)
    app = run("start.py", "-i", "dicom", "-m", BUNDLES, "-o", "out", cwd=folder)
    assert app.returncode == 0, app.stderr[-3000:]
    files = {"ap_image": study / "IM0001", "lat_image": study / "IM0002", "calibration": study / "calibration.json"}
    given = {"config_file": BUNDLE / "configs" / "inference.json", "bundle_root": BUNDLE, **files}
    given |= {"output_dir": folder / "alone", "max_seconds": 3600}
    alone = run("-m", "monai.bundle", "run", *(f"--{key}={value}" for key, value in given.items()), cwd=folder)
    assert alone.returncode == 0, alone.stderr[-3000:]
    return folder / "out", folder / "alone"


def corners(content):
    """Corner points [M, 3, 3] of a binary STL file, as stored."""
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    (count,) = np.frombuffer(content, "<u4", 1, 80)
    return np.frombuffer(content, record, count, 84)["corners"].astype(float)


@pytest.mark.parametrize("level", LEVELS)
def test_the_meshes_are_those_of_the_bundle(folders, level):
    ours, alone = (corners((folder / f"{level}.stl").read_bytes()) for folder in folders)
    np.testing.assert_allclose(ours, alone, atol=1e-3)


def test_everything_the_bundle_writes_is_there(folders):
    out, alone = ({path.name for path in folder.iterdir() if path.is_file()} for folder in folders)
    assert alone <= out


def test_the_bundles_are_loaded_unchanged(folders):
    weights = json.loads((folders[0] / "run.json").read_text())["weights"]
    assert weights["shape_model"]["sha256"] == sha256(BUNDLE / "models" / "model.pt")
    assert weights["multitask"]["path"] == str(BUNDLES / "lumbar_multitask" / "models" / "model.pt")


@pytest.mark.parametrize("level", LEVELS)
def test_encapsulated_meshes_are_the_same_in_patient_axes(folders, level):
    data = pydicom.dcmread(folders[0] / "dicom" / f"{level}.dcm")
    assert data.file_meta.MediaStorageSOPClassUID.name == "Encapsulated STL Storage"
    assert (data.Modality, data.MIMETypeOfEncapsulatedDocument) == ("M3D", "model/stl")
    assert data.MeasurementUnitsCodeSequence[0].CodeValue == "mm" and data.ModelMirroring == "NO"
    content = data.EncapsulatedDocument[: data.EncapsulatedDocumentLength]
    patient = corners(content)
    np.testing.assert_allclose(
        patient @ PATIENT_FROM_WORLD, corners((folders[0] / f"{level}.stl").read_bytes()), atol=1e-3
    )
    # A person's left, front and head in DICOM's axes (left, posterior, superior).
    np.testing.assert_array_equal(PATIENT_FROM_WORLD @ [1, 0, 0], [0, -1, 0])
    np.testing.assert_array_equal(PATIENT_FROM_WORLD @ [0, 1, 0], [1, 0, 0])
    assert np.linalg.det(PATIENT_FROM_WORLD) == pytest.approx(1)


def test_all_results_belong_to_the_study_and_the_person(folders):
    results = [pydicom.dcmread(path) for path in sorted((folders[0] / "dicom").glob("*.dcm"))]
    assert len(results) == len(LEVELS) + len(VIEWS) + 1
    assert {data.StudyInstanceUID for data in results} == {STUDY_UID}
    assert {(data.PatientID, str(data.PatientName)) for data in results} == {("SIM-1", "Simulated^Subject")}
    assert len({data.SOPInstanceUID for data in results}) == len(results)
    assert len({data.SeriesInstanceUID for data in results}) == 3
    assert all("Research only" in data.SeriesDescription for data in results)


def test_overlays_are_secondary_captures(folders):
    for view in VIEWS:
        data = pydicom.dcmread(folders[0] / "dicom" / f"overlay_{view}.dcm")
        assert data.file_meta.MediaStorageSOPClassUID.name == "Secondary Capture Image Storage"
        picture = np.asarray(Image.open(folders[0] / f"overlay_{view}.png").convert("RGB"))
        np.testing.assert_array_equal(data.pixel_array, picture)


@pytest.fixture(scope="module")
def groups(folders):
    """Measurement groups of the report by level."""
    report = srread(folders[0] / "dicom" / "report.dcm")
    found = report.content.get_image_measurement_groups()
    return {group.tracking_identifier: group for group in found}


@pytest.mark.parametrize("level", LEVELS)
def test_the_report_measures_what_was_written(folders, groups, level):
    measured = {item.name.meaning: item for item in groups[level].get_measurements()}
    mesh = trimesh.load(folders[0] / f"{level}.stl")
    assert measured["Volume"].value == pytest.approx(mesh.volume, rel=1e-5)
    landmarks = read_landmarks(folders[0] / "landmarks.json")
    top, bottom = landmarks.position_mm[LEVELS.index(level), :2]
    height = measured["Distance of the endplate centres"]
    assert height.value == pytest.approx(np.linalg.norm(top - bottom), abs=1e-3) and height.unit.value == "mm"
    lines = [item.value for item in height.referenced_coordinates]
    # DICOM counts from the corner of the first pixel, the landmarks file from its centre.
    np.testing.assert_allclose(lines[0], landmarks.ap_px[LEVELS.index(level), :2] + 0.5, atol=1e-2)
    np.testing.assert_allclose(lines[1], landmarks.lat_px[LEVELS.index(level), :2] + 0.5, atol=1e-2)


def test_the_report_takes_over_the_bundle_s_measurements(folders, tmp_path):
    """Ids longer than a DICOM code value, a value that could not be measured, a segment and the whole spine."""
    folder = tmp_path / "out"
    shutil.copytree(folders[0], folder)
    titles = {"superior_endplate_width": "Width", "superior_endplate_depth": "Depth", "cobb": "Cobb angle"}
    values = [
        ("L3", "superior_endplate_width", 44.5, "mm"),
        ("L3", "superior_endplate_depth", 33.25, "mm"),
        ("L3", "cobb", None, "deg"),
        ("L3-L4", "cobb", -1.5, "deg"),
        ("L1-L5", "cobb", 12.0, "deg"),
    ]
    document = {
        "definitions": {name: {"title": title} for name, title in titles.items()},
        "measurements": [dict(zip(("subject", "id", "value", "unit"), entry, strict=True)) for entry in values],
    }
    (folder / "measurements.json").write_text(json.dumps(document))
    pair = pair_radiographs(find_radiographs(folders[0].parent / "dicom"))
    measurement_report(folder, pair)["report"].save_as(tmp_path / "report.dcm", enforce_file_format=True)
    groups = srread(tmp_path / "report.dcm").content.get_image_measurement_groups()
    found = {
        (group.tracking_identifier, item.name.value): (item.value, item.unit.value)
        for group in groups
        for item in group.get_measurements()
        if item.name.value in titles
    }
    assert found == {(subject, name): (value, unit) for subject, name, value, unit in values if value is not None}


def command(folder):
    return ["-m", "lumbar_ext.deploy", "-i", folder / "dicom", "-m", BUNDLES, "-o", folder / "out"]


def last_line(process):
    return process.stderr.strip().splitlines()[-1]


def test_one_view_ends_in_one_clear_line(run, tmp_path):
    write_sample_study(tmp_path / "dicom")
    (tmp_path / "dicom" / "IM0002").unlink()
    process = run(*command(tmp_path), cwd=tmp_path)
    assert process.returncode == 1
    assert last_line(process).startswith("error: expected one AP and one lateral radiograph, found 1: ")
    assert "Traceback" not in process.stderr and not list((tmp_path / "out").iterdir())


def test_cut_pixels_end_in_one_clear_line(run, tmp_path):
    study = write_sample_study(tmp_path / "dicom")
    (study / "IM0002").write_bytes((study / "IM0002").read_bytes()[:-100_000])
    process = run(*command(tmp_path), cwd=tmp_path)
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert last_line(process).startswith(f"error: {study / 'IM0002'}: GDCM cannot read an image")


def test_a_full_disk_ends_in_one_clear_line(run, tmp_path):
    """A limit on file sizes makes writing fail half-way, as a full disk does."""
    write_sample_study(tmp_path / "dicom")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    process = run(*command(tmp_path), cwd=tmp_path, preexec_fn=limit)
    assert process.returncode == 1 and last_line(process).startswith("error: ")
    assert "File too large" in last_line(process)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_model_folder_without_the_bundle_is_said(run, tmp_path):
    write_sample_study(tmp_path / "dicom")
    (tmp_path / "models").mkdir()
    start = ["-m", "lumbar_ext.deploy", "-i", "dicom", "-m", "models", "-o", "out"]
    process = run(*start, cwd=tmp_path)
    assert process.returncode == 1 and "models: no folder lumbar_reconstruction in it" in last_line(process)
