"""The study's rows on a made-up registration whose truth and construction are known."""

import csv
import json

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.evaluation.measurement_errors import GradedVertebra, graded_vertebrae, measurement_errors
from lumbar_ext.evaluation.measurement_study import format_sensitivity, format_table, write_quality, write_rows
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.landmarks.triangulated import Landmarks3D
from lumbar_ext.measurements.uncertainty.grade import Grade, Quality
from lumbar_ext.measurements.uncertainty.interval_calibration import read_errors
from lumbar_ext.mesh.files import write_stl
from tests.measurements.registered_fixture import PITCH_MM, SIZE, STRETCH, registration
from tests.measurements.solids import HEIGHT_MM, body, landmarks

SHAPE = (len(LEVELS), len(LANDMARKS))
TILT_DEG = 6.0


@pytest.fixture(scope="module")
def truth_dir(tmp_path_factory):
    """The cylinders as they are, each level leaning forward by six degrees more than the one above."""
    folder = tmp_path_factory.mktemp("cohort") / "study-1" / "truth"
    folder.mkdir(parents=True)
    vertices, triangles = body()
    positions, poses = np.zeros((*SHAPE, 3)), {}
    for i, level in enumerate(LEVELS):
        pose = RigidTransform.from_euler(0, np.radians(TILT_DEG * i), 0, np.array([0, 0, -PITCH_MM * i]))
        write_stl(folder / f"{level}.stl", pose.apply(vertices), triangles)
        positions[i], poses[level] = pose.apply(landmarks()), pose.to_matrix().tolist()
    flat = np.zeros((*SHAPE, 2))
    known = StudyLandmarks(
        positions, {"ap": flat, "lat": flat}, {"ap": np.ones(SHAPE), "lat": np.ones(SHAPE)}, np.zeros(SHAPE)
    )
    write_landmarks(folder / "landmarks.json", known)
    (folder / "meta.json").write_text(json.dumps({"posture": {"world_from_vertebra": poses}}))
    return folder


@pytest.fixture(scope="module")
def rows(truth_dir):
    result = registration(np.full(SIZE, 0.1), coefficients=(1.0, 0.0))
    triangles = result.vertebrae["L1"].shape.surface.triangles
    return measurement_errors("study-1", result, triangles, truth_dir)


def row(rows, subject, name):
    return next(r for r in rows if (r.subject, r.id) == (subject, name))


def test_the_method_gives_back_what_was_constructed(rows):
    assert row(rows, "L1-L5", "lordosis_l1_l5").construction == pytest.approx(4 * TILT_DEG, abs=0.01)
    compared = [r for r in rows if r.method_error is not None]
    assert {"axial_rotation", "disc_angle", "cobb", "middle_height", "relative_flexion"} <= {r.id for r in compared}
    assert max(abs(r.method_error) for r in compared) < 0.05


def test_the_pipelines_error_is_that_of_its_meshes(rows):
    # The reconstruction stands upright and is 5 % taller than the truth.
    assert row(rows, "L3", "anterior_height").pipeline_error == pytest.approx(STRETCH * HEIGHT_MM, abs=0.02)
    assert row(rows, "L3", "sagittal_tilt").pipeline_error == pytest.approx(-2 * TILT_DEG, abs=0.02)
    assert row(rows, "L3", "anterior_height").laplace_sd > 0


def test_vertices_are_sampled_with_signed_distances(rows):
    own = [r for r in rows if r.id == "vertex" and r.subject == "L1"]
    assert len(own) == 60
    on_top = [r.pipeline_error for r in own if r.pipeline_error > 0.1 and r.pipeline_error < 1]
    assert max(on_top) == pytest.approx(STRETCH * HEIGHT_MM / 2, abs=0.02)


def test_rows_go_to_a_table_and_to_a_file_that_calibration_reads(rows, tmp_path):
    write_rows(tmp_path / "e.csv", rows)
    errors, deviations = read_errors(tmp_path / "e.csv")
    assert len(errors["anterior_height"]) == len(deviations["anterior_height"]) == len(LEVELS)
    with (tmp_path / "e.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    table = format_table("title", rows)
    line = next(text for text in table.splitlines() if text.startswith("| anterior_height "))
    cells = [cell.strip() for cell in line.split("|")]
    assert float(cells[6]) == pytest.approx(STRETCH * HEIGHT_MM, abs=0.01)


def test_the_sensitivity_counts_doubts_among_large_and_small_errors(tmp_path):
    made = [("L1", Grade.CHECK, 2.5), ("L2", Grade.GOOD, 2.1), ("L3", Grade.GOOD, 0.5), ("L4", Grade.FAILED, 1.9)]
    qualities = [Quality(grade, 0.05, 1.5, 0, None, ()) for _, grade, _ in made]
    graded = [GradedVertebra("s", level, own, error) for own, (level, _, error) in zip(qualities, made, strict=True)]
    text = format_sensitivity(graded)
    assert "over 2 mm: 1 of 2 vertebrae" in text
    assert "up to 2 mm: 1 of 2 vertebrae" in text
    assert text.splitlines()[-1] == "graded good: 2 of 4 vertebrae; 50% below 1 mm, 50% below 1.5 mm, 50% below 2 mm"
    write_quality(tmp_path / "quality.csv", graded)
    with (tmp_path / "quality.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["level"], row["grade"], float(row["error_mm"])) for row in rows] == made
    assert (rows[0]["gap_mm"], rows[0]["vertex_sd_mm"]) == ("1.5", "")


def test_vertebrae_are_graded_beside_their_error(rows):
    unknown = Landmarks3D(np.full((*SHAPE, 3), np.nan), np.full(SHAPE, np.nan), np.zeros(SHAPE), np.ones(5, dtype=bool))
    graded = graded_vertebrae(rows, registration(np.full(SIZE, 0.1), coefficients=(1.0, 0.0)), unknown)
    assert [vertebra.level for vertebra in graded] == list(LEVELS)
    assert all(vertebra.error_mm > 0 for vertebra in graded)
