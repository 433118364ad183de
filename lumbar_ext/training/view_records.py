"""Training items: one item is one VIEW of a study folder with known truth, held compactly in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.radiographs.radiograph import with_bone_bright
from lumbar_ext.studies.study_folder import StudyFolder, study_folders
from lumbar_ext.transforms.canonical import NETWORK_SIZE_PX, CanonicalView, size_on_grid, to_network_grid
from lumbar_ext.transforms.intensity import NORMALISED_RANGE, normalise_intensity
from lumbar_ext.transforms.multitask_targets import ENDPLATES

UINT16_MAX = 65535


@dataclass(frozen=True)
class ViewRecord:
    """One view as stored in memory, on the network grid (arrays [rows, columns]).

    Args:
        study: folder it came from.
        view: "ap" or "lat".
        image: uint16, the normalised radiograph's range [-0.5, 1.5] as 0..65535.
        decomposition: uint16, [0, 1] as 0..65535.
        landmarks_px: float32 [5, 7, 2] (u, v); NaN where unknown.
        present: bool [5], both endplates known.
    """

    study: Path
    view: str
    image: np.ndarray
    decomposition: np.ndarray
    landmarks_px: np.ndarray
    present: np.ndarray

    def as_sample(self) -> dict[str, Any]:
        """The record as float tensors: image and decomposition [1, H, W], landmarks_px, present, view."""
        low, high = NORMALISED_RANGE
        return {
            "image": torch.from_numpy(self.image * np.float32((high - low) / UINT16_MAX) + np.float32(low))[None],
            "decomposition": torch.from_numpy(self.decomposition * np.float32(1 / UINT16_MAX))[None],
            "landmarks_px": self.landmarks_px.astype(float),
            "present": self.present,
            "view": self.view,
        }


def halve(image: np.ndarray) -> np.ndarray:
    """Mean of 2x2 pixel blocks of an image with even sizes."""
    rows, columns = image.shape
    return image.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))


def _as_uint16(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * UINT16_MAX).astype(np.uint16)


@dataclass(frozen=True)
class ViewTruth:
    """One view on the network grid, in float: image, decomposition [rows, columns], landmarks_px [5, 7, 2] with NaN."""

    image: np.ndarray
    decomposition: np.ndarray
    landmarks_px: np.ndarray


def read_view(study: Path, view: str, downsample: int = 1) -> ViewRecord:
    """Reads one view of a study folder and brings it, with its truth, to the network grid.

    Files that lie on that grid already, as those of simulated cohorts do, are not resampled. An image counts as
    bone-bright unless its own tags say otherwise.

    Args:
        study: folder with `<view>.png` (or another radiograph file of that name), `calibration.json` and `truth/`.
        view: "ap" or "lat".
        downsample: 1, or 2, 4 .. to halve the grid that often by area averaging.

    Raises:
        InputError: when a file is missing, image and decomposition differ in size, no vertebra is labelled, or the
            decomposition is empty at a vertebra's centre (which a transposed or mismatched file shows).
    """
    return _record(read_truth(study, view)[0], study, view, downsample)


def record_of_sample(sample: Mapping[str, Any], downsample: int = 1) -> ViewRecord:
    """The compact form of a sample such as `ViewRecord.as_sample` gives, on a grid halved as often as asked."""
    image, decomposition = (np.asarray(sample[name])[0] for name in ("image", "decomposition"))
    truth = ViewTruth(image, decomposition, np.asarray(sample["landmarks_px"], float))
    return _record(truth, Path(str(sample.get("study", ""))), sample["view"], downsample)


def _record(truth: ViewTruth, study: Path, view: str, downsample: int) -> ViewRecord:
    factor = 1
    while factor < downsample:
        truth = ViewTruth(halve(truth.image), halve(truth.decomposition), (truth.landmarks_px - 0.5) / 2)
        factor *= 2
    return ViewRecord(
        study=study,
        view=view,
        image=_as_uint16(truth.image, *NORMALISED_RANGE),
        decomposition=_as_uint16(truth.decomposition, 0.0, 1.0),
        landmarks_px=truth.landmarks_px.astype(np.float32),
        present=np.isfinite(truth.landmarks_px[:, list(ENDPLATES)]).all(axis=(1, 2)),
    )


def read_truth(study: Path, view: str, *, whole_film: bool = False) -> tuple[ViewTruth, CanonicalView]:
    """One view of a study folder, with its truth, on the network grid; and how it was brought there.

    Args:
        study: its folder.
        view: "ap" or "lat".
        whole_film: whether the grid covers all of the radiograph, of whatever size.

    Raises:
        InputError: as `read_view`.
    """
    files = StudyFolder(study)
    camera = read_calibration(files.calibration)[view]
    radiograph = read_radiograph(files.radiograph(view))
    if radiograph.polarity == "bone_dark":
        radiograph = with_bone_bright(radiograph)
    decomposition_path = files.truth.decomposition(view)
    decomposition, _ = read_nifti_image(decomposition_path)
    landmarks = getattr(read_landmarks(files.truth.landmarks), f"{view}_px")
    _check_truth(radiograph.pixels, decomposition, landmarks, decomposition_path)
    size_px = size_on_grid(camera, view) if whole_film else NETWORK_SIZE_PX
    seen = to_network_grid(radiograph.pixels, camera, view, size_px=size_px)
    landmarks = seen.to_canonical_px(landmarks)
    if seen.swap_left_right:
        # the network names the sides of the person it seems to see
        landmarks = landmarks[:, list(LEFT_RIGHT_SWAP)]
    bone = to_network_grid(decomposition, camera, view, size_px=size_px).pixels
    return ViewTruth(normalise_intensity(seen.pixels), bone, landmarks), seen


def _check_truth(image: np.ndarray, decomposition: np.ndarray, landmarks_px: np.ndarray, path: Path) -> None:
    if image.shape != decomposition.shape:
        raise InputError(f"{path}: size {decomposition.shape} differs from the image's {image.shape}")
    if not np.isfinite(landmarks_px[:, list(ENDPLATES)]).all(axis=(1, 2)).any():
        raise InputError(f"{path.parent / 'landmarks.json'}: no vertebra has both endplates in this view")
    centres = landmarks_px[:, list(ENDPLATES)].mean(axis=1)
    centres = np.rint(centres[np.isfinite(centres).all(axis=1)]).astype(int)
    rows, columns = decomposition.shape
    inside = (centres >= 0).all(axis=1) & (centres[:, 0] < columns) & (centres[:, 1] < rows)
    if np.any(decomposition[centres[inside, 1], centres[inside, 0]] <= 0):
        raise InputError(f"{path}: decomposition is empty at the centre of a vertebra; axes or study do not match")


def studies_of(folders: Sequence[str | Path], limit: int | None = None) -> list[Path]:
    """The studies of several folders, see `list_studies`; `limit` counts in each."""
    return [study for folder in folders for study in list_studies(folder, limit)]


def list_studies(folder: str | Path, limit: int | None = None) -> list[Path]:
    """Study folders (those with a `calibration.json`) directly beneath `folder`, sorted, at most `limit`.

    Raises:
        InputError: when there are none, or one of them has no labels.
    """
    studies = study_folders(folder)
    if not studies:
        raise InputError(f"{folder}: expected study folders with calibration.json and truth/landmarks.json, found none")
    for study in studies[:limit]:
        if not StudyFolder(study).truth.landmarks.is_file():
            raise InputError(f"{study}: no truth/landmarks.json, expected labels of every study")
    return studies[:limit]


class StudyViewDataset(Dataset):
    """All views of the given studies, read once.

    Args:
        studies: study folders; both views of each become items.
        transform: applied to the sample dictionary of `ViewRecord.as_sample`.
        downsample: see `read_view`.
        views: which views.
    """

    def __init__(
        self,
        studies: Sequence[str | Path],
        transform: Callable | None = None,
        downsample: int = 1,
        views: Sequence[str] = VIEWS,
    ) -> None:
        records = [read_view(Path(study), view, downsample) for study in studies for view in views]
        super().__init__(records, transform)

    def _transform(self, index: int) -> Any:
        sample = self.data[index].as_sample()
        return self.transform(sample) if self.transform is not None else sample
