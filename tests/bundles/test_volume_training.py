"""The config that trains the field of volumes, on a study known by formula, with a tiny network."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from lumbar_ext.anatomy import VERSE_LABELS
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.networks.field_network import FieldNet
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.studies.truth_volume import TruthVolume
from lumbar_ext.transforms.tissue import TISSUE_LABELS
from lumbar_ext.workflow.network_bundle import load_weights

CONFIGS = Path(__file__).parents[2] / "bundles" / "lumbar_reconstruction" / "configs"
TINY = {"channels": [8, 8, 8, 8, 8], "fine_channels": 4, "hidden": [16, 16, 8], "octaves": 2, "guides": 41}


@pytest.fixture(scope="module")
def cohort(write_view_cohort, tmp_path_factory):
    """Two studies of a slab of L3 in soft tissue."""
    folder = write_view_cohort(tmp_path_factory.mktemp("volumes"), 2)
    grid = VoxelGrid(np.array([-30.0, -30, -30]), 3.0, (20, 20, 20))
    labels = np.full(grid.shape, TISSUE_LABELS["soft_tissue"], np.uint8)
    labels[5:15, 5:15, 5:12] = VERSE_LABELS["L3"]
    values = np.where(labels == VERSE_LABELS["L3"], 300, 40).astype(np.int16)
    for study in sorted(folder.iterdir()):
        TruthVolume(values, labels, grid).write(StudyFolder(study).truth)
    return folder


def train(cohort, output_dir, **overrides):
    options = {
        "output_dir": str(output_dir),
        "train_dirs": [str(cohort)],
        "validation_dirs": [str(cohort)],
        "points": 200,
        "validate_every": 2,
        "warmup_iterations": 1,
        "decay_iterations": 1,
        "iterations": 4,
        **{f"network_def#{name}": value for name, value in TINY.items()},
        **overrides,
    }
    made = ConfigWorkflow(
        config_file=str(CONFIGS / "volume_train.json"),
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        **options,
    )
    made.initialize()
    made.run()


def rows(folder):
    with (folder / "learning_curve.csv").open() as file:
        return list(csv.DictReader(file))


def test_training_leaves_weights_and_a_curve_and_goes_on_where_it_stopped(cohort, tmp_path):
    train(cohort, tmp_path)
    network = load_weights(FieldNet(**TINY), tmp_path / "volume.pt")
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["iteration"] == 4 and state["draws"]["iterations"] == 4
    train(cohort, tmp_path, iterations=6)
    assert [int(row["iteration"]) for row in rows(tmp_path)] == [2, 4, 6]
    assert 0 <= float(rows(tmp_path)[-1]["bone_dice"]) <= 1


def test_an_interruption_does_not_change_what_is_learnt(cohort, tmp_path):
    """The draws are those of the iteration, so that a resumed run sees what it would have seen."""
    settings = {"bfloat16": False, "iterations": 4, "decay_iterations": 1}
    train(cohort, tmp_path / "whole", **settings)
    for session in (1, 2):
        # stopped after two of the four iterations, as a time limit does
        train(cohort, tmp_path / "parts", **settings, **({"train#trainer#max_epochs": 1} if session == 1 else {}))
    whole, parts = (
        torch.load(tmp_path / name / "resume.pt", weights_only=True)["network"] for name in ("whole", "parts")
    )
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("overrides", [{"structure": 0.0}, {"uncertainty": True}, {"structure": 10.0}])
def test_every_balance_of_intensity_and_structure_trains(cohort, tmp_path, overrides):
    train(cohort, tmp_path, iterations=2, **overrides)
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert len(rows(tmp_path)) == 1 and np.isfinite(float(rows(tmp_path)[0]["score"]))
    if "uncertainty" in overrides:
        assert state["loss"]["log_scales"].abs().max() > 0


def test_inference_has_the_network_that_is_trained():
    train_config, inference = (
        json.loads((CONFIGS / name).read_text()) for name in ("volume_train.json", "volume_inference.json")
    )
    assert train_config["network_def"] == inference["network_def"]
