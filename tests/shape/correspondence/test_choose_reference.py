import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.build import BuildOptions, build_model
from lumbar_ext.shape.correspondence.choose_reference import choose_reference
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.sources.cohort_file import Cohort, CohortShape
from tests.shape.conftest import vertebra_surface

POSE = RigidTransform.from_euler(np.pi / 2 + 0.2, 0.1, -1.4, np.array([100.0, 20, -300]))


def entry(name, level="L3", **details):
    return CohortShape(name, name, level, f"{name}.stl", "train", **details)


def test_a_vertebra_in_any_orientation_is_turned_by_a_shape_model(tmp_path, atlas, vertebra):
    model = build_model(atlas, BuildOptions(n_subjects=4, n_modes=2))
    vertebra.with_vertices(POSE.apply(vertebra.vertices_mm)).to_trimesh().export(tmp_path / "a.stl")
    cohort = Cohort((entry("a", orientation="unknown"),), None, None)
    chosen, reference = choose_reference(cohort, tmp_path, tmp_path, 1500, model)
    assert chosen.reference == "a"
    extent = np.ptp(reference.surface.vertices_mm, axis=0)
    assert extent == pytest.approx(np.ptp(vertebra.vertices_mm, axis=0), abs=4.0)
    # X points to the front: the spinous process lies behind.
    assert reference.surface.vertices_mm[:, 0].min() < -60
    with pytest.raises(InputError, match="no shape can serve as reference; a: "):
        choose_reference(cohort, tmp_path, tmp_path / "none", 1500, None)


def test_the_mesh_nearest_to_the_wanted_number_is_taken(tmp_path, monkeypatch, reference):
    counts = {"a": 1480, "b": 1497, "c": 1510}
    cube = Surface([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]], [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])

    def made(shape, *_):
        if shape.name == "d":
            raise InputError("not a vertebra")
        points = np.resize(cube.vertices_mm, (counts[shape.name], 3))
        return Reference(Surface(points, cube.triangles), reference.landmarks)

    monkeypatch.setattr("lumbar_ext.shape.correspondence.choose_reference._reference", made)
    cohort = Cohort(tuple(entry(n) for n in "abcd"), None, None)
    assert choose_reference(cohort, tmp_path, tmp_path, 1500)[0].reference == "b"
    named = Cohort(tuple(entry(n) for n in "abcd"), "c", None)
    assert choose_reference(named, tmp_path, tmp_path, 1500)[0].reference == "c"


def test_a_finished_reference_is_kept(tmp_path, monkeypatch):
    vertebra_surface(1.6).to_trimesh().export(tmp_path / "a.stl")
    cohort = Cohort((entry("a"),), "a", None)
    first = choose_reference(cohort, tmp_path, tmp_path, 1200)[1]
    monkeypatch.setattr(
        "lumbar_ext.shape.correspondence.choose_reference.build_reference", lambda *_: pytest.fail("made again")
    )
    second = choose_reference(cohort, tmp_path, tmp_path, 1200)[1]
    assert np.array_equal(first.surface.vertices_mm, second.surface.vertices_mm)
    assert np.array_equal(first.landmarks.weights, second.landmarks.weights)
