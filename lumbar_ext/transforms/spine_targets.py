"""Landmarks and decomposition of one crop to the packed target of the second generation (layout: `spine_packing`).

Heatmaps are Gaussians about the exact centres, so that the logarithm of a perfect one is a parabola (what
`spine_decode` relies on). Offsets are given in every cell on a vertebra's body, or on the endplate of S1.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.anatomy import LANDMARKS, LEFT_RIGHT_SWAP, LEVELS, S1_LANDMARKS, S1_LEFT_RIGHT_SWAP, SPINE_LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.networks.spine_packing import SPINE_PACK

HEATMAP_SIGMA_CELLS = 1.5  # 10 mm on the detector, a third of the way to the neighbour
S1 = SPINE_LEVELS.index("S1")
_VERTEBRAE = len(SPINE_LEVELS) - 1  # T12 .. L6 have landmarks of a vertebra
_ENDPLATES = (0, 1)  # their places in `anatomy.LANDMARKS`
# A body is about 1.7 times as wide (AP) as it is high; cells up to here, in heights from the centre, lie on it.
_HALF_HEIGHT, _HALF_WIDTH = 0.5, 0.75
# where only a centre is known (T12), and around the endplate of S1, 35 mm wide
_RADIUS_CELLS, _S1_RADIUS_CELLS = 2.0, 3.0


@dataclass(frozen=True)
class SpinePoints:
    """What is known of the vertebrae T12 to S1 in one picture, pixels (u, v); NaN where a point is unknown.

    Args:
        landmarks_px: [7, 7, 2], T12, L1 .. L5, L6 by the landmarks of `anatomy.LANDMARKS`.
        centres_px: [8, 2] centres of `anatomy.SPINE_LEVELS`; for S1 the centre of its superior endplate.
        s1_px: [5, 2] landmarks of `anatomy.S1_LANDMARKS`.
        known: [8] bool, False where it is not known whether and where there is such a vertebra. Known, with a NaN centre,
            means there is none.

    Raises:
        InputError: for arrays of other shapes.
    """

    landmarks_px: np.ndarray
    centres_px: np.ndarray
    s1_px: np.ndarray
    known: np.ndarray

    def __post_init__(self) -> None:
        expected = {
            "landmarks_px": (_VERTEBRAE, len(LANDMARKS), 2),
            "centres_px": (len(SPINE_LEVELS), 2),
            "s1_px": (len(S1_LANDMARKS), 2),
            "known": (len(SPINE_LEVELS),),
        }
        for name, shape in expected.items():
            value = np.array(getattr(self, name), bool if name == "known" else np.float64)
            if value.shape != shape:
                raise InputError(f"{name}: expected {list(shape)}, found {list(value.shape)}")
            object.__setattr__(self, name, value)

    @classmethod
    def of_lumbar(cls, landmarks_px: np.ndarray) -> SpinePoints:
        """Only L1 to L5 are known: [5, 7, 2] with NaN for what is not there."""
        landmarks = np.full((_VERTEBRAE, len(LANDMARKS), 2), np.nan)
        landmarks[1 : 1 + len(LEVELS)] = landmarks_px
        centres = np.full((len(SPINE_LEVELS), 2), np.nan)
        centres[:_VERTEBRAE] = landmarks[:, list(_ENDPLATES)].mean(axis=1)
        known = np.isin(SPINE_LEVELS, LEVELS)
        return cls(landmarks, centres, np.full((len(S1_LANDMARKS), 2), np.nan), known)

    def moved(self, move: Any) -> SpinePoints:
        """The points after `move`, a function of positions [..., 2]."""
        return SpinePoints(move(self.landmarks_px), move(self.centres_px), move(self.s1_px), self.known)

    def with_sides_exchanged(self) -> SpinePoints:
        """Left and right landmarks exchanged, as in the picture of a mirrored person."""
        return SpinePoints(
            self.landmarks_px[:, list(LEFT_RIGHT_SWAP)],
            self.centres_px,
            self.s1_px[list(S1_LEFT_RIGHT_SWAP)],
            self.known,
        )


def encode_spine_target(decomposition: Tensor, points: SpinePoints, visible: Tensor) -> Tensor:
    """Packs decomposition, heatmaps, offsets and weights of one crop.

    A vertebra whose centre is not on the visible part of the picture counts as absent; a landmark that is not has weight
    zero, and so has the decomposition there.

    Args:
        decomposition: [1, H, W] or [H, W], values in [0, 1), H and W multiples of 8.
        points: in pixels of that crop.
        visible: bool [H, W], where there is a picture.

    Returns:
        float32 [196, H/8, W/8].

    Raises:
        InputError: for a size that is no multiple of 8.
    """
    height, width = decomposition.shape[-2:]
    target = SPINE_PACK.empty_target(height, width).numpy()
    weight = visible.reshape(1, height, width).float()
    target[SPINE_PACK["decomposition"]] = F.pixel_unshuffle(
        decomposition.reshape(1, height, width).float() * weight, SPINE_PACK.stride
    ).numpy()
    target[SPINE_PACK["pixel_weight"]] = F.pixel_unshuffle(weight, SPINE_PACK.stride).numpy()
    target[SPINE_PACK["heatmap_weight"]] = points.known[:, None, None]
    cells = np.stack(np.meshgrid(np.arange(target.shape[2]), np.arange(target.shape[1])), axis=-1).astype(float)
    seen = _seen(points.centres_px, visible)
    centres = SPINE_PACK.cells_from_px(points.centres_px)
    for level in np.flatnonzero(seen & points.known):
        squares = ((cells - centres[level]) ** 2).sum(axis=-1)
        target[SPINE_PACK["heatmap"]][level] = np.exp(-squares / (2 * HEATMAP_SIGMA_CELLS**2))
        if level == S1:
            on_it = squares <= _S1_RADIUS_CELLS**2
            _write_offsets(target[SPINE_PACK["s1_offsets"]], SPINE_PACK.cells_from_px(points.s1_px), cells, on_it)
            target[SPINE_PACK["s1_weight"]] = _seen(points.s1_px, visible)[:, None, None] & on_it
            continue
        landmarks = SPINE_PACK.cells_from_px(points.landmarks_px[level])
        on_it = _on_body(cells, centres[level], landmarks)
        _write_offsets(target[SPINE_PACK["centre_offset"]], centres[level : level + 1], cells, on_it)
        _write_offsets(target[SPINE_PACK["landmark_offsets"]], landmarks, cells, on_it)
        target[SPINE_PACK["centre_weight"]][:, on_it] = 1.0
        target[SPINE_PACK["landmark_weight"]][:, on_it] = _seen(points.landmarks_px[level], visible)[:, None]
    return torch.from_numpy(target)


def _seen(points_px: np.ndarray, visible: Tensor) -> np.ndarray:
    """[N] bool, whether points [N, 2] lie on the visible part of a picture [H, W]; False for NaN."""
    rows, columns = visible.shape[-2:]
    nearest = np.rint(np.nan_to_num(points_px, nan=-1.0)).astype(int)
    inside = (nearest >= 0).all(axis=1) & (nearest[:, 0] < columns) & (nearest[:, 1] < rows)
    clipped = np.clip(nearest, 0, [columns - 1, rows - 1])
    return inside & visible.reshape(rows, columns).numpy()[clipped[:, 1], clipped[:, 0]].astype(bool)


def _on_body(cells: np.ndarray, centre: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[h, w] bool, the cells [h, w, 2] on a vertebral body, a box along the line between its endplate centres."""
    relative = cells - centre
    axis = landmarks[0] - landmarks[1]
    height = float(np.linalg.norm(axis))
    if not np.isfinite(height) or height == 0:
        return (relative**2).sum(axis=-1) <= _RADIUS_CELLS**2
    axis = axis / height
    along, across = relative @ axis, relative @ np.array([-axis[1], axis[0]])
    return (np.abs(along) <= _HALF_HEIGHT * height) & (np.abs(across) <= _HALF_WIDTH * height)


def _write_offsets(channels: np.ndarray, positions: np.ndarray, cells: np.ndarray, on_it: np.ndarray) -> None:
    """Writes the way from each chosen cell to the positions [N, 2] into channels [2 N, h, w]; zero for NaN."""
    offsets = np.nan_to_num(positions[None] - cells[on_it][:, None])
    channels[:, on_it] = offsets.reshape(len(offsets), -1).T


class EncodeSpineTargetd(Transform):
    """Dictionary form: reads `decomposition`, `points` and `visible`, writes `label`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary with the packed target."""
        label = encode_spine_target(data["decomposition"], data["points"], data["visible"])
        return {**data, "label": label}
