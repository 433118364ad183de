"""Training items: one item is one VIEW of a study folder with known truth, held compactly in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import Dataset
from PIL import Image

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.transforms.intensity import NORMALISED_RANGE, normalise_intensity

UINT16_MAX = 65535


@dataclass(frozen=True)
class ViewRecord:
    """One view as stored in memory, on the network grid (arrays [rows, columns]).

    Args:
        study: folder it came from.
        view: "ap" or "lat".
        image: uint16, the normalised radiograph's range [-0.5, 1.5] as 0..65535.
        decomposition: uint16, [0, 1] as 0..65535.
        landmarks_px: float32 [5, 7, 2] (u, v); zero where absent.
        present: bool [5].
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


def read_landmarks_px(path: Path, view: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions [5, 7, 2] and presence [5] of one view from a study's ``truth/landmarks.json``.

    Raises:
        InputError: when a vertebra lacks a landmark.
    """
    vertebrae = json.loads(path.read_text())["vertebrae"]
    positions = np.zeros((len(LEVELS), len(LANDMARKS), 2), np.float32)
    present = np.array([level in vertebrae for level in LEVELS])
    for row in np.flatnonzero(present):
        points = vertebrae[LEVELS[row]]
        missing = [name for name in LANDMARKS if name not in points]
        if missing:
            raise InputError(f"{path}: {LEVELS[row]} lacks the landmarks {missing}")
        positions[row] = [points[name][f"{view}_px"] for name in LANDMARKS]
    return positions, present


def read_decomposition(path: Path) -> np.ndarray:
    """A decomposition image [rows, columns] float32 from NIfTI, whose first array axis is u (columns)."""
    return np.squeeze(np.asanyarray(nibabel.load(path).dataobj)).astype(np.float32).T


def halve(image: np.ndarray) -> np.ndarray:
    """Mean of 2x2 pixel blocks of an image with even sizes."""
    rows, columns = image.shape
    return image.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))


def _as_uint16(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * UINT16_MAX).astype(np.uint16)


def read_view(study: Path, view: str, downsample: int = 1) -> ViewRecord:
    """Reads one view of a study folder that lies on the network grid already (as simulated cohorts do).

    Args:
        study: folder with ``<view>.png`` and ``truth/``.
        view: "ap" or "lat".
        downsample: 1, or 2, 4 .. to halve the grid that often by area averaging.

    Raises:
        InputError: when image and decomposition differ in size, or the decomposition is empty at a vertebra's centre
            (which a transposed or mismatched file shows).
    """
    image = np.asarray(Image.open(study / f"{view}.png"), np.float32)
    decomposition_path = study / "truth" / f"decomposition_{view}.nii.gz"
    decomposition = read_decomposition(decomposition_path)
    landmarks, present = read_landmarks_px(study / "truth" / "landmarks.json", view)
    if image.shape != decomposition.shape:
        raise InputError(f"{decomposition_path}: size {decomposition.shape} differs from the image's {image.shape}")
    _check_truth(decomposition, landmarks[present], decomposition_path)
    image = normalise_intensity(image)
    factor = 1
    while factor < downsample:
        image, decomposition = halve(image), halve(decomposition)
        landmarks = (landmarks - 0.5) / 2
        factor *= 2
    return ViewRecord(
        study=study,
        view=view,
        image=_as_uint16(image, *NORMALISED_RANGE),
        decomposition=_as_uint16(decomposition, 0.0, 1.0),
        landmarks_px=(landmarks * present[:, None, None]).astype(np.float32),
        present=present,
    )


def _check_truth(decomposition: np.ndarray, landmarks_px: np.ndarray, path: Path) -> None:
    centres = np.rint(landmarks_px[:, :2].mean(axis=1)).astype(int)
    rows, columns = decomposition.shape
    inside = (centres >= 0).all(axis=1) & (centres[:, 0] < columns) & (centres[:, 1] < rows)
    values = decomposition[centres[inside, 1], centres[inside, 0]]
    if np.any(values <= 0):
        raise InputError(f"{path}: decomposition is empty at the centre of a vertebra; axes or study do not match")


def list_studies(folder: str | Path, limit: int | None = None) -> list[Path]:
    """Study folders ``study_*`` with truth beneath ``folder``, sorted, at most ``limit``.

    Raises:
        InputError: when there are none.
    """
    studies = sorted(path for path in Path(folder).glob("study_*") if (path / "truth" / "landmarks.json").is_file())
    if not studies:
        raise InputError(f"{folder}: expected study_* folders with truth/landmarks.json, found none")
    return studies[:limit]


class StudyViewDataset(Dataset):
    """All views of the given studies, read once.

    Args:
        studies: study folders; both views of each become items.
        transform: applied to the sample dictionary of :meth:`ViewRecord.as_sample`.
        downsample: see :func:`read_view`.
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
