"""The study folder: which file of a study has which name, and which studies a folder holds.

A study folder holds what a clinic delivers, `ap.png` and `lat.png` (or another kind of radiograph) and `calibration.json`,
and, where the truth is known, `truth/` with decompositions, silhouettes, landmarks, meshes and `meta.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumbar_ext.errors import InputError

CALIBRATION_NAME = "calibration.json"
TRUTH_NAME = "truth"
STUDY_PATTERNS = ("ap.png", "lat.png", CALIBRATION_NAME, f"{TRUTH_NAME}/*")
"""What this package writes into a study folder, as patterns of paths in it."""


@dataclass(frozen=True)
class TruthFolder:
    """The files of what is known of a study.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def landmarks(self) -> Path:
        """The seven landmarks of each vertebra in space and in both views, see `landmarks.study_landmarks`."""
        return self.path / "landmarks.json"

    @property
    def anchors(self) -> Path:
        """T12, L6 and S1, see `landmarks.anchors`."""
        return self.path / "anchors.json"

    @property
    def meta(self) -> Path:
        """Who the person is, how they stand, and how the study was made."""
        return self.path / "meta.json"

    def decomposition(self, view: str) -> Path:
        """What the view would show of the vertebrae alone."""
        return self.path / f"decomposition_{view}.nii.gz"

    def silhouettes(self, view: str) -> Path:
        """8 bit; bit i (value 2^i) is set where vertebra i (L1 = 0) lies."""
        return self.path / f"silhouettes_{view}.png"

    @property
    def volume(self) -> Path:
        """CT numbers of the lumbar box, see `studies.truth_volume`."""
        return self.path / "volume.nii.gz"

    @property
    def labels(self) -> Path:
        """What fills each voxel of `volume`, see `transforms.tissue`."""
        return self.path / "labels.nii.gz"

    def mesh(self, level: str) -> Path:
        """The STL file of a vertebra, world mm."""
        return self.path / f"{level}.stl"

    def read_meta(self) -> dict[str, Any]:
        """The content of `meta`; empty where there is none."""
        return json.loads(self.meta.read_text(encoding="utf-8")) if self.meta.is_file() else {}


@dataclass(frozen=True)
class StudyFolder:
    """The files of a study.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def calibration(self) -> Path:
        """The file of the cameras of both views."""
        return self.path / CALIBRATION_NAME

    @property
    def truth(self) -> TruthFolder:
        """The folder of what is known: meshes, decompositions, landmarks, cameras, special findings."""
        return TruthFolder(self.path / TRUTH_NAME)

    def picture(self, view: str) -> Path:
        """The radiograph as this package writes it."""
        return self.path / f"{view}.png"

    def radiograph(self, view: str) -> Path:
        """The one radiograph of a view, of whatever kind: `ap.png`, `lat.dcm`, `ap.nii.gz` ...

        Raises:
            InputError: if there is none, or more than one.
        """
        found = sorted(path for path in self.path.glob(f"{view}.*") if path.is_file())
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise InputError(f"{self.path}: expected one radiograph {view}.png, .dcm or .nii.gz, found {names}")
        return found[0]

    @property
    def is_complete(self) -> bool:
        """Whether the folder holds a finished study with its truth, of which `meta` is written last."""
        return self.truth.meta.is_file()


def study_folders(folder: str | Path) -> list[Path]:
    """The study folders, those with a calibration, directly in a folder; sorted, hidden ones left out."""
    return sorted(path.parent for path in Path(folder).glob(f"[!.]*/{CALIBRATION_NAME}"))
