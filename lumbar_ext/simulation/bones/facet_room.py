"""Moves the articular processes of the sacrum aside for the lowest vertebra's.

There is one real sacrum, whose facets embrace those of its own L5 only. Its processes are shifted as a whole, outwards
and to the front, until those of another L5 stand between them; fitting the surfaces is left to `conformity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.population.variation import step
from lumbar_ext.simulation.bones.contact import ContactBody, find_hits

# direction in which an articular process gives way on the left: forward, outward, a little up
_OUTWARD = np.array([0.5, 0.85, 0.15])
_ENOUGH_MM = 1.0  # of overlap: less is left to the bending of both bones (`conformity`)
_MAX_SHIFT_MM = 8.0  # of a process
_STEP = 0.7  # of the overlap that a process gives way at a time: less than all, so that it does not overshoot
_REACH_Z_MM = -40.0  # in the frame of the lower bone: what lies deeper is no articular process


@dataclass(frozen=True)
class ArticularProcesses:
    """The superior articular processes of a sacrum.

    Args:
        weights: [V, 2] 1 on the left and on the right process, 0 away from them.
        index: [N] the vertices near them, which are looked at.
    """

    weights: np.ndarray
    index: np.ndarray

    @classmethod
    def of_sacrum(cls, vertices_mm: np.ndarray) -> ArticularProcesses:
        """Finds them by their place in the sacral frame."""
        x, z = vertices_mm[:, 0], vertices_mm[:, 2]
        behind = step(-x, 20.0, 3.0) * step(z, -30.0, 4.0)
        sides = [step(s * vertices_mm[:, 1], 14.0, 3.0) * step(-s * vertices_mm[:, 1], -42.0, 5.0) for s in (1, -1)]
        return cls(np.stack([behind * side for side in sides], axis=1), np.flatnonzero(z > _REACH_Z_MM))


def with_room(
    sacrum: Surface, processes: ArticularProcesses, vertebra: ContactBody, sacrum_from_vertebra: RigidTransform
) -> Surface:
    """The sacrum with its articular processes moved out of a vertebra above it.

    Args:
        sacrum: in the sacral frame.
        processes: of that sacrum.
        vertebra: the bone above, in its own frame.
        sacrum_from_vertebra: its pose.
    """
    shift_mm = np.zeros(2)
    moved, body = sacrum, ContactBody(sacrum, processes.index)
    vertebra_from_sacrum = sacrum_from_vertebra.inverse()
    while True:
        depth_mm = _depths_mm(body, vertebra, sacrum_from_vertebra, vertebra_from_sacrum)
        grows = (depth_mm > _ENOUGH_MM) & (shift_mm < _MAX_SHIFT_MM)
        if not grows.any():
            return moved
        shift_mm = np.where(grows, np.minimum(shift_mm + _STEP * depth_mm, _MAX_SHIFT_MM), shift_mm)
        outward = _OUTWARD * np.array([[1, 1, 1], [1, -1, 1]])
        moved = sacrum.with_vertices(sacrum.vertices_mm + (processes.weights * shift_mm) @ outward)
        body = ContactBody(moved, processes.index)


def _depths_mm(
    sacrum: ContactBody,
    vertebra: ContactBody,
    sacrum_from_vertebra: RigidTransform,
    vertebra_from_sacrum: RigidTransform,
) -> np.ndarray:
    """Greatest overlap on the left and on the right, mm."""
    into_sacrum = find_hits(sacrum, vertebra, sacrum_from_vertebra)
    into_vertebra = find_hits(vertebra, sacrum, vertebra_from_sacrum)
    y = np.concatenate(
        [
            sacrum_from_vertebra.apply(vertebra.vertices_mm[into_sacrum.index])[:, 1],
            sacrum.solid.vertices_mm[into_vertebra.index, 1],
        ]
    )
    depth_mm = np.concatenate([into_sacrum.depth_mm, into_vertebra.depth_mm])
    return np.array([depth_mm[side * y > 0].max(initial=0.0) for side in (1, -1)])
