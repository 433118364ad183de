"""Every config of bundles/lumbar_multitask, run on a tiny cohort with a tiny network."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from lumbar_ext.io import read_landmarks, read_nifti_image
from lumbar_ext.networks.packing import PACKED_CHANNELS

BUNDLE = Path(__file__).parents[2] / "bundles" / "lumbar_multitask"
CONFIGS = BUNDLE / "configs"
SCHEMA = Path(__file__).with_name("metadata.schema.json")
TINY = {"network_def#preset": "tiny", "network_def#decoder_channels": 8}
SMALL_GRID = {"downsample": 2, "size_px": [256, 256], "shift_px": 15, "batch_size": 2, "num_workers": 0}


def workflow(root, *configs, kind="train", **overrides):
    """An initialised workflow on files below ``root``; overrides give config ids with # as in MONAI."""
    made = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in configs],
        meta_file=str(CONFIGS / "metadata.json"),
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
    folder = tmp_path_factory.mktemp("bundle")
    write_view_cohort(folder / "cohort" / "train", 2)
    write_view_cohort(folder / "cohort" / "validation", 1, seed=1)
    return folder


@pytest.fixture(scope="module")
def trained(root):
    """The folder after two epochs of training."""
    workflow(root, "train.json", max_epochs=2, tensorboard=False, **SMALL_GRID, **TINY).run()
    return root


def test_training_leaves_weights_that_load_anywhere(trained):
    state = torch.load(trained / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert torch.load(trained / "models" / "resume.pt", weights_only=True)["epoch"] == 2


def test_training_resumes(trained):
    run = workflow(trained, "train.json", max_epochs=3, tensorboard=False, **SMALL_GRID, **TINY)
    run.run()
    assert run.parser.get_parsed_content("average").updates == 6


def test_training_can_start_from_weights_and_crop(trained):
    crops = {**SMALL_GRID, "downsample": 1, "size_px": [384, 320], "focus": "spine"}
    start = {"init_weights": str(trained / "models" / "model.pt"), "resume": "", "model_filename": "crops.pt"}
    workflow(trained, "train.json", max_epochs=1, tensorboard=False, **crops, **start, **TINY).run()
    assert (trained / "models" / "crops.pt").is_file()


def test_evaluation_writes_its_metrics(trained):
    workflow(trained, "train.json", "evaluate.json", **SMALL_GRID, **TINY).run()
    table = (trained / "eval" / "metrics.csv").read_text()
    assert {"dice", "ssim", "landmark_mm", "missed"} <= set(re.findall(r"^\w+", table, re.M))


def test_inference_writes_decomposition_and_landmarks(trained):
    image = trained / "cohort" / "validation" / "study_0000" / "lat.png"
    options = {"image": str(image), "view": "lat", "polarity": "bone_bright", "threshold": 0.0}
    workflow(trained, "inference.json", kind="infer", **options, **TINY).run()
    decomposition, spacing_mm = read_nifti_image(trained / "output" / "lat_decomposition.nii.gz")
    assert decomposition.shape == (512, 512) and spacing_mm == (0.834, 0.834)
    landmarks = read_landmarks(trained / "output" / "lat_landmarks.json")
    assert np.isfinite(landmarks.lat_px).all() and np.isnan(landmarks.ap_px).all()


def test_an_initialised_inference_runs_again_on_other_images(trained):
    """Repeated runs in memory: replace the data, run again (a server does this)."""
    run = workflow(trained, "inference.json", kind="infer", image="unused", polarity="bone_bright", **TINY)
    for view in ("ap", "lat"):
        path = trained / "cohort" / "train" / "study_0001" / f"{view}.png"
        run.dataset.data = [{"image": str(path), "view": view}]
        run.run()
        assert (trained / "output" / f"{view}_landmarks.json").is_file()


@pytest.mark.parametrize(
    ("configs", "kind"),
    [(("train.json",), "train"), (("inference.json",), "infer")],
)
def test_required_and_optional_properties_are_there(root, configs, kind):
    assert workflow(root, *configs, kind=kind, **TINY).check_properties() == []


def test_the_network_fits_the_metadata():
    files = {"meta_file": str(CONFIGS / "metadata.json"), "config_file": str(CONFIGS / "inference.json")}
    verify_net_in_out(net_id="network_def", device="cpu", n=4, **files)


def test_the_weights_export_to_torchscript(trained, tmp_path):
    config = ConfigParser.load_config_file(CONFIGS / "inference.json")
    config["network_def"] |= {"preset": "tiny", "decoder_channels": 8}
    ConfigParser.export_config_file(config, str(tmp_path / "inference.json"))
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(trained / "models" / "model.pt"),
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(tmp_path / "inference.json"),
    )
    packed = torch.jit.load(tmp_path / "model.ts")(torch.zeros(1, 1, 64, 64))
    assert packed.shape == (1, PACKED_CHANNELS, 16, 16)


def test_the_metadata_is_complete():
    verify_metadata(meta_file=str(CONFIGS / "metadata.json"), filepath=str(SCHEMA))
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    outputs = metadata["network_data_format"]["outputs"]["pred"]
    assert outputs["num_channels"] == PACKED_CHANNELS == len(outputs["channel_def"])


def test_training_and_inference_build_the_same_network():
    """The definition stands in both files, since consumers read inference.json alone."""
    train, inference = (ConfigParser.load_config_file(CONFIGS / f"{name}.json") for name in ("train", "inference"))
    assert train["network_def"] == inference["network_def"]


def test_the_bundle_holds_no_python_and_names_only_installed_packages():
    assert not list(BUNDLE.rglob("*.py"))
    for config in CONFIGS.glob("*.json"):
        targets = re.findall(r'"_target_": "([\w.]+)"', config.read_text())
        assert all("." not in name or name.split(".")[0] in ("lumbar_ext", "monai", "torch") for name in targets)
