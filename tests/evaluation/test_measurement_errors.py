"""The study's rows on a made-up registration whose truth and construction are known."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.grade_tables import read_graded
from lumbar_ext.evaluation.measurement_errors import (
    GradedVertebra,
    graded_vertebrae,
    measurement_errors,
    true_meshes,
)
from lumbar_ext.evaluation.measurement_study import format_table, write_quality, write_rows
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.measurements.uncertainty.assessment import assess_registration, spine_quality
from lumbar_ext.measurements.uncertainty.grade import Grade, Quality
from lumbar_ext.measurements.uncertainty.interval_calibration import Calibration, read_errors
from lumbar_ext.measurements.uncertainty.registered import measure_registration
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.registration.result import Look
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
    return measurement_errors("study-1", result, triangles, truth_dir, measure_registration(result, triangles))


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
    cases = read_errors(tmp_path / "e.csv")["anterior_height"]
    assert len(cases.errors) == len(cases.deviations) == len(LEVELS) and set(cases.people) == {"study-1"}
    with (tmp_path / "e.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    table = format_table("title", rows)
    line = next(text for text in table.splitlines() if text.startswith("| anterior_height "))
    cells = [cell.strip() for cell in line.split("|")]
    assert float(cells[6]) == pytest.approx(STRETCH * HEIGHT_MM, abs=0.01)


def made(count=5):
    signs = (Grade.CHECK, 2.5), (Grade.GOOD, 2.1), (Grade.GOOD, 0.5), (Grade.FAILED, 1.9), (Grade.FAILED, None)
    own = [Quality(grade, 0.05, 1.5, 0, None, ()) for grade, _ in signs]
    return [
        GradedVertebra("s", level, quality, error, 0.07)
        for level, quality, (_, error) in zip(LEVELS[:count], own, signs, strict=False)
    ]


def test_grades_go_to_a_file_that_their_tables_read(tmp_path):
    write_quality(tmp_path / "quality.csv", made())
    rows = read_graded({"mine": tmp_path / "quality.csv"})["mine"]
    assert [(row.level, row.grade, row.found) for row in rows] == [
        (own.level, own.grade, own.error_mm is not None) for own in made()
    ]
    assert [row.error_mm for row in rows[:4]] == [2.5, 2.1, 0.5, 1.9]
    assert (rows[0].signs["gap_mm"], rows[0].signs["look"]) == (1.5, 0.07) and np.isnan(rows[0].signs["vertex_sd_mm"])


def test_vertebrae_are_graded_as_the_report_grades_them(rows, truth_dir):
    """L4 is missing, L5 too where the person has none; a spine that leans to the side by 96 degrees has failed."""
    levels = ("L1", "L2", "L3", "L5")
    result = registration(np.full(SIZE, 0.1), levels=levels)
    measured = measure_registration(result, result.vertebrae["L1"].shape.surface.triangles)
    quality = spine_quality(result, None, measured, Calibration({}, {}), {"L4": "covered"})
    graded = graded_vertebrae(rows, result, quality, LEVELS[:4])
    assert [(own.level, own.grade) for own in graded] == [
        *((level, Grade.GOOD) for level in levels[:3]),
        ("L4", Grade.FAILED),
    ]
    assert graded[3].quality.reasons == ("covered",) and graded[0].error_mm > 0 and graded[0].look is None
    bent = replace(measured, values=replace(measured.values, found={("L1-L5", "cobb"): np.array(96.0)}))
    failed = spine_quality(result, None, bent, Calibration({}, {}))
    assert {own.grade for own in graded_vertebrae(rows, result, failed, LEVELS)} == {Grade.FAILED}
    triangles = result.vertebrae["L1"].shape.surface.triangles
    assert (
        assess_registration(result, triangles, calibration=Calibration({}, {}), missing={"L4": "covered"}).quality
        == quality
    )


def test_the_second_look_of_a_vertebra_is_its_worse_view(rows):
    result = registration(np.full(SIZE, 0.1))
    look = Look(1.0, {}, {level: {"ap": 0.02, "lat": 0.09} for level in LEVELS})
    quality = dict.fromkeys(LEVELS, Quality(Grade.GOOD, None, None, None, None, ()))
    graded = graded_vertebrae(rows, replace(result, looks=(look,)), quality, LEVELS)
    assert {own.look for own in graded} == {0.09}


def test_a_person_without_l5_has_no_rows_of_it(truth_dir, tmp_path):
    shutil.copytree(truth_dir, tmp_path / "truth")
    (tmp_path / "truth" / "L5.stl").unlink()
    result = registration(np.full(SIZE, 0.1))
    triangles = result.vertebrae["L1"].shape.surface.triangles
    found = measurement_errors("s", result, triangles, tmp_path / "truth", measure_registration(result, triangles))
    assert {r.subject for r in found if r.id == "vertex"} == set(LEVELS[:4])
    assert row(found, "L5", "anterior_height").pipeline_error is None
    assert row(found, "L4", "anterior_height").pipeline_error is not None
    for level in LEVELS[:4]:
        (tmp_path / "truth" / f"{level}.stl").unlink()
    with pytest.raises(InputError, match="holds no mesh"):
        true_meshes(tmp_path / "truth")
