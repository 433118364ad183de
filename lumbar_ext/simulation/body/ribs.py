"""Ribs as curved tubes that follow the inside of the trunk."""

from __future__ import annotations

import numpy as np

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface, tube
from lumbar_ext.simulation.body.trunk_outline import Sections
from lumbar_ext.simulation.ranges import TrunkParameters

_RINGS = 40  # along a rib
_POINTS = 10  # of a ring
# Behind and beside the body of a thoracic vertebra, its own frame.
_COSTAL_JOINT_MM = (-24.0, 22.0, 6.0)
_VERTICAL = 0.8  # mean cosine of a line's direction with Z, from which on rings are laid out from X instead


def sample_ribs(
    rng: np.random.Generator,
    person_from_thoracic: tuple[RigidTransform, ...],
    skin: Sections,
    parameters: TrunkParameters,
) -> list[Surface]:
    """Ribs 12 to 8 on both sides, person's frame.

    Args:
        rng: the source of randomness.
        person_from_thoracic: poses of T12 .. T8.
        skin: outline of the trunk, person's frame.
        parameters: ranges.
    """
    slope = rng.uniform(*parameters.rib_slope)
    lengths = (
        [rng.uniform(*parameters.rib_arc) for _ in range(1)] + [rng.uniform(1.3, 1.9)] + [rng.uniform(2.0, 2.6)] * 3
    )
    ribs = []
    for number, (pose, arc) in enumerate(zip(person_from_thoracic, lengths, strict=True)):
        if number == 0 and rng.random() < parameters.no_twelfth_rib_share:
            continue
        # Lower ribs fall more steeply.
        fall = slope * (1.25 - 0.08 * number) + rng.normal(0, 0.04)
        for side in (1, -1):
            ribs.append(_rib(rng, pose, skin, side, arc * rng.uniform(0.93, 1.07), fall))
    return ribs


def _rib(rng: np.random.Generator, pose: RigidTransform, skin: Sections, side: int, arc: float, fall: float) -> Surface:
    """One rib from its joint along an ellipse of `arc` rad, falling `fall` mm per mm."""
    joint = pose.apply(np.array(_COSTAL_JOINT_MM) * [1, side, 1])
    # Below the skin and its fat, at the height where most of the rib runs.
    centre, room = skin.at(joint[2] - 40)
    a, b = room * [0.80, 0.86]
    start = np.arcsin(min(abs(joint[1] - centre[1]) + 10, b * 0.9) / b)
    angle = np.linspace(start, start + arc, _RINGS)
    path = np.stack([centre[0] - a * np.cos(angle), centre[1] + side * b * np.sin(angle)], axis=1)
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    z = joint[2] - fall * travelled
    line = np.column_stack([path, z])
    # From the joint the rib swings back to the ellipse within its first 50 mm.
    line += np.exp(-((travelled / 28.0) ** 2))[:, None] * (joint - line[0])
    radius = rng.uniform(3.2, 4.4)
    taper = np.interp(np.linspace(0, 1, _RINGS), (0, 0.1, 0.85, 1), (0.9, 1.0, 1.0, 0.6))
    return sweep(line, radius * taper, height_ratio=rng.uniform(1.3, 1.8))


def sweep(line_mm: np.ndarray, radius_mm: np.ndarray, *, height_ratio: float = 1.0, points: int = _POINTS) -> Surface:
    """A closed tube along a line [R, 3] with half widths [R], `height_ratio` times as high (along Z) as wide.

    Lines along Z are as high along X.
    """
    tangent = np.gradient(line_mm, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # Z, unless the line runs along it.
    axis = np.eye(3)[0 if np.abs(tangent[:, 2]).mean() > _VERTICAL else 2]
    up = axis - (tangent @ axis)[:, None] * tangent
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    (a, b, c), (d, e, f) = up.T, tangent.T
    beside = np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=1)
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    ring = np.cos(angle)[None, :, None] * beside[:, None] + height_ratio * np.sin(angle)[None, :, None] * up[:, None]
    # beside x up = tangent, so the rings turn counter-clockwise about it.
    return tube(line_mm[:, None] + radius_mm[:, None, None] * ring)
