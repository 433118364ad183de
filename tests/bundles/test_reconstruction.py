"""Every config of bundles/lumbar_reconstruction, run on a simulated study that a perfect network sees."""

import ast
import configparser
import csv
import hashlib
import json
import re
import signal
import sys
from itertools import pairwise
from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
import torch
import trimesh
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out
from PIL import Image
from scipy.spatial import cKDTree

import lumbar_ext
from lumbar_ext.anatomy import LANDMARKS, LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.evaluation.surfaces.surface_error import surface_error
from lumbar_ext.geometry.axes import lps_from_world
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.report.viewer_files import write_label_map

BUNDLES = Path(__file__).parents[2] / "bundles"
BUNDLE = BUNDLES / "lumbar_reconstruction"
CONFIGS = BUNDLE / "configs"
SCHEMA = Path(__file__).with_name("metadata.schema.json")
FILES = {
    *(f"{level}.{kind}" for level in LEVELS for kind in ("stl", "ply")),
    *(f"{name}_{view}.{kind}" for view in VIEWS for name, kind in (("decomposition", "nii.gz"), ("overlay", "png"))),
    *("landmarks.json", "landmarks.mrk.json", "measurements.csv", "measurements.json", "registration.json", "run.json"),
    *("report.html", "report.pdf", "scene.glb"),
}
MAX_ERROR_MM = 1.2


@pytest.fixture(scope="module")
def output(reconstructed):
    """The output folder of a run with all 64 shape modes."""
    return reconstructed


def document(output, name):
    return json.loads((output / f"{name}.json").read_text())


def test_every_file_is_there_and_nothing_else(output):
    assert {path.name for path in output.iterdir()} == FILES


@pytest.mark.parametrize("level", LEVELS)
def test_meshes_are_closed_and_lie_on_the_true_vertebrae(output, true_study, level):
    vertices, triangles = read_mesh(output / f"{level}.stl")
    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 20_000
    truth = true_study.vertebrae[LEVELS.index(level)]
    numbers = surface_error(Surface(vertices, triangles), Surface(truth.vertices_mm, truth.triangles)).numbers
    assert numbers["mean_mm"] < MAX_ERROR_MM and numbers["symmetric_mm"] < MAX_ERROR_MM


def _label_map_by_itk(path):
    """LPS positions [N, 3] of L3's voxels."""
    image = itk.imread(str(path))
    directions = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
    voxels = np.argwhere(itk.array_from_image(image).transpose(2, 1, 0) == VERSE_LABELS["L3"])
    return voxels @ directions.T + np.array(image.GetOrigin())


def _label_map_by_nibabel(path):
    image = nibabel.load(path)
    voxels = np.argwhere(np.asarray(image.dataobj) == VERSE_LABELS["L3"])
    ras = voxels @ image.affine[:3, :3].T + image.affine[:3, 3]
    return ras * [-1, -1, 1]


def test_viewers_find_a_vertebra_in_one_place(output, tmp_path):
    vertices, triangles = read_mesh(output / "L3.stl")
    write_label_map(tmp_path / "labels.nii.gz", {"L3": vertices}, triangles)
    expected = trimesh.Trimesh(vertices, triangles).center_mass @ [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(_label_map_by_itk(tmp_path / "labels.nii.gz").mean(0), expected, atol=0.2)
    np.testing.assert_allclose(_label_map_by_nibabel(tmp_path / "labels.nii.gz").mean(0), expected, atol=0.2)
    np.testing.assert_allclose(trimesh.load(output / "L3.ply").center_mass, expected, atol=0.01)
    # glTF: X left, Y up, Z front; metres.
    scene = 1000 * trimesh.load(output / "scene.glb").geometry["L3"].center_mass
    np.testing.assert_allclose([scene[0], -scene[2], scene[1]], expected, atol=0.01)
    points = document(output, "landmarks.mrk")["markups"][0]["controlPoints"]
    endplates = [
        point["position"] for point in points if point["label"].startswith("L3 ") and "endplate" in point["label"]
    ]
    # The body lies before the centre of mass, which the arch draws back.
    offset = np.mean(endplates, axis=0) - expected
    assert -25 < offset[1] < -2 and np.abs(offset[[0, 2]]).max() < 8


def test_landmarks_are_those_of_the_truth_in_space_and_in_original_pixels(output, true_study):
    found = read_landmarks(output / "landmarks.json")
    assert np.linalg.norm(found.positions_mm - true_study.landmarks_mm, axis=-1).max() < 0.1
    for view in VIEWS:
        true_px = true_study.geometry[view].project(true_study.landmarks_mm)
        np.testing.assert_allclose(found.positions_px[view], true_px, atol=0.05)
        assert (found.confidence[view] > 0.9).all()
    assert (found.gap_mm < 0.1).all()
    vertebrae = document(output, "landmarks")["vertebrae"]
    assert all(set(vertebrae[level]) == set(LANDMARKS) for level in LEVELS)


def test_decompositions_are_images_with_their_spacing(output):
    for view in VIEWS:
        image = nibabel.load(output / f"decomposition_{view}.nii.gz")
        values = image.get_fdata()
        assert values.min() == 0 and 0.5 < values.max() < 1
        np.testing.assert_allclose(image.header.get_zooms()[:2], 0.834, rtol=1e-5)


def test_overlays_show_the_radiograph_with_coloured_outlines(output):
    for view in VIEWS:
        picture = np.asarray(Image.open(output / f"overlay_{view}.png")).astype(int)
        assert picture.shape == (1024, 1024, 3)
        assert (np.ptp(picture, axis=-1) > 60).sum() > 2000


def test_the_registration_is_accounted_for(output):
    registration = document(output, "registration")
    assert registration["missing_levels"] == [] and set(registration["vertebrae"]) == set(LEVELS)
    assert registration["loss"] < registration["initial_loss"]
    for vertebra in registration["vertebrae"].values():
        assert vertebra["evaluations"] > 0 and vertebra["seconds"] > 0 and vertebra["stop_reason"]
        assert set(vertebra["loss_per_view"]) == set(VIEWS)
        assert len(vertebra["shape_coefficients_sd"]) == 64 and np.abs(vertebra["shape_coefficients_sd"]).max() <= 3
        rotation = np.array(vertebra["world_from_vertebra"])[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert len(vertebra["pose"]["translation_mm"]) == 3
    seconds = registration["stage_seconds"]
    assert len(seconds) == 6 and all(value >= 0 for value in seconds.values())


def test_the_run_is_documented(output, true_study):
    run = document(output, "run")
    for role, path in true_study.inputs(output).items():
        if role != "output_dir":
            assert run["inputs"][role] == {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    model = BUNDLE / "models" / "model.pt"
    assert run["weights"]["shape_model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert {"lumbar_ext", "python", "monai", "torch", "nlopt"} <= set(run["versions"])
    assert "n_modes=64" in run["parameters"]["registration"]
    assert run["warnings"] == [] and run["inverted_views"] == [] and run["missing_levels"] == []


def test_one_call_from_python_gives_the_same(output, true_study, perfect_network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "none.pt"
    weights.touch()
    paths = [true_study.inputs("")[name] for name in ("ap_image", "lat_image", "calibration")]
    options = {"multitask_network": perfect_network(true_study), "multitask_weights": str(weights), "looks": 0}
    options |= {"multitask_locator": None, "multitask_locator_weights": None}
    hook, handlers = sys.excepthook, [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    result = lumbar_ext.reconstruct(*paths, n_modes="64", max_seconds=3600, **options)
    for level in LEVELS:
        written = trimesh.load(output / f"{level}.ply", process=False)
        np.testing.assert_allclose(lps_from_world(result.meshes[level][0]), written.vertices, atol=1e-3)
        np.testing.assert_array_equal(result.meshes[level][1], written.faces)
    values = {(m["subject"], m["id"]): m["value"] for m in document(output, "measurements")["measurements"]}
    for m in result.measurements:
        assert m.value is None or m.value == pytest.approx(values[m.subject, m.id], abs=1e-3)
    assert result.usable == any(quality.grade != "failed" for quality in result.quality.values())
    assert result.missing_levels == () and result.report is None
    assert list(tmp_path.iterdir()) == [weights], "no file is written unless a folder is named"
    assert sys.excepthook is hook
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_second_looks_are_taken_and_accounted_for(true_study, reconstruct, tmp_path, output):
    """With the shipped weights, after a first pass from true decompositions: no second look may spoil it."""
    reconstruct(true_study, tmp_path, looks=1)
    (look,) = document(tmp_path, "registration")["second_looks"]
    assert set(look["moved_mm"]) == set(look["fit"]) == set(LEVELS) and look["seconds"] > 0
    for level in LEVELS:
        before, after = (read_mesh(folder / f"{level}.stl") for folder in (output, tmp_path))
        assert not np.array_equal(before[0], after[0])
        truth = true_study.vertebrae[LEVELS.index(level)]
        assert (
            surface_error(Surface(*after), Surface(truth.vertices_mm, truth.triangles)).numbers["mean_mm"]
            < MAX_ERROR_MM
        )
    weights = BUNDLES / "lumbar_multitask" / "models" / "second_look.pt"
    run = document(tmp_path, "run")
    assert run["weights"]["second_look"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert run["parameters"]["looks"] == 1
    assert (
        document(output, "registration")["second_looks"] == []
        and "second_look" not in document(output, "run")["weights"]
    )


def inside_mm(vertices_mm, other):
    """Depths of the vertices that lie behind the tangent plane at the other mesh's nearest vertex, mm."""
    away, nearest = cKDTree(other.vertices).query(vertices_mm, distance_upper_bound=4.0)
    near = np.isfinite(away)
    offsets = vertices_mm[near] - other.vertices[nearest[near]]
    return np.maximum(0, -(offsets * other.vertex_normals[nearest[near]]).sum(1))


def test_neighbours_can_be_kept_apart(true_study, reconstruct, tmp_path):
    reconstruct(true_study, tmp_path, keep_apart=True)
    meshes = [trimesh.Trimesh(*read_mesh(tmp_path / f"{level}.stl")) for level in LEVELS]
    for upper, lower in pairwise(meshes):
        assert max(inside_mm(upper.vertices, lower).max(), inside_mm(lower.vertices, upper).max()) < 0.7
    assert "NonIntersection(" in document(tmp_path, "run")["parameters"]["registration"]


def test_an_initialised_workflow_runs_again_on_other_studies(true_study, reconstruction, tmp_path):
    run = reconstruction(true_study, "unused")
    for name in ("first", "second"):
        run.dataset.data = [true_study.inputs(tmp_path / name)]
        run.run()
    assert (tmp_path / "first" / "L3.stl").read_bytes() == (tmp_path / "second" / "L3.stl").read_bytes()
    first, second = (document(tmp_path / name, "registration") for name in ("first", "second"))
    assert list(first["stage_seconds"]) == list(second["stage_seconds"]) and len(second["stage_seconds"]) == 6


def test_evaluation_measures_the_cohort(true_study, reconstruct, tmp_path, capsys):
    """All kinds of input with one method; the network sees nothing, which is an outcome like any other."""
    reconstruct(
        true_study,
        tmp_path,
        configs=("inference.json", "evaluate.json"),
        dataset_dir=str(true_study.folder.parent),
        hidden=LEVELS,
        methods=["ours"],
    )
    rows = list(csv.DictReader((tmp_path / "surface_errors.csv").open()))
    assert [row["level"] for row in rows] == list(LEVELS) * 3 and {row["method"] for row in rows} == {"ours"}
    truth, spoilt, radiographs = (rows[i : i + 5] for i in (0, 5, 10))
    assert all(0 < float(row["mean_mm"]) < MAX_ERROR_MM for row in truth)
    assert all(0 < float(row["mean_mm"]) < 2 * MAX_ERROR_MM for row in spoilt)
    assert all(row["mean_mm"] == "nan" for row in radiographs)
    printed = capsys.readouterr()
    assert "5 of 5" in printed.out and "0 of 5" in printed.out and "Yu et al." in printed.out
    assert "count as missing" in printed.err
    assert len(list(tmp_path.glob("overlay_*.png"))) == 4 and len(list(tmp_path.glob("error_distribution_*.png"))) == 2


@pytest.mark.parametrize("configs", [("inference.json",), ("inference.json", "evaluate.json")])
def test_required_and_optional_properties_are_there(true_study, reconstruction, tmp_path, configs):
    cohort = str(true_study.folder.parent)
    assert reconstruction(true_study, tmp_path, configs=configs, dataset_dir=cohort).check_properties() == []


def test_the_shape_model_fits_the_metadata():
    files = {"meta_file": str(CONFIGS / "metadata.json"), "config_file": str(CONFIGS / "inference.json")}
    verify_net_in_out(net_id="network_def", device="cpu", **files)


def test_the_shape_model_exports_to_torchscript(tmp_path):
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(BUNDLE / "models" / "model.pt"),
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
    )
    exported = torch.jit.load(tmp_path / "model.ts")
    assert torch.equal(exported(torch.zeros(1, 5, 64))[0], exported.mean)


def test_the_metadata_is_complete():
    verify_metadata(meta_file=str(CONFIGS / "metadata.json"), filepath=str(SCHEMA))
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


def test_the_metrics_of_the_metadata_are_those_of_the_table():
    """Radiographs through the network, the default registration, in the bundle's README."""
    metrics = json.loads((CONFIGS / "metadata.json").read_text())["eval_metrics"]
    table = (BUNDLE / "docs" / "README.md").read_text()
    (row,) = re.findall(r"^\| radiographs through the network \| ours \(default\) \|(.*)\|$", table, re.M)
    mean, median, hausdorff, dice = (float(cell.split("±")[0]) for cell in row.split("|")[:4])
    names = ("mean_surface_distance_mm", "median_surface_distance_mm", "hausdorff_distance_mm", "mean_dice")
    assert metrics == dict(zip(names, (mean, median, hausdorff, dice), strict=True))


@pytest.mark.parametrize("config", sorted(BUNDLES.glob("*/configs/*.json")), ids=lambda path: path.name)
def test_no_expression_of_a_config_hides_a_program(config):
    """Ternaries and comprehensions belong in the package, where they have a name and a test."""
    for expression in re.findall(r'"\$((?:[^"\\]|\\.)*)"', config.read_text()):
        if not expression.startswith(("from ", "import ")):
            tree = ast.parse(expression.replace("@", "").replace("#", "."), mode="eval")
            hidden = (ast.IfExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
            assert not any(isinstance(node, hidden) for node in ast.walk(tree)), expression


def test_every_bundle_has_the_logging_file_that_monai_looks_for():
    for bundle in BUNDLES.iterdir():
        fileconfig = configparser.ConfigParser()
        fileconfig.read(bundle / "configs" / "logging.conf")
        assert fileconfig["logger_root"]["handlers"]


def test_no_bundle_holds_python_or_names_what_is_not_installed():
    assert not list(BUNDLES.rglob("*.py"))
    for config in BUNDLES.glob("*/configs/*.json"):
        text = config.read_text()
        targets = re.findall(r'"_target_": "([^"]+)"', text) + re.findall(r'"\$(?:from|import) ([\w.]+)', text)
        packages = {name.split(".")[0] for name in targets if "." in name}
        assert packages - sys.stdlib_module_names <= {"monai", "torch", "ignite", "lumbar_ext"}
