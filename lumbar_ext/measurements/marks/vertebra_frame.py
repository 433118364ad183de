"""The frame of a vertebra, for one shape or for many at once.

After Stokes (Three-dimensional terminology of spinal deformity, Spine 19, 1994) and the ISB proposal: X to the front, Y to
the left, Z up, origin midway between the endplate centres; see `lumbar_ext.shape.model.frame`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS


@dataclass(frozen=True)
class Axes:
    """A frame in the world, or many of them.

    Args:
        origin_mm: [..., 3].
        rotation: [..., 3, 3], columns X, Y, Z.
    """

    origin_mm: np.ndarray
    rotation: np.ndarray

    @property
    def front(self) -> np.ndarray:
        """[..., 3] unit vectors to the front, X."""
        return self.rotation[..., :, 0]

    @property
    def left(self) -> np.ndarray:
        """[..., 3] unit vectors to the person's left, Y."""
        return self.rotation[..., :, 1]

    @property
    def up(self) -> np.ndarray:
        """[..., 3] unit vectors upwards, Z."""
        return self.rotation[..., :, 2]


def axes_of_landmarks(landmarks_mm: np.ndarray) -> Axes:
    """The vertebra frame of landmarks [..., 7, 3], in their frame."""
    named = {name: landmarks_mm[..., place, :] for place, name in enumerate(LANDMARKS)}
    superior, inferior = named["superior_endplate"], named["inferior_endplate"]
    up = unit(superior - inferior)
    front = unit(np.cross(named["left_pedicle"] - named["right_pedicle"], up))
    return Axes((superior + inferior) / 2, np.stack([front, np.cross(up, front), up], axis=-1))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] scaled to length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
