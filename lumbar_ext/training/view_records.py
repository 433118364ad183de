"""Training items: one item is one VIEW of a study folder with known truth, held compactly in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import Dataset

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.radiographs.radiograph import with_bone_bright
from lumbar_ext.studies.study_folder import StudyFolder, study_folders
from lumbar_ext.transforms.canonical import CanonicalView
from lumbar_ext.transforms.intensity import NORMALISED_RANGE, as_uint16, from_uint16
from lumbar_ext.transforms.multitask_targets import ENDPLATES
from lumbar_ext.transforms.view_truth import ViewTruth, truth_on_grid


@dataclass(frozen=True)
class ViewRecord:
    """One view as stored in memory, on the network grid (arrays [rows, columns]).

    Args:
        study: folder it came from.
        view: "ap" or "lat".
        image: uint16, the normalised radiograph's range [-0.5, 1.5] as 0..65535.
        decomposition: uint16, [0, 1] as 0..65535.
        landmarks_px: float32 [5, 7, 2] (u, v); NaN where unknown.
    """

    study: Path
    view: str
    image: np.ndarray
    decomposition: np.ndarray
    landmarks_px: np.ndarray

    @classmethod
    def of(cls, truth: ViewTruth, study: Path, downsample: int = 1) -> ViewRecord:
        """The compact form of a view, on a grid halved until it is `downsample` times as coarse."""
        factor = 1
        while factor < downsample:
            truth, factor = truth.halved(), 2 * factor
        return cls(
            study,
            truth.view,
            as_uint16(truth.image, *NORMALISED_RANGE),
            as_uint16(truth.decomposition, 0.0, 1.0),
            truth.landmarks_px.astype(np.float32),
        )

    @property
    def truth(self) -> ViewTruth:
        """The view in float32: radiograph as normalised, decomposition 0 to 1."""
        image, decomposition = from_uint16(self.image, *NORMALISED_RANGE), from_uint16(self.decomposition, 0.0, 1.0)
        return ViewTruth(self.view, image, decomposition, self.landmarks_px)

    @property
    def present(self) -> np.ndarray:
        """bool [5], both endplates known."""
        return self.truth.present

    def as_sample(self) -> dict[str, Any]:
        """See `ViewTruth.as_sample`."""
        return self.truth.as_sample()


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
    return ViewRecord.of(read_truth(study, view)[0], study, downsample)


def record_of_sample(sample: Mapping[str, Any], downsample: int = 1) -> ViewRecord:
    """The compact form of a sample such as `ViewRecord.as_sample` gives, on a grid halved as often as asked."""
    image, decomposition = (np.asarray(sample[name])[0] for name in ("image", "decomposition"))
    truth = ViewTruth(sample["view"], image, decomposition, np.asarray(sample["landmarks_px"], float))
    return ViewRecord.of(truth, Path(str(sample.get("study", ""))), downsample)


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
    landmarks = read_landmarks(files.truth.landmarks).positions_px[view]
    _check_truth(radiograph.pixels, decomposition, landmarks, decomposition_path)
    return truth_on_grid(radiograph.pixels, decomposition, landmarks, camera, view, whole_film=whole_film)


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
