"""The config that trains the second look, on one simulated study, with a tiny network."""

import os
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from lumbar_ext.networks.look_network import SecondLookNet
from lumbar_ext.workflow.network_bundle import load_bundle_network, load_weights

BUNDLES = Path(__file__).parents[2] / "bundles"
CONFIGS = BUNDLES / "lumbar_multitask" / "configs"


@pytest.fixture(scope="module")
def trained(true_study, tmp_path_factory):
    root = tmp_path_factory.mktemp("look")
    for split in ("train", "validation"):
        (root / "cohort" / split).mkdir(parents=True)
        os.symlink(true_study.folder, root / "cohort" / split / "study")
    _run(root, iterations=4)
    return root


def _run(root, **overrides):
    options = {
        "bundle_root": str(root),
        "shape_model_weights": str(BUNDLES / "lumbar_reconstruction" / "models" / "model.pt"),
        "network_def#channels": [8, 8, 8, 8],
        "size_px": [64, 48],
        "batch_size": 2,
        "epoch_length": 2,
        "validate#dataset#repeats": 1,
        "tensorboard": False,
        **overrides,
    }
    made = ConfigWorkflow(
        config_file=str(CONFIGS / "second_look_train.json"),
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        **options,
    )
    made.initialize()
    made.run()
    return made


def test_training_leaves_weights_and_a_point_to_resume_from(trained):
    network = load_weights(SecondLookNet((8, 8, 8, 8)), trained / "runs" / "second_look" / "second_look.pt")
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    state = torch.load(trained / "runs" / "second_look" / "second_look_resume.pt", weights_only=True)
    assert (state["epoch"], state["iteration"]) == (2, 4)


def test_training_resumes(trained):
    _run(trained, iterations=6)
    state = torch.load(trained / "runs" / "second_look" / "second_look_resume.pt", weights_only=True)
    assert (state["epoch"], state["iteration"]) == (3, 6)


def test_the_shipped_weights_fit_the_config():
    network = load_bundle_network(
        BUNDLES / "lumbar_multitask",
        BUNDLES / "lumbar_multitask" / "models" / "second_look.pt",
        config="second_look_train.json",
    )
    assert not network.training and network(torch.zeros(1, 4, 32, 32)).shape == (1, 4, 32, 32)
