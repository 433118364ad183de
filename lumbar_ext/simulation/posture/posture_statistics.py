"""Statistics of lumbar curvature, from keypoints of real CT scans.

A curvature is twelve relative angles: for each pair of neighbours L1-L2 .. L4-L5 the lateral bend, flexion and axial
rotation of the lower vertebra against the upper one, in rad. The statistics are a mean and a covariance; they ship as
`posture_statistics.json` (derived from the VID vertebra identification dataset of Buergin, Prevost and Stollenga, CC
BY-SA 4.0: the file carries the same licence), which this command rebuilds from the dataset's folder of keypoint files:

    lumbar-ext posture-statistics --data_dir <.../KeypointGroundTruthNoSacrum>
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError

_FILE_NAME = "posture_statistics.json"
_LICENCE = (
    "CC BY-SA 4.0. Derived from the VID vertebra identification dataset "
    "(github.com/ImFusionGmbH/VID-vertebra-identification-dataset; V. Buergin, R. Prevost, M. F. Stollenga), "
    "itself from VerSe, CT Colonography and Pancreas-CT."
)
_DESCRIPTION = "relative (lateral, flexion, axial) angles of L1-L2 .. L4-L5, lower against upper, rad; supine CT"
_CURVE = ("T12", *LEVELS)
# Body-centre spacings outside this range are scans that skip or repeat a level.
_SPACING_RANGE_MM = (22.0, 52.0)
_MAX_ANGLE_RAD = np.radians(35.0)  # between neighbours: beyond it keypoints are mixed up


@dataclass(frozen=True)
class PostureStatistics:
    """A normal distribution of supine lumbar curvatures.

    Args:
        mean_rad: [4, 3] relative (lateral, flexion, axial) angles of L1-L2 .. L4-L5, lower against upper vertebra.
        covariance_rad2: [12, 12] of the same, flattened row by row.
        n_scans: scans behind the numbers.
    """

    mean_rad: np.ndarray
    covariance_rad2: np.ndarray
    n_scans: int

    def sample(self, rng: np.random.Generator, *, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
        """Relative angles [4, 3] in rad, within 2.5 SD of the mean.

        Args:
            rng: the source of randomness.
            scale: factors of the (lateral, flexion, axial) deviations, which the keypoints' own noise inflates.
        """
        values, vectors = np.linalg.eigh(self.covariance_rad2)
        coefficients = np.clip(rng.standard_normal(len(values)), -2.5, 2.5)
        deviation = (vectors @ (np.sqrt(np.clip(values, 0.0, None)) * coefficients)).reshape(self.mean_rad.shape)
        return self.mean_rad + deviation * np.array(scale)


@cache
def load_posture_statistics() -> PostureStatistics:
    """The statistics that ship with the package."""
    document = json.loads(
        resources.files("lumbar_ext.simulation.posture").joinpath(_FILE_NAME).read_text(encoding="utf-8")
    )
    return PostureStatistics(np.array(document["mean_rad"]), np.array(document["covariance_rad2"]), document["n_scans"])


def relative_angles_rad(bodies_mm: np.ndarray, left_mm: np.ndarray, right_mm: np.ndarray) -> np.ndarray:
    """Relative angles [4, 3] of L1 .. L5 from keypoints.

    The long axis of a vertebra is taken along the chord between the body centres above and below (for L5, along the
    extrapolated change of the chords), its left-right axis along the pedicles.

    Args:
        bodies_mm: [6, 3] body centres of T12 .. L5; X to the front, Y to the left, Z up.
        left_mm: [5, 3] left pedicle centres of L1 .. L5.
        right_mm: [5, 3] right pedicle centres.
    """
    chords = bodies_mm[:-1] - bodies_mm[1:]
    chords /= np.linalg.norm(chords, axis=1, keepdims=True)
    chords = np.concatenate([chords, [2 * chords[-1] - chords[-2]]])
    up = chords[:-1] + chords[1:]
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    left = left_mm - right_mm
    left -= (left * up).sum(1, keepdims=True) * up
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    rotations = np.stack([np.cross(left, up), left, up], axis=-1)
    relative = np.swapaxes(rotations[:-1], 1, 2) @ rotations[1:]
    lateral = np.arctan2(relative[:, 2, 1], relative[:, 2, 2])
    flexion = np.arcsin(np.clip(-relative[:, 2, 0], -1, 1))
    axial = np.arctan2(relative[:, 1, 0], relative[:, 0, 0])
    return np.stack([lateral, flexion, axial], axis=1)


def build_posture_statistics(data_dir: str | Path) -> PostureStatistics:
    """Statistics over all scans below `data_dir` that show T12 to L5 with their pedicles.

    Raises:
        InputError: if fewer than 50 scans can be used.
    """
    samples = [angles for path in sorted(Path(data_dir).rglob("*.json")) if (angles := _scan_angles(path)) is not None]
    if len(samples) < 50:
        raise InputError(f"{data_dir}: found {len(samples)} usable keypoint files, expected at least 50")
    flat = np.array(samples).reshape(len(samples), -1)
    # Left and right are exchangeable: mirroring every scan doubles the data and makes the mean symmetric.
    mirrored = (np.array(samples) * np.array([-1.0, 1.0, -1.0])).reshape(flat.shape)
    both = np.concatenate([flat, mirrored])
    return PostureStatistics(both.mean(0).reshape(-1, 3), np.cov(both.T), len(samples))


def _scan_angles(path: Path) -> np.ndarray | None:
    """Relative angles of one scan, or None if it lacks a level or looks mislabelled."""
    # DICOM world is X to the left, Y to the back, Z up.
    bodies, left, right = {}, [], []
    for keypoint in json.loads(path.read_text(encoding="utf-8")):
        x, y, z = keypoint["coordinates"]["world_space"]
        position = np.array([-y, x, z])
        kind = keypoint["type"]["keypoint_type"]
        if kind == "body":
            bodies[keypoint["type"]["spine_level"]] = position
        else:
            (left if kind == "left" else right).append(position)
    if not all(level in bodies for level in _CURVE) or not left or not right:
        return None
    curve = np.array([bodies[level] for level in _CURVE])
    spacing = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    pedicles = [_nearest_of_each(curve[1:], np.array(side)) for side in (left, right)]
    if spacing.min() < _SPACING_RANGE_MM[0] or spacing.max() > _SPACING_RANGE_MM[1]:
        return None
    if any(side is None for side in pedicles):
        return None
    angles = relative_angles_rad(curve, *pedicles)
    return angles if np.abs(angles).max() < _MAX_ANGLE_RAD else None


def _nearest_of_each(bodies_mm: np.ndarray, pedicles_mm: np.ndarray) -> np.ndarray | None:
    """The pedicle of each body: the nearest one, if within 40 mm and shared with no other body."""
    distance = np.linalg.norm(bodies_mm[:, None] - pedicles_mm[None], axis=-1)
    nearest = distance.argmin(1)
    if distance.min(1).max() > 40 or len(set(nearest)) < len(nearest):
        return None
    return pedicles_mm[nearest]


def make_posture_statistics(data_dir: str, output: str | None = None) -> None:
    """Rebuilds `posture_statistics.json`.

    Args:
        data_dir: folder of the dataset's ground-truth keypoint files.
        output: file to write, the package's own by default.
    """
    statistics = build_posture_statistics(data_dir)
    path = Path(output) if output else Path(__file__).with_name(_FILE_NAME)
    document = {
        "licence": _LICENCE,
        "description": _DESCRIPTION,
        "n_scans": statistics.n_scans,
        "mean_rad": statistics.mean_rad.round(5).tolist(),
        "covariance_rad2": statistics.covariance_rad2.round(7).tolist(),
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{statistics.n_scans} scans -> {path}")
