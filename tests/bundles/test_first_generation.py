"""The configs of the network bundle's first generation, run on a tiny cohort with a tiny network."""

import errno
import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out

from lumbar_ext.anatomy import LANDMARKS, VIEWS
from lumbar_ext.evaluation.network.ablation import ablate
from lumbar_ext.evaluation.network.cross_validation import cross_validate
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.networks import LumbarMultitaskNet
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.training.onnx_export import export_onnx
from lumbar_ext.transforms.confidence import ConfidenceCalibration, MonotoneMap
from lumbar_ext.workflow.error_reporting import input_error_behind
from lumbar_ext.workflow.network_bundle import load_weights
from tests.bundles.test_multitask import workflow as network_workflow

BUNDLE = Path(__file__).parents[2] / "bundles" / "lumbar_multitask"
CONFIGS = BUNDLE / "configs"
SCHEMA = Path(__file__).with_name("metadata.schema.json")
TRAIN, EVALUATE, STREAM, GPU = (f"first_generation_{name}.json" for name in ("train", "evaluate", "stream", "gpu"))
INFERENCE = ("inference.json", "first_generation.json")
TINY_NETWORK = {"preset": "tiny", "decoder_channels": 8}
TINY = {f"network_def#{name}": value for name, value in TINY_NETWORK.items()}
SMALL_GRID = {"downsample": 2, "size_px": [256, 256], "shift_px": 15, "batch_size": 2, "num_workers": 0}


workflow = partial(network_workflow, meta=str(CONFIGS / "first_generation_metadata.json"))


def failure_of(run):
    """The message of the InputError that ends a workflow; MONAI wraps it."""
    with pytest.raises(RuntimeError) as failure:
        run.run()
    return str(input_error_behind(failure.value))


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_view_cohort):
    folder = tmp_path_factory.mktemp("bundle")
    write_view_cohort(folder / "cohort" / "train", 2)
    write_view_cohort(folder / "cohort" / "validation", 1, seed=1)
    return folder


@pytest.fixture(scope="module")
def trained(root):
    """The folder after two epochs of training, whose weights lie where inference expects them."""
    (root / "models").mkdir()
    (root / "runs").mkdir()
    (root / "runs" / "first_generation").symlink_to(root / "models")
    workflow(root, TRAIN, max_epochs=2, tensorboard=False, **SMALL_GRID, **TINY).run()
    return root


def test_training_leaves_weights_that_load_anywhere(trained):
    state = torch.load(trained / "models" / "first_generation.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert torch.load(trained / "models" / "resume.pt", weights_only=True)["epoch"] == 2


def test_training_resumes(trained):
    run = workflow(trained, TRAIN, max_epochs=3, tensorboard=False, **SMALL_GRID, **TINY)
    run.run()
    assert run.parser.get_parsed_content("average").updates == 6


def test_training_can_start_from_weights_and_crop(trained):
    crops = {**SMALL_GRID, "downsample": 1, "size_px": [384, 320], "focus": "spine"}
    start = {
        "init_weights": str(trained / "models" / "first_generation.pt"),
        "resume": "",
        "model_filename": "crops.pt",
    }
    workflow(trained, TRAIN, max_epochs=1, tensorboard=False, **crops, **start, **TINY).run()
    assert (trained / "models" / "crops.pt").is_file()


def test_evaluation_prints_the_papers_tables_for_every_set(trained, capsys):
    folder = str(trained / "cohort" / "validation")
    sets = {"sets": {"known": folder}, "foreign_sets": {"foreign": folder}}
    workflow(trained, TRAIN, EVALUATE, **sets, **SMALL_GRID, **TINY).run()
    names = re.findall(r"^\w+", (trained / "eval" / "metrics.csv").read_text(), re.M)
    assert {"dice", "bone_ssim", "ap_landmark_mm", "lat_missed"} <= set(names)
    tables = (trained / "eval" / "tables.md").read_text()
    assert tables in capsys.readouterr().out
    assert re.findall(r"^Table \d", tables, re.M) == ["Table 1", "Table 2", "Table 3", "Table 4"]
    for name in ("known", "foreign"):
        assert tables.count(f"| {name}, simulated |") == 6
    assert len((trained / "eval" / "views.csv").read_text().splitlines()) == 1 + 4


def test_a_resumed_run_never_replaces_better_weights(trained):
    resume = torch.load(trained / "models" / "resume.pt", weights_only=True)
    resume["best_weights"]["score"] = 1e9
    torch.save(resume, trained / "models" / "best.pt")
    before = (trained / "models" / "first_generation.pt").read_bytes()
    options = {"resume": str(trained / "models" / "best.pt"), "max_epochs": resume["epoch"] + 1, "tensorboard": False}
    workflow(trained, TRAIN, **options, **SMALL_GRID, **TINY).run()
    assert (trained / "models" / "first_generation.pt").read_bytes() == before


@pytest.mark.parametrize("problem", ["truncated", "another width"])
def test_weights_that_do_not_fit_are_named_and_nothing_is_overwritten(trained, tmp_path, problem):
    weights = tmp_path / "start.pt"
    shutil.copy(trained / "models" / "first_generation.pt", weights)
    changes = {}
    if problem == "truncated":
        weights.write_bytes(weights.read_bytes()[:-4000])
    else:
        changes["network_def#decoder_channels"] = 12
    before = {path: path.read_bytes() for path in (trained / "models").glob("*.pt")}
    run = workflow(trained, TRAIN, init_weights=str(weights), tensorboard=False, **SMALL_GRID, **(TINY | changes))
    assert "start.pt" in failure_of(run)
    assert before == {path: path.read_bytes() for path in (trained / "models").glob("*.pt")}


def test_a_resume_file_of_another_width_is_named(trained):
    options = {"network_def#preset": "tiny", "network_def#decoder_channels": 12, "tensorboard": False}
    run = workflow(trained, TRAIN, max_epochs=9, **SMALL_GRID, **options)
    assert "resume.pt: not a state of this run" in failure_of(run)


def test_a_full_disk_ends_the_run_with_the_earlier_weights_untouched(trained, monkeypatch):
    before = (trained / "models" / "first_generation.pt").read_bytes()

    def full(state, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    run = workflow(trained, TRAIN, resume="", max_epochs=1, tensorboard=False, **SMALL_GRID, **TINY)
    assert "no space left" in failure_of(run)
    assert (trained / "models" / "first_generation.pt").read_bytes() == before


@pytest.mark.parametrize("overlays", [(STREAM,), (STREAM, GPU)])
def test_training_on_a_stream_of_simulated_studies(root, tmp_path, overlays):
    anatomy = BUNDLE.parent / "lumbar_reconstruction" / "models" / "anatomy.pt"
    stream = {"anatomy": str(anatomy), "stream_studies": 1, "epoch_views": 4, "reuse": 2, "max_epochs": 1}
    folders = {"ckpt_dir": str(tmp_path), "tensorboard": False}
    workflow(root, TRAIN, *overlays, **stream, **folders, **SMALL_GRID, **TINY).run()
    assert (tmp_path / "first_generation.pt").is_file()


def test_cross_validation_trains_every_fold_once(root, tmp_path, capsys):
    options = {"max_epochs": 1, "tensorboard": False, **SMALL_GRID, **TINY}
    arguments = (str(BUNDLE), str(root / "cohort" / "train"), str(tmp_path))
    cross_validate(*arguments, folds=2, **options)
    assert "| lat_dice |" in (tmp_path / "folds.md").read_text()
    weights = {path: path.read_bytes() for path in tmp_path.glob("fold_*/first_generation.pt")}
    assert len(weights) == 2
    (tmp_path / "folds.md").unlink()
    cross_validate(*arguments, folds=2, **options)
    assert all(path.read_bytes() == content for path, content in weights.items())
    assert capsys.readouterr().out.count("| ap_dice |") == 2


def test_the_ablation_prints_our_rows_beside_the_papers(root, tmp_path, capsys):
    smallest = {"downsample": 4, "size_px": [128, 128], "shift_px": 8, "batch_size": 1}
    options = {"tensorboard": False, **(SMALL_GRID | smallest), **TINY}
    ablate(str(BUNDLE), str(root / "cohort"), str(tmp_path), iterations=10, **options)
    table = (tmp_path / "ablation.md").read_text()
    assert table in capsys.readouterr().out
    for name in ("full", "no FFM", "single task"):
        assert f"| {name}, simulated |" in table and f"Yu et al., {name}, real X-rays" in table


def test_inference_writes_decomposition_and_landmarks(trained):
    image = trained / "cohort" / "validation" / "study_0000" / "lat.png"
    options = {"image": str(image), "view": "lat", "polarity": "bone_bright", "threshold": 0.0}
    workflow(trained, *INFERENCE, kind="infer", **options, **TINY).run()
    decomposition, spacing_mm = read_nifti_image(trained / "output" / "lat_decomposition.nii.gz")
    assert decomposition.shape == (512, 512) and spacing_mm == (0.834, 0.834)
    landmarks = read_landmarks(trained / "output" / "lat_landmarks.json")
    assert np.isfinite(landmarks.positions_px["lat"]).any() and np.isnan(landmarks.positions_px["ap"]).all()


def test_confidences_are_calibrated_where_the_weights_have_a_calibration(trained, tmp_path):
    (tmp_path / "models").mkdir()
    shutil.copy(trained / "models" / "first_generation.pt", tmp_path / "models")
    certain = MonotoneMap([0.0], [0.625])
    landmarks = {view: dict.fromkeys(LANDMARKS, certain) for view in VIEWS}
    calibration = ConfidenceCalibration(landmarks, dict.fromkeys(VIEWS, certain), 4.0)
    calibration.write(tmp_path / "models" / "first_generation_confidence.json")
    image = trained / "cohort" / "validation" / "study_0000" / "ap.png"
    options = {"image": str(image), "polarity": "bone_bright", "threshold": 0.0}
    workflow(tmp_path, *INFERENCE, kind="infer", **options, **TINY).run()
    confidence = read_landmarks(tmp_path / "output" / "ap_landmarks.json").confidence["ap"]
    assert set(np.unique(confidence)) <= {0.0, 0.625} and 0.625 in confidence


def test_onnx_runtime_stands_in_for_the_network(trained):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    definition = ConfigParser.load_config_file(CONFIGS / "first_generation.json")["network_def"]
    network = LumbarMultitaskNet(**{k: v for k, v in definition.items() if k != "_target_"} | TINY_NETWORK)
    export_onnx(load_weights(network, trained / "models" / "first_generation.pt"), trained / "models" / "model.onnx")
    image = trained / "cohort" / "validation" / "study_0000" / "ap.png"
    found = []
    for configs in (INFERENCE, (*INFERENCE, "inference_onnx.json")):
        options = {"image": str(image), "polarity": "bone_bright", "threshold": 0.0}
        workflow(trained, *configs, kind="infer", **options, **TINY).run()
        found.append(read_nifti_image(trained / "output" / "ap_decomposition.nii.gz")[0])
    assert found[0].std() > 0 and np.abs(found[0] - found[1]).max() < 1e-4


def test_an_initialised_inference_runs_again_on_other_images(trained):
    """Repeated runs in memory: replace the data, run again (a server does this)."""
    run = workflow(trained, *INFERENCE, kind="infer", image="unused", polarity="bone_bright", **TINY)
    for view in ("ap", "lat"):
        path = trained / "cohort" / "train" / "study_0001" / f"{view}.png"
        run.dataset.data = [{"image": str(path), "view": view}]
        run.run()
        assert (trained / "output" / f"{view}_landmarks.json").is_file()


@pytest.mark.parametrize(
    ("configs", "kind"),
    [((TRAIN,), "train"), (INFERENCE, "infer")],
)
def test_required_and_optional_properties_are_there(trained, configs, kind):
    assert workflow(trained, *configs, kind=kind, **TINY).check_properties() == []


def test_the_network_fits_the_metadata():
    config = [str(CONFIGS / name) for name in INFERENCE]
    meta = str(CONFIGS / "first_generation_metadata.json")
    verify_net_in_out(net_id="network_def", device="cpu", n=4, meta_file=meta, config_file=config)


def test_the_weights_export_to_torchscript(trained, tmp_path):
    config = ConfigParser.load_config_file(CONFIGS / "first_generation.json")
    config["network_def"] |= {"preset": "tiny", "decoder_channels": 8}
    ConfigParser.export_config_file(config, str(tmp_path / "first_generation.json"))
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(trained / "models" / "first_generation.pt"),
        meta_file=str(CONFIGS / "first_generation_metadata.json"),
        config_file=[str(CONFIGS / "inference.json"), str(tmp_path / "first_generation.json")],
    )
    packed = torch.jit.load(tmp_path / "model.ts")(torch.zeros(1, 1, 64, 64))
    assert packed.shape == (1, LUMBAR_PACK.channels, 16, 16)


def test_the_metadata_is_complete():
    verify_metadata(meta_file=str(CONFIGS / "first_generation_metadata.json"), filepath=str(SCHEMA))
    metadata = json.loads((CONFIGS / "first_generation_metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    outputs = metadata["network_data_format"]["outputs"]["pred"]
    assert outputs["num_channels"] == LUMBAR_PACK.channels == len(outputs["channel_def"])


def test_training_and_inference_build_the_same_network():
    names = ("first_generation_train", "first_generation")
    train, inference = (ConfigParser.load_config_file(CONFIGS / f"{name}.json") for name in names)
    assert train["network_def"] == inference["network_def"]
