"""The configs of bundles/lumbar_multitask, the network's and its locator's, run on a tiny cohort with a tiny network."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.networks import LumbarMultitaskNet, LumbarSpineNet, SpineLocator
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.training.onnx_export import export_onnx, onnx_difference
from lumbar_ext.workflow.error_reporting import input_error_behind
from lumbar_ext.workflow.network_bundle import load_first_generation, load_locating_networks, load_weights

BUNDLE = Path(__file__).parents[2] / "bundles" / "lumbar_multitask"
CONFIGS = BUNDLE / "configs"
META = str(CONFIGS / "metadata.json")
SCHEMA = Path(__file__).with_name("metadata.schema.json")
TINY = {"network_def#preset": "tiny", "network_def#decoder_channels": 8}
SHORT = {"warmup_iterations": 1, "decay_iterations": 1, "validate_every": 3, "batch_size": 2, "size_px": [128, 96]}
UNLOGGED = {"tensorboard": False, "mlflow": False}


def workflow(root, *configs, kind="train", meta=META, **overrides):
    """An initialised workflow on files below `root`; overrides give config ids with # as in MONAI."""
    made = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in configs],
        meta_file=meta,
        logging_file=str(CONFIGS / "logging.conf"),
        workflow_type=kind,
        bundle_root=str(root),
        dataset_dir=str(root / "cohort"),
        **overrides,
    )
    made.initialize()
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_view_cohort):
    folder = tmp_path_factory.mktemp("second")
    write_view_cohort(folder / "cohort" / "train", 2)
    write_view_cohort(folder / "cohort" / "validation", 1, seed=1)
    return folder


def campaign(root, name, iterations, stop_after=None):
    """Trains, or goes on; the session ends after `stop_after` iterations."""
    output = {"output_dir": str(root / name), "cache_dir": str(root / "cache")}
    run = workflow(root, "train.json", iterations=iterations, **output, **SHORT, **UNLOGGED, **TINY)
    trainer = run.parser.get_parsed_content("train#trainer")
    if stop_after:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=stop_after), lambda: trainer.terminate())
    run.run()
    return torch.load(root / name / "resume.pt", weights_only=True)


@pytest.fixture(scope="module")
def trained(root):
    return campaign(root, "whole", 6)


def test_an_interrupted_campaign_ends_with_the_same_weights(root, trained):
    stopped = campaign(root, "parts", 6, stop_after=2)
    assert stopped["schedule"]["iterations"] == stopped["draws"]["iterations"] == 2
    resumed = campaign(root, "parts", 6)
    assert resumed["schedule"]["iterations"] == 6
    for part in ("network", "average"):
        found, expected = resumed[part], trained[part]
        if part == "average":
            found, expected = found["average"], expected["average"]
        assert all(torch.allclose(found[name], value, atol=1e-6) for name, value in expected.items())


def test_the_learning_curve_has_a_line_for_each_validation(root, trained):
    with (root / "whole" / "learning_curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["3", "6"]
    assert all(np.isfinite(float(row[name])) for row in rows for name in ("train_l1", "train_landmarks", "ap_dice"))
    assert (root / "whole" / "model.pt").is_file()


def test_the_campaign_can_be_made_longer(root, trained):
    before = (root / "whole" / "resume.pt").read_bytes()
    assert campaign(root, "whole", 8)["schedule"]["iterations"] == 8
    (root / "whole" / "resume.pt").write_bytes(before)


def test_the_locator_trains(root):
    options = {"output_dir": str(root / "locator"), "iterations": 4, "validation_films": 6}
    workflow(root, "train.json", "locator_train.json", **options, **UNLOGGED, **(SHORT | {"validate_every": 4})).run()
    assert (root / "locator" / "locator.pt").is_file()
    with (root / "locator" / "learning_curve.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["median_mm"]) == -float(row["score"]) >= 0


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A bundle's folder with random weights of both networks."""
    folder = tmp_path_factory.mktemp("untrained")
    (folder / "models").mkdir()
    torch.manual_seed(0)
    torch.save(LumbarSpineNet("tiny", 8).state_dict(), folder / "models" / "model.pt")
    torch.save(SpineLocator().state_dict(), folder / "models" / "locator.pt")
    return folder


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_inference_locates_and_looks(root, untrained, threshold):
    image = root / "cohort" / "validation" / "study_0000" / "lat.png"
    options = {"image": str(image), "view": "lat", "polarity": "bone_bright", "threshold": threshold, **TINY}
    workflow(untrained, "inference.json", kind="infer", **options).run()
    decomposition, _ = read_nifti_image(untrained / "output" / "lat_decomposition.nii.gz")
    assert decomposition.shape == (384, 256)
    assert np.isfinite(read_landmarks(untrained / "output" / "lat_landmarks.json").positions_px["lat"]).any() == (
        threshold == 0
    )


def test_evaluation_prints_the_papers_tables_for_every_set(root, tmp_path, capsys):
    """Of the shipped network; `lumbar-ext evaluate-network` is the same function, tested in `test_located_views`."""
    folder = str(root / "cohort" / "validation")
    options = {"sets": {"known": folder}, "foreign_sets": {"foreign": folder}, "output_dir": str(tmp_path)}
    workflow(BUNDLE, "inference.json", "evaluate.json", kind="infer", **options).run()
    tables = (tmp_path / "tables.md").read_text()
    assert tables in capsys.readouterr().out
    assert re.findall(r"^Table \d", tables, re.M) == ["Table 1", "Table 2", "Table 3", "Table 4"]
    for name in ("known", "foreign"):
        assert tables.count(f"| {name}, simulated |") == 6
    assert len((tmp_path / "views.csv").read_text().splitlines()) == 1 + 4


def test_an_initialised_inference_runs_again_on_other_images(root, untrained):
    """Repeated runs in memory: replace the data, run again (a server does this)."""
    run = workflow(untrained, "inference.json", kind="infer", image="unused", polarity="bone_bright", **TINY)
    for view in ("ap", "lat"):
        path = root / "cohort" / "train" / "study_0001" / f"{view}.png"
        run.dataset.data = [{"image": str(path), "view": view}]
        run.run()
        assert (untrained / "output" / f"{view}_landmarks.json").is_file()


def test_onnx_runtime_stands_in_for_the_network(root, untrained):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = untrained / "models" / "model.pt"
    export_onnx(load_weights(LumbarSpineNet("tiny", 8), weights), untrained / "models" / "model.onnx")
    image = root / "cohort" / "validation" / "study_0000" / "ap.png"
    found = []
    for configs in (("inference.json",), ("inference.json", "inference_onnx.json")):
        options = {"image": str(image), "polarity": "bone_bright", "threshold": 0.0}
        workflow(untrained, *configs, kind="infer", **options, **TINY).run()
        found.append(read_nifti_image(untrained / "output" / "ap_decomposition.nii.gz")[0])
    assert found[0].std() > 0 and np.abs(found[0] - found[1]).max() < 1e-4


@pytest.mark.parametrize(("config", "kind"), [("train.json", "train"), ("inference.json", "infer")])
def test_required_and_optional_properties_are_there(root, untrained, config, kind):
    (untrained / "cohort").exists() or (untrained / "cohort").symlink_to(root / "cohort")
    assert workflow(untrained, config, kind=kind, **TINY).check_properties() == []


def test_settings_of_the_training_are_read_as_they_were_meant(root):
    with pytest.raises(RuntimeError) as failure:
        workflow(root, "train.json", iterations="many")
    assert str(input_error_behind(failure.value)).startswith("--iterations: expected a whole number of at least 1")


def test_training_and_inference_build_the_same_network():
    """The definition stands in both files, since consumers read inference.json alone."""
    train, inference = (
        ConfigParser.load_config_file(CONFIGS / f"{name}.json")["network_def"] for name in ("train", "inference")
    )
    assert train == inference
    locator = ConfigParser.load_config_file(CONFIGS / "locator_train.json")["network_def"]
    assert locator == ConfigParser.load_config_file(CONFIGS / "inference.json")["locator_def"]


def test_a_bundle_gives_its_networks():
    network, locator = load_locating_networks(BUNDLE, device="cpu")
    assert isinstance(network, LumbarSpineNet) and isinstance(locator, SpineLocator)
    first = load_first_generation(BUNDLE)
    assert isinstance(first, LumbarMultitaskNet)
    assert not any(one.training for one in (network, locator, first))


def test_the_network_fits_the_metadata():
    verify_net_in_out(
        net_id="network_def", device="cpu", n=2, meta_file=META, config_file=str(CONFIGS / "inference.json")
    )


def test_the_metadata_is_complete():
    verify_metadata(meta_file=META, filepath=str(SCHEMA))
    metadata = json.loads(Path(META).read_text())
    outputs = metadata["network_data_format"]["outputs"]["pred"]
    assert metadata["version"] in metadata["changelog"]
    assert outputs["num_channels"] == SPINE_PACK.channels == len(outputs["channel_def"])


def test_the_weights_export_to_torchscript(untrained, tmp_path):
    config = ConfigParser.load_config_file(CONFIGS / "inference.json")
    config["network_def"] |= {"preset": "tiny", "decoder_channels": 8}
    ConfigParser.export_config_file(config, str(tmp_path / "config.json"))
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(untrained / "models" / "model.pt"),
        meta_file=META,
        config_file=str(tmp_path / "config.json"),
    )
    packed = torch.jit.load(tmp_path / "model.ts")(torch.zeros(1, 1, 64, 96))
    assert packed.shape == (1, SPINE_PACK.channels, 8, 12)


@pytest.mark.parametrize("network", [LumbarSpineNet("tiny", 8), SpineLocator()], ids=["network", "locator"])
def test_the_networks_export_to_onnx(network, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    export_onnx(network, tmp_path / "model.onnx")
    assert onnx_difference(network, tmp_path / "model.onnx") < 1e-4


def test_an_unknown_option_is_an_error_with_a_hint(root):
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(CONFIGS / "train.json")]
    done = subprocess.run([*command, "--iteration", "1"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("error: --iteration: no entry of")
    assert "did you mean --iterations?" in done.stderr


@pytest.mark.parametrize("generation", ["", "first_generation_"])
def test_the_metrics_of_the_metadata_are_those_of_the_table(generation):
    """Of unseen people, simulated, in Table 4 of the bundle's page, which has a row of each."""
    metrics = json.loads((CONFIGS / f"{generation}metadata.json").read_text())["eval_metrics"]
    table = (BUNDLE / "docs" / "README.md").read_text().partition("\nTable 4,")[2]
    (rows,) = re.findall(r"^\| unseen people \|(.*)\|\n\| \*first generation\* \|(.*)\|$", table, re.M)
    _, missed, _, _, dice, psnr, landmarks = map(float, rows[1 if generation else 0].split("|"))
    names = ("missed_vertebrae_percent", "mean_dice", "psnr_db", "landmark_error_mm")
    assert metrics == dict(zip(names, (missed, dice, psnr, landmarks), strict=True))


def test_the_bundle_holds_no_python_and_names_only_installed_packages():
    assert not list(BUNDLE.rglob("*.py"))
    for config in CONFIGS.glob("*.json"):
        targets = re.findall(r'"_target_": "([\w.]+)"', config.read_text())
        assert all("." not in name or name.split(".")[0] in ("lumbar_ext", "monai", "torch") for name in targets)
