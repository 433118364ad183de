"""The whole build on small analytic vertebrae: a folder of meshes, label maps and bad files."""

import csv
import json
import logging
import signal
import sys
from pathlib import Path

import monai.bundle
import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigParser

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.shape.build import BuildOptions, ShapeModelBuild, build_model, find_cohort
from lumbar_ext.shape.correspondence.choose_reference import choose_reference
from lumbar_ext.shape.correspondence.cohort_registration import register_cohort
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.workflow.error_reporting import input_error_behind
from tests.shape.conftest import vertebra_distance, vertebra_surface

BUNDLE = Path(__file__).parents[2] / "bundles" / "lumbar_reconstruction"
OPTIONS = BuildOptions(n_vertices=1000, n_modes=4, n_subjects=6)


def write_subject(folder, subject, levels, stretch):
    for level in levels:
        surface = vertebra_surface(2.0, scale=0.96 + 0.02 * level)
        moved = surface.with_vertices(surface.vertices_mm * stretch)
        moved.to_trimesh().export(folder / f"{subject}_L{level}.stl")


def write_label_map(path, label):
    axes = [np.arange(a, b, 1.5) for a, b in ((-78, 28), (-56, 56), (-32, 32))]
    inside = vertebra_distance(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)) < 0
    # Our X front, Y left, Z up as voxel axes of a RAS file.
    affine = np.array([[0, -1.5, 0, 56], [1.5, 0, 0, -78], [0, 0, 1.5, -32], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(inside.astype(np.uint8) * label, affine), path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two training subjects (one level is a label map), a held-out L3, and files of every bad kind."""
    folder = tmp_path_factory.mktemp("data")
    write_subject(folder, "a", range(1, 6), [1, 1, 1])
    write_subject(folder, "b", (1, 2, 4, 5), [1.03, 0.97, 1])
    write_subject(folder, "t", (3,), [0.98, 1.04, 1])
    write_label_map(folder / "b_msk.nii.gz", 22)
    (folder / "c_L2.stl").write_text("not a mesh")
    (folder / "d_L1.stl").write_bytes((folder / "a_L1.stl").read_bytes())
    half = vertebra_surface(2.0).to_trimesh()
    half.update_faces(half.triangles_center[:, 0] > -20)
    half.export(folder / "e_L4.stl")
    return folder


@pytest.fixture(scope="module")
def cohort(data):
    """Scanned, with the meshes' orientation known: the 24 starts are tested elsewhere."""
    found = find_cohort(data, test_subjects=["t"])
    document = {"shapes": [vars(s) | {"orientation": "anatomical"} for s in found.shapes]}
    (data / "cohort.json").write_text(json.dumps(document))
    return find_cohort(data, data / "cohort.json")


@pytest.fixture(scope="module")
def output(data, cohort):
    ShapeModelBuild(cohort, data, data / "out", options=OPTIONS).run()
    return data / "out"


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_model_and_the_anatomy_agree(output):
    model, atlas = VertebraShapeModel.load(output / "model.pt"), Atlas.load(output / "anatomy.pt")
    assert np.array_equal(model.triangles.numpy(), atlas.reference.surface.triangles)
    assert model.n_modes == 4
    assert atlas.deviation_names == ("a", "b") and atlas.base_names == ("t",)
    assert Population.load(output / "anatomy.pt").sample(np.random.default_rng(0), "test").base == "t"


def test_registrations_are_close_and_do_not_cross(output):
    rows = {row["shape"]: row for row in table(output / "registration.csv")}
    done = [row for row in rows.values() if row["status"] == "registered"]
    assert len(done) == 11
    assert all(row["self_intersections"] == "0" for row in done)
    smooth = [row for row in done if row["shape"] != "b_L3"]
    assert max(float(row["to_target_mean_mm"]) for row in smooth) < 0.3
    assert float(rows["b_L3"]["to_target_mean_mm"]) < 0.75


def test_bad_files_are_skipped_with_the_reason(output):
    rows = {row["shape"]: row for row in table(output / "registration.csv")}
    for name, reason in (
        ("c_L2", "expected 84 for the 0 triangles"),
        ("d_L1", "the same data as a_L1"),
        ("e_L4", "is this a whole L4"),
    ):
        assert rows[name]["status"] == "skipped"
        assert reason in rows[name]["notes"]


def test_quality_is_measured_and_drawn(output):
    measures = {(row["measure"], row["fit"]) for row in table(output / "quality.csv")}
    assert {("generality_held_out", "surface"), ("generality_leave_one_out", "correspondence")} <= measures
    assert ("specificity_rms", "") in measures
    assert len(table(output / "scree.csv")) == 5 * 4
    for name in ("scree", "compactness", "generality", "specificity"):
        assert (output / f"{name}.png").stat().st_size > 5000


def test_a_second_run_resumes_and_repeats(data, cohort, output, monkeypatch):
    def forbidden(*_):
        raise AssertionError("a finished registration was made again")

    monkeypatch.setattr("lumbar_ext.shape.correspondence.cohort_registration.load_target", forbidden)
    options = BuildOptions(n_vertices=1000, n_modes=4, n_subjects=6, quality=False)
    ShapeModelBuild(cohort, data, data / "again", data / "out" / "work", options=options).run()
    first, second = (VertebraShapeModel.load(folder / "model.pt") for folder in (output, data / "again"))
    assert all(
        np.array_equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_changed_data_are_registered_again(data, cohort, output, caplog):
    cache = output / "work" / "shape_t_L3.npz"
    before = cache.stat().st_mtime_ns
    write_subject(data, "t", (3,), [1, 1.02, 1.01])
    with caplog.at_level(logging.INFO):
        ShapeModelBuild(
            cohort, data, data / "changed", output / "work", options=BuildOptions(1000, 4, 6, quality=False)
        ).run()
    assert cache.stat().st_mtime_ns > before
    assert "t_L3:" in caplog.text and "b_L1:" not in caplog.text


def test_modes_can_come_from_the_registered_shapes(output, cohort, data, caplog):
    ShapeModelBuild(
        cohort, data, data / "real", output / "work", options=BuildOptions(1000, 14, 0, quality=False)
    ).run()
    model = VertebraShapeModel.load(data / "real" / "model.pt")
    # Two subjects show one mode.
    assert model.n_modes == 1 and "the shapes have 1 modes, fewer than the 14 asked for" in caplog.text
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    parser.update({"bundle_root": str(BUNDLE), "shape_model_weights": str(data / "real" / "model.pt")})
    assert parser.get_parsed_content("shape_model").n_modes == 1
    assert not (data / "real" / "quality.csv").exists() and (data / "real" / "registration.csv").is_file()


def run_bundle(**options):
    """`python -m monai.bundle run` with the bundle's config, in this process."""
    hook, handler = sys.excepthook, signal.getsignal(signal.SIGTERM)
    try:
        monai.bundle.run(config_file=str(BUNDLE / "configs" / "build_ssm.json"), bundle_root=str(BUNDLE), **options)
    finally:
        sys.excepthook = hook
        signal.signal(signal.SIGTERM, handler)


def test_the_bundle_config_builds(data, cohort, output):
    run_bundle(
        data_dir=str(data),
        output_dir=str(data / "bundle"),
        work_dir=str(output / "work"),
        cohort=str(data / "cohort.json"),
        n_vertices=1000,
        n_modes=3,
        n_subjects=6,
        quality=False,
    )
    assert VertebraShapeModel.load(data / "bundle" / "model.pt").n_modes == 3
    assert Atlas.load(data / "bundle" / "anatomy.pt").base_names == ("t",)


def test_the_bundle_config_scans_folders_and_names_mistakes(tmp_path):
    write_subject(tmp_path, "only", (1,), [1, 1, 1])
    with pytest.raises(Exception) as caught:
        run_bundle(data_dir=str(tmp_path), output_dir=str(tmp_path / "out"))
    assert "1 training subject that can be used: only" in str(input_error_behind(caught.value))


def test_one_subject_is_refused(tmp_path):
    write_subject(tmp_path, "only", range(1, 6), [1, 1, 1])
    with pytest.raises(InputError, match="1 training subject that can be used: only; a shape model needs at least 2"):
        ShapeModelBuild(find_cohort(tmp_path), tmp_path, tmp_path / "out").run()


def test_a_level_without_a_training_shape_is_named(atlas):
    with pytest.raises(InputError, match="L1 was seen in 0 training subjects"):
        build_model(atlas, BuildOptions(n_subjects=0))


@pytest.mark.parametrize("options", [{"n_modes": 0}, {"n_vertices": 10}, {"n_subjects": 1}, {"n_modes": 2.5}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        BuildOptions(**options)


def test_a_missing_data_folder_is_named(tmp_path):
    for folder in ("", tmp_path / "gone"):
        with pytest.raises(InputError, match="data_dir is"):
            find_cohort(folder)


def test_landmarks_place_a_vertebra_in_any_orientation(reference, tmp_path):
    pose = RigidTransform.from_euler(2.0, -1.0, 0.7, np.array([300.0, -20, 50]))
    write_subject(tmp_path, "a", (3,), [1, 1, 1])
    surface = vertebra_surface(2.0, scale=1.06)
    surface.with_vertices(pose.apply(surface.vertices_mm)).to_trimesh().export(tmp_path / "b_L3.stl")
    own = 1.06 * reference.landmarks_mm(reference.surface.vertices_mm)
    (tmp_path / "b_L3.json").write_text(json.dumps(dict(zip(LANDMARKS, pose.apply(own).tolist(), strict=True))))
    (tmp_path / "work").mkdir()
    cohort, template = choose_reference(find_cohort(tmp_path), tmp_path, tmp_path / "work", 1000)
    registered = {s.shape.name: s for s in register_cohort(cohort, template, tmp_path, tmp_path / "work").shapes}
    assert registered["b_L3"].template_to_target_mm[0] < 0.2
    assert np.allclose(registered["b_L3"].world_from_vertebra[:3, :3], pose.rotation, atol=0.1)
