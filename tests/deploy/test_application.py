"""The application from DICOM files to meshes and DICOM results, beside the bundle run by itself."""

import json
import resource
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import trimesh
from highdicom.sr import srread

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.deploy.__main__ import main
from lumbar_ext.geometry.axes import LPS_FROM_WORLD
from lumbar_ext.io.input_file import sha256
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.measurements.document import read_measurements
from tests.deploy.conftest import BUNDLES
from tests.radiographs.dicom_study import STUDY_UID, write_image, write_sample_study

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
    content = data.EncapsulatedDocument[: data.EncapsulatedDocumentLength]
    patient = corners(content)
    np.testing.assert_allclose(patient @ LPS_FROM_WORLD, corners((folders[0] / f"{level}.stl").read_bytes()), atol=1e-3)


def test_all_results_belong_to_the_study_and_the_person(folders):
    results = [pydicom.dcmread(path) for path in sorted((folders[0] / "dicom").glob("*.dcm"))]
    assert len(results) == len(LEVELS) + len(VIEWS) + 2
    assert {data.StudyInstanceUID for data in results} == {STUDY_UID}
    assert {(data.PatientID, str(data.PatientName)) for data in results} == {("SIM-1", "Simulated^Subject")}
    assert len({data.SOPInstanceUID for data in results}) == len(results)
    assert len({data.SeriesInstanceUID for data in results}) == 4
    assert all("Research only" in data.SeriesDescription for data in results)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools")
def test_dciodvfy_finds_no_error(folders):
    for path in sorted((folders[0] / "dicom").iterdir()):
        finished = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        lines = (finished.stdout + finished.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == [], path


def test_the_report_measures_what_was_written(folders):
    """All values of `measurements.json`, and the volume and endplate distance of every vertebra."""
    report = srread(folders[0] / "dicom" / "measurements.dcm")
    groups = {group.tracking_identifier: group for group in report.content.get_image_measurement_groups()}
    reported = {
        (subject, item.name.value): item.value for subject, group in groups.items() for item in group.get_measurements()
    }
    own = {
        (m.subject, m.id): m.value for m in read_measurements(folders[0] / "measurements.json") if m.value is not None
    }
    assert len(own) > 100
    assert {key: reported[key] for key in own} == pytest.approx(own)
    landmarks = read_landmarks(folders[0] / "landmarks.json")
    for place, level in enumerate(LEVELS):
        (volume,) = (item for item in groups[level].get_measurements() if item.name.meaning == "Volume")
        assert volume.value == pytest.approx(trimesh.load(folders[0] / f"{level}.stl").volume, rel=1e-5)
        top, bottom = landmarks.positions_mm[place, :2]
        assert reported[level, "centre_height"] == pytest.approx(np.linalg.norm(top - bottom), abs=1e-3)


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """A function that starts the application on the study in `dicom`, and gives what it says at its end."""

    def start(models=BUNDLES):
        places = {"-i": tmp_path / "dicom", "-m": models, "-o": tmp_path / "out"}
        monkeypatch.setattr("sys.argv", ["app", *(str(part) for place in places.items() for part in place)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not list(tmp_path.glob("out/*")), "nothing is written"
        assert ended.value.code == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    return start


def test_one_view_is_said(said, tmp_path):
    (write_sample_study(tmp_path / "dicom") / "IM0002").unlink()
    message = said()
    assert (
        message.startswith("error: expected one AP and one lateral radiograph, found 1: ") and "IM0001 (ap" in message
    )


def test_three_views_are_said(said, tmp_path):
    study = write_sample_study(tmp_path / "dicom")
    write_image(study / "IM0003", np.zeros((9, 9), np.uint16), {"ViewPosition": "LL"})
    assert said().startswith("error: expected one AP and one lateral radiograph, found 3: ")


def test_two_patients_are_said_and_not_named(said, tmp_path):
    write_sample_study(tmp_path / "dicom", lat={"PatientID": "B-8"})
    message = said()
    assert message.startswith("error: radiographs of 2 patients") and "B-8" not in message


def test_a_missing_calibration_is_said(said, tmp_path):
    write_sample_study(tmp_path / "dicom", calibration=False)
    assert "no calibration: expected calibration.json beside the images" in said()


def test_a_damaged_calibration_is_said(said, tmp_path):
    (write_sample_study(tmp_path / "dicom") / "calibration.json").write_text("{")
    assert "calibration.json: not valid JSON" in said()


def test_a_file_cut_within_its_header_is_said(said, tmp_path):
    path = write_sample_study(tmp_path / "dicom") / "IM0002"
    path.write_bytes(path.read_bytes()[:150])
    assert said().startswith(f"error: {path}: ")


def test_a_model_folder_without_the_bundle_is_said(said, tmp_path):
    write_sample_study(tmp_path / "dicom")
    (tmp_path / "models").mkdir()
    assert "models: no folder lumbar_reconstruction in it" in said(tmp_path / "models")


def command(folder):
    return ["-m", "lumbar_ext.deploy", "-i", folder / "dicom", "-m", BUNDLES, "-o", folder / "out"]


def last_line(process):
    return process.stderr.strip().splitlines()[-1]


def test_cut_pixels_end_in_one_clear_line(run, tmp_path):
    study = write_sample_study(tmp_path / "dicom")
    (study / "IM0002").write_bytes((study / "IM0002").read_bytes()[:-100_000])
    process = run(*command(tmp_path), cwd=tmp_path)
    assert process.returncode == 2 and "Traceback" not in process.stderr
    assert last_line(process).startswith(f"error: {study / 'IM0002'}: pixel data are missing")


def test_a_full_disk_ends_in_one_clear_line(run, tmp_path):
    """A limit on file sizes makes writing fail half-way, as a full disk does."""
    write_sample_study(tmp_path / "dicom")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    process = run(*command(tmp_path), cwd=tmp_path, preexec_fn=limit)
    assert process.returncode == 2 and last_line(process).startswith("error: ")
    assert "File too large" in last_line(process)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
