"""The network bundle on one radiograph, by its own inference config."""

from __future__ import annotations

import logging
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monai.bundle import ConfigWorkflow

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import sha256
from lumbar_ext.label.request_parameters import ViewParameters
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, read_landmarks
from lumbar_ext.radiographs.nifti import read_nifti_image, read_nifti_origin
from lumbar_ext.transforms.canonical import NETWORK_SPACING_MM
from lumbar_ext.transforms.resampling import GridMapping, resample
from lumbar_ext.workflow.bundle_workflow import bundle_workflow, run_on

MULTITASK, RECONSTRUCTION = "lumbar_multitask", "lumbar_reconstruction"
TRAINED_WEIGHTS = "second_generation.pt"  # in the server's folder, where weights of other networks may lie from before
_FORMER_WEIGHTS = "multitask.pt"  # of servers that trained the network of the first generation


@dataclass(frozen=True)
class SeenRadiograph:
    """What the network saw in one radiograph.

    Args:
        landmarks_px: [5, 7, 2] (u, v) of the file; NaN where absent.
        confidence: [5, 7] in [0, 1]; 0 where absent.
        decomposition: [384, 256] of the network's spacing.
        origin_mm: (u, v) of its first pixel in the plane of the film, from the centre of the film's first pixel.
    """

    landmarks_px: np.ndarray
    confidence: np.ndarray
    decomposition: np.ndarray
    origin_mm: tuple[float, float]

    def on_film(self, size_px: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
        """The decomposition [rows, columns] on the pixels of its film of `size_px` (columns, rows); 0 beyond the crop."""
        spacing = np.array(spacing_mm)
        crop_in_film = GridMapping(tuple(NETWORK_SPACING_MM / spacing), tuple(np.array(self.origin_mm) / spacing))
        return resample(self.decomposition, crop_in_film.inverse(), size_px, 0.0)


@dataclass(frozen=True)
class NetworkWeights:
    """A file of weights.

    Args:
        path: the file.
        trained_here: whether they were trained from labels of this server, not shipped with the bundle.
        sha256: of its content.
    """

    path: Path
    trained_here: bool
    sha256: str


class NetworkBundle:
    """Runs the multi-task bundle with the newest weights; safe to use from several threads.

    Args:
        bundles: folder of the bundles.
        work_folder: where training leaves its weights.
    """

    def __init__(self, bundles: Path, work_folder: Path) -> None:
        self.root = bundles / MULTITASK
        self.trained = work_folder / TRAINED_WEIGHTS
        if (work_folder / _FORMER_WEIGHTS).is_file():
            logging.getLogger(__name__).warning(
                "%s: weights of the first generation's network, which this version does not use; train again from the labels",
                work_folder / _FORMER_WEIGHTS,
            )
        self._lock = threading.Lock()
        self._output = tempfile.TemporaryDirectory(prefix="lumbar_ext-")
        self._workflows: dict[tuple, ConfigWorkflow] = {}
        self._known: tuple[tuple, NetworkWeights] | None = None

    def weights(self) -> NetworkWeights:
        """The weights in use: those trained here, else the bundle's."""
        trained_here = self.trained.is_file()
        path = self.trained if trained_here else self.root / "models" / "model.pt"
        if not path.is_file():
            raise InputError(f"{path}: no such file, expected the weights of the network")
        state = path.stat()
        key = (path, state.st_mtime_ns, state.st_size, state.st_ino)
        if self._known is None or self._known[0] != key:
            self._known = (key, NetworkWeights(path, trained_here, sha256(path)))
        return self._known[1]

    def see(self, image: Path, view: str, parameters: ViewParameters) -> SeenRadiograph:
        """What the network sees in a radiograph file that is shown head up, lateral views facing left.

        Raises:
            InputError: if the file or the weights cannot be used.
        """
        with self._lock:
            workflow = self._workflow(parameters)
            try:
                run_on(workflow, {"image": str(image), "view": view})
                return _read(Path(self._output.name), view)
            except Exception:
                # A workflow is spent once it has failed.
                self._workflows.clear()
                raise
            finally:
                for left in Path(self._output.name).iterdir():
                    left.unlink()

    def _workflow(self, parameters: ViewParameters) -> ConfigWorkflow:
        """An initialised workflow; only the newest weights are kept in memory."""
        weights = self.weights()
        key = (weights.sha256, parameters.pixel_spacing_mm, parameters.polarity)
        if key not in self._workflows:
            kept = {other: made for other, made in self._workflows.items() if other[0] == weights.sha256}
            made = bundle_workflow(
                self.root,
                ["inference"],
                output_dir=self._output.name,
                ckpt_path=str(weights.path),
                pixel_spacing_mm=parameters.pixel_spacing_mm,
                polarity=parameters.polarity,
            )
            self._workflows = dict([*kept.items(), (key, made)][-4:])
        return self._workflows[key]


def _read(folder: Path, view: str) -> SeenRadiograph:
    (landmarks_file,) = folder.glob("*_landmarks.json")
    (decomposition_file,) = folder.glob("*_decomposition.nii.gz")
    landmarks: StudyLandmarks = read_landmarks(landmarks_file)
    confidence = np.nan_to_num(landmarks.confidence[view])
    decomposition, origin_mm = read_nifti_image(decomposition_file)[0], read_nifti_origin(decomposition_file)
    return SeenRadiograph(landmarks.positions_px[view], confidence, decomposition, origin_mm)
