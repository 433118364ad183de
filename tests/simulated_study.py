"""A simulated study of a real held-out subject, and a network that sees its truth, for tests of the whole walk."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from torch import nn

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, LEVELS, VIEWS
from lumbar_ext.drr.bone_images import decomposition
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.registration.config import CONFIGS, bobyqa_config
from lumbar_ext.registration.search.bobyqa import BlockStage, BobyqaBlocks
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.simulated_study import simulate_study
from lumbar_ext.simulation.study_files import write_study
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.transforms.canonical import to_network_grid
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.multitask_targets import encode_target
from lumbar_ext.workflow.error_reporting import input_error_behind

BUNDLE = Path(__file__).parents[1] / "bundles" / "lumbar_reconstruction"
SEED = 3
SAME_PICTURE = 0.9


@dataclass(frozen=True)
class TrueStudy:
    """A study whose truth is known.

    Args:
        folder: its files, as `simulation.study_files` writes them.
        pixels: by view, the radiograph.
        geometry: the cameras.
        vertebrae: L1 .. L5 in world mm.
        landmarks_mm: [5, 7, 3] in world mm.
    """

    folder: Path
    pixels: dict[str, np.ndarray]
    geometry: BiplanarGeometry
    vertebrae: tuple[Surface, ...]
    landmarks_mm: np.ndarray

    def inputs(self, output_dir):
        """The paths that a run is given."""
        files = {f"{view}_image": str(self.folder / f"{view}.png") for view in VIEWS}
        return {**files, "calibration": str(self.folder / "calibration.json"), "output_dir": str(output_dir)}


class PerfectNetwork(nn.Module):
    """Knows a study's radiographs on the network grid and answers with their true packed output; else sees nothing.

    Args:
        study: the study it knows.
        hidden: levels it does not see.
    """

    def __init__(self, study: TrueStudy, hidden: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.answers = [_answer(study, view, hidden) for view in VIEWS]

    def forward(self, image):
        for known, packed in self.answers:
            if np.corrcoef(known.ravel(), image.cpu().numpy().ravel())[0, 1] > SAME_PICTURE:
                return packed[None]
        return torch.zeros(1, LUMBAR_PACK.channels, *(n // 4 for n in image.shape[-2:]))


def _answer(study: TrueStudy, view: str, hidden: tuple[str, ...]) -> tuple[np.ndarray, torch.Tensor]:
    """The picture on the network grid, and what the network says of it."""
    canonical = to_network_grid(study.pixels[view].astype(np.float32), study.geometry[view], view)
    landmarks_px = canonical.camera.project(study.landmarks_mm)
    if canonical.swap_left_right:
        landmarks_px = landmarks_px[:, list(LEFT_RIGHT_SWAP)]
    seen = np.array([level not in hidden for level in LEVELS])
    bones = torch.from_numpy(decomposition(study.vertebrae, canonical.camera))
    return normalise_intensity(canonical.pixels), encode_target(bones, landmarks_px, seen)[: LUMBAR_PACK.channels]


@pytest.fixture(scope="session")
def true_study(tmp_path_factory) -> TrueStudy:
    """A simulated study on disk; tests must not write to its folder."""
    population = Population.load(BUNDLE / "models" / "anatomy.pt")
    study = simulate_study(population, StudySpec(SEED, "test", parameters=read_parameters("plain")))
    folder = tmp_path_factory.mktemp("simulated") / "study"
    write_study(study, folder)
    pixels = {view: study.pictures[view].pixels for view in VIEWS}
    return TrueStudy(folder, pixels, study.geometry, study.truth.vertebrae, study.truth.landmarks_mm)


@pytest.fixture(scope="session")
def reconstruction(tmp_path_factory):
    """A function that makes an initialised workflow of the reconstruction bundle with a network that knows the study.

    The registration is the fast one, with all shape modes and no second look, and no paper is printed; overrides give config
    ids with # as in MONAI.
    """
    weights = tmp_path_factory.mktemp("weights") / "perfect.pt"
    weights.write_bytes(b"a perfect network has no weights")

    def make(study, output_dir, /, *, hidden=(), configs=("inference.json",), **overrides):
        options = {
            "multitask_network": PerfectNetwork(study, hidden),
            "multitask_weights": str(weights),
            "multitask_locator": None,
            "multitask_locator_weights": None,
            "optimiser": {"_target_": "lumbar_ext.registration.GaussNewton"},
            "n_modes": 64,
            "max_seconds": 3600,
            "looks": 0,
            "write_pdf": False,
        }
        made = ConfigWorkflow(
            config_file=[str(BUNDLE / "configs" / name) for name in configs],
            meta_file=str(BUNDLE / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="infer",
            bundle_root=str(BUNDLE),
            **{**options, **study.inputs(output_dir), **overrides},
        )
        made.initialize()
        return made

    return make


@pytest.fixture(scope="session")
def reconstruct(reconstruction):
    """A function that runs such a workflow; InputErrors come as themselves."""

    def run(study, output_dir, /, **options):
        try:
            reconstruction(study, output_dir, **options).run()
        except Exception as error:
            raise input_error_behind(error) or error from None

    return run


@pytest.fixture(scope="session")
def reconstructed(true_study, reconstruct, tmp_path_factory) -> Path:
    """The folder of the study's reconstruction as it is, with every file; tests must not write to it."""
    folder = tmp_path_factory.mktemp("reconstructed") / "deep" / "out"
    reconstruct(true_study, folder, write_pdf=True)
    return folder


@pytest.fixture(scope="session")
def perfect_network():
    """The class of networks that know a study."""
    return PerfectNetwork


@pytest.fixture
def quick_bobyqa(monkeypatch) -> None:
    """The word `bobyqa` means its registration with some hundred evaluations: a place near the start, found in a second."""
    stage = BlockStage(4, 600, True, 1, 0.5, 0.1, 60)
    quick = replace(bobyqa_config(), optimiser=BobyqaBlocks((stage,)))
    monkeypatch.setitem(CONFIGS, "bobyqa", lambda: quick)
