import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.shape.build import BuildOptions, build_model
from lumbar_ext.shape.correspondence.cohort_registration import RegisteredShape
from lumbar_ext.shape.quality.quality_plot import plot_quality
from lumbar_ext.shape.quality.quality_table import (
    generality_rows,
    mode_counts,
    scree_rows,
    specificity_rows,
    summary_rows,
)
from lumbar_ext.shape.sources.cohort_file import CohortShape


@pytest.fixture(scope="module")
def model(atlas):
    return build_model(atlas, BuildOptions(n_subjects=30, n_modes=16))


@pytest.fixture(scope="module")
def rows(model, atlas):
    shapes = []
    for subject, base in zip("vt", atlas.bases_mm, strict=True):
        entry = CohortShape(f"{subject}_L2", subject, "L2", "f.stl", "test")
        shapes.append(RegisteredShape(entry, base[1], np.eye(4), np.zeros(2), np.zeros(2), 0))
    return generality_rows("held_out", model, shapes)


def test_scree_adds_up(model):
    found = scree_rows(model)
    assert len(found) == len(LEVELS) * model.n_modes
    last = [r for r in found if r["mode"] == model.n_modes]
    assert all(float(r["cumulative"]) == 1 for r in last)
    assert sum(float(r["fraction"]) for r in found) == pytest.approx(len(LEVELS), abs=1e-3)


def test_modes_are_the_papers_and_all(model):
    assert mode_counts(model) == [14, 16]


def test_generality_is_stated_for_every_shape_fit_and_number_of_modes(rows):
    assert len(rows) == 2 * 2 * 2
    by_fit = {r["fit"]: float(r["mean_mm"]) for r in rows if r["subject"] == "t" and r["modes"] == 16}
    assert by_fit["surface"] <= by_fit["correspondence"]
    assert all(float(r["p95_mm"]) > float(r["mean_mm"]) > 0 for r in rows)


def test_summary_is_the_mean(rows):
    summary = {(r["subject"], r["modes"], r["fit"]): r for r in summary_rows(rows)}
    each = [float(summary[s, 14, "surface"]["mean_mm"]) for s in "vt"]
    assert float(summary["all", 14, "surface"]["mean_mm"]) == pytest.approx(np.mean(each), abs=1e-3)
    assert summary["all", 14, "surface"]["shapes"] == 2


def test_the_plots_hold_the_rows(tmp_path, model, atlas, rows, monkeypatch):
    drawn, save = {}, Figure.savefig

    def remember(figure, path, **options):
        (axes,) = figure.axes
        lines = {line.get_label(): line.get_xydata() for line in axes.lines}
        drawn[path.name] = axes.get_yscale(), {name: line for name, line in lines.items() if name[0] != "_"}
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    scree, specificity = scree_rows(model), specificity_rows(model, atlas, 0)
    files = plot_quality(tmp_path, scree, rows + specificity)
    assert {f.name for f in files} == {"scree.png", "compactness.png", "generality.png", "specificity.png"}
    assert all(np.asarray(Image.open(file)).std() > 0 for file in files)
    for name, scale, value in (("scree.png", "log", "variance_mm2"), ("compactness.png", "linear", "cumulative")):
        assert drawn[name][0] == scale and list(drawn[name][1]) == list(LEVELS)
        for level, line in drawn[name][1].items():
            assert line.tolist() == [[r["mode"], float(r[value])] for r in scree if r["level"] == level]
    means = {(r["modes"], r["fit"]): float(r["mean_mm"]) for r in summary_rows(rows) if r["subject"] == "all"}
    for fit in ("surface", "correspondence"):
        curve = drawn["generality.png"][1][f"held out, {fit} fit"]
        np.testing.assert_allclose(curve, [[count, means[count, fit]] for count in (14, 16)], atol=1e-3)
