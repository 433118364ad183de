import csv
import json

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.atlas import Atlas
from lumbar_ext.shape.build import build
from lumbar_ext.shape.point_distribution import VertebraShapeModel
from lumbar_ext.simulation.population import Population

from .conftest import vertebra_surface


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cohort of one training subject with all levels, one held-out L3 and one file that is not a mesh."""
    path = tmp_path_factory.mktemp("cohort")
    shapes = []
    for subject, split, levels in (("a", "train", range(5)), ("t", "test", [2])):
        for level in levels:
            surface = vertebra_surface(1.6, scale=0.96 + 0.02 * level)
            name = f"{subject}_L{level + 1}"
            surface.to_trimesh().export(path / f"{name}.stl")
            shapes.append(
                {"name": name, "subject": subject, "level": f"L{level + 1}", "file": f"{name}.stl", "split": split}
            )
    (path / "broken.stl").write_text("not a mesh")
    shapes.append({"name": "b_L2", "subject": "b", "level": "L2", "file": "broken.stl", "split": "train"})
    cohort = {"reference": "a_L3", "size_subject": "a", "shapes": shapes}
    (path / "cohort.json").write_text(json.dumps(cohort))
    build(str(path), str(path / "out"), cohort=str(path / "cohort.json"), n_vertices=1000, n_subjects=10, n_modes=5)
    return path


def test_the_model_and_the_anatomy_agree(folder):
    model = VertebraShapeModel.load(folder / "out" / "model.pt")
    atlas = Atlas.load(folder / "out" / "anatomy.pt")
    assert np.array_equal(model.triangles.numpy(), atlas.reference.surface.triangles)
    assert model.n_modes == 5
    ratio = np.ptp(atlas.means_mm, axis=1)[:, 1] / np.ptp(atlas.means_mm[2], axis=0)[1]
    assert np.allclose(ratio, 0.96 + 0.02 * np.arange(5), atol=0.03)


def test_the_anatomy_gives_subjects(folder):
    population = Population.load(folder / "out" / "anatomy.pt")
    assert population.sample(np.random.default_rng(0), "test").base == "t"
    with pytest.raises(InputError, match="background"):
        _ = population.background


def test_a_broken_mesh_is_left_out_and_residuals_are_small(folder):
    with (folder / "out" / "registration.csv").open() as file:
        rows = {row["shape"]: row for row in csv.DictReader(file)}
    assert "b_L2" not in rows
    assert all(float(row["to_target_mean_mm"]) < 0.3 for row in rows.values())


def test_quality_is_measured(folder):
    with (folder / "out" / "quality.csv").open() as file:
        measures = {row["measure"] for row in csv.DictReader(file)}
    assert {"compactness", "generality_held_out"} <= measures
