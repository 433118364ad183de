"""Angles between the axes of vertebrae (`marks.vertebra_frame`), for one shape or for many at once."""

from __future__ import annotations

import numpy as np

from lumbar_ext.geometry import euler_rotation
from lumbar_ext.measurements.marks.vertebra_frame import Axes, unit


def levelled_axes(axes: Axes, up: np.ndarray) -> Axes:
    """A vertebra frame with another direction [..., 3] for Z; Y stays as close as it can, the origin where it is."""
    front = unit(np.cross(axes.left, up))
    return Axes(axes.origin_mm, np.stack([front, np.cross(up, front), up], axis=-1))


def lumbar_axes(vertebrae: list[Axes]) -> Axes:
    """The regional frame: Z vertical in the room, Y the horizontal mean of the vertebrae's right-to-left axes.

    It stands with the person even where the person is turned in front of the detector, which would otherwise make
    lordosis look like scoliosis.
    """
    left = np.mean([axes.left for axes in vertebrae], axis=0)
    up = np.broadcast_to(np.array([0.0, 0.0, 1.0]), left.shape)
    front = unit(np.cross(left, up))
    return Axes(np.mean([axes.origin_mm for axes in vertebrae], axis=0), np.stack([front, np.cross(up, front), up], -1))


def cardan_rad(rotation: np.ndarray) -> np.ndarray:
    """(lateral, flexion, axial) [..., 3] of rotations [..., 3, 3] = Ry(flexion) @ Rx(lateral) @ Rz(axial).

    The sequence Y, X', Z'': flexion-extension first, then lateral bending, then axial rotation, as is customary for the
    spine (Panjabi, White and Brand 1974). Signs as in `docs/conventions.md`: flexion leans the top forward, lateral lifts
    the left side, axial turns the front to the left.
    """
    return np.stack(
        [
            np.arcsin(np.clip(-rotation[..., 1, 2], -1.0, 1.0)),
            np.arctan2(rotation[..., 0, 2], rotation[..., 2, 2]),
            np.arctan2(rotation[..., 1, 0], rotation[..., 1, 1]),
        ],
        axis=-1,
    )


def cardan_rotation(angles_rad: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] of (lateral, flexion, axial) [3]: the inverse of `cardan_rad`."""
    lateral, flexion, axial = angles_rad
    return euler_rotation(0, flexion, 0) @ euler_rotation(lateral, 0, 0) @ euler_rotation(0, 0, axial)


def relative_rotation(upper: Axes, lower: Axes) -> np.ndarray:
    """[..., 3, 3] orientation of the upper vertebra in the frame of the lower one."""
    return np.swapaxes(lower.rotation, -1, -2) @ upper.rotation


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scalar products [...] of vectors [..., 3]."""
    return (a * b).sum(-1)


def angle_in_plane_deg(a: np.ndarray, b: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The angle [...] from a to b seen in the plane of a unit normal, counter-clockwise about it, in (-180, 180]."""
    first, second = (v - dot(v, normal)[..., None] * normal for v in (a, b))
    return np.degrees(np.arctan2(dot(np.cross(first, second), normal), dot(first, second)))


def angle_between_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angle [...] between directions, in [0, 180]."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), dot(a, b)))
