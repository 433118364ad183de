"""Surface errors of shapes whose distances are known, and the table of them."""

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from ignite.engine import Engine

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.surface_error import (
    MeasureSurfaceError,
    SurfaceError,
    SurfaceErrorTable,
    format_table,
    surface_error,
)
from lumbar_ext.io import write_stl
from lumbar_ext.shape.surface import Surface


def sphere(radius_mm=20.0, shift_mm=0.0):
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius_mm)
    return Surface(np.asarray(mesh.vertices) + np.array([shift_mm, 0, 0]), np.asarray(mesh.faces))


def test_a_sphere_inside_another_is_the_difference_of_radii_away():
    error = surface_error("study", "L3", sphere(21.0), sphere(20.0))
    for name in ("mean_mm", "symmetric_mm", "percentile95_mm", "hausdorff_mm"):
        assert getattr(error, name) == pytest.approx(1.0, abs=0.03)


def test_a_shifted_sphere_is_half_the_shift_away_on_average():
    """The distance along the normal is the shift times the cosine, whose mean magnitude on a sphere is one half."""
    error = surface_error("study", "L3", sphere(shift_mm=1.0), sphere())
    assert error.mean_mm == pytest.approx(0.5, abs=0.02) and error.hausdorff_mm == pytest.approx(1.0, abs=0.02)
    assert error.percentile95_mm == pytest.approx(0.95, abs=0.02)


def test_the_mean_is_that_of_the_reconstruction_to_the_truth():
    """Half of the true sphere is missing from the reconstruction: only the other direction notices."""
    whole = sphere()
    half = Surface(whole.vertices_mm, whole.triangles[(whole.vertices_mm[whole.triangles][..., 2] >= 0).all(1)])
    kept = np.unique(half.triangles)
    half = Surface(whole.vertices_mm[kept], np.searchsorted(kept, half.triangles))
    error = surface_error("study", "L3", half, whole)
    assert error.mean_mm < 1e-6 < 1 < error.symmetric_mm


def test_a_missing_vertebra_has_no_error():
    assert math.isnan(surface_error("study", "L3", None, sphere()).mean_mm)


def test_all_levels_of_a_study_are_measured(tmp_path):
    truth = tmp_path / "study_7" / "truth"
    truth.mkdir(parents=True)
    for level in LEVELS:
        write_stl(truth / f"{level}.stl", sphere().vertices_mm, sphere().triangles)
    model = SimpleNamespace(triangles=SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: sphere().triangles)))
    found = {level: SimpleNamespace(vertices_mm=sphere(shift_mm=1.0).vertices_mm) for level in LEVELS[:4]}
    data = {"pred": SimpleNamespace(vertebrae=found), "truth_dir": str(truth)}
    errors = MeasureSurfaceError(model)(data)["surface_errors"]
    assert [(error.study, error.level) for error in errors] == [("study_7", level) for level in LEVELS]
    assert errors[0].mean_mm == pytest.approx(0.5, abs=0.02) and math.isnan(errors[4].mean_mm)


def example(level, mean_mm):
    return SurfaceError("study", level, mean_mm, mean_mm, 2 * mean_mm, 4 * mean_mm)


def cells(table, level):
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {level} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_sums_up_each_level_and_all():
    errors = [*(example("L1", mean) for mean in (0.5, 1.0, 3.0)), example("L2", 1.5), example("L2", float("nan"))]
    table = format_table("on spheres", errors)
    assert table.startswith("on spheres\n")
    assert cells(table, "L1") == ["L1", "3 (0)", "1.00", "1.50 ± 1.08", "1.50", "3.00", "6.00", "0.79"]
    assert cells(table, "L2")[:3] == ["L2", "1 (1)", "1.50"]
    assert cells(table, "L3") == ["L3", "0 (0)", "", "", "", "", "", "0.79"]
    assert cells(table, "all")[1:3] == ["4 (1)", "1.25"]
    assert len({line.count("|") for line in table.splitlines()[2:]}) == 1


def test_the_handler_gathers_every_study_and_writes_all_rows(tmp_path, capsys):
    engine = Engine(lambda engine, mean: {"surface_errors": [example("L1", mean)]})
    SurfaceErrorTable("two studies", tmp_path / "new" / "errors.csv").attach(engine)
    for _ in range(2):
        engine.run([1.0, 2.0])
        rows = list(csv.DictReader((tmp_path / "new" / "errors.csv").open()))
        assert [float(row["mean_mm"]) for row in rows] == [1.0, 2.0]
    assert "| L1 | 2 (0) | 1.50 |" in capsys.readouterr().out
