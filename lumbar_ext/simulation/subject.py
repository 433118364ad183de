"""The bones of one person: a population's lumbar vertebrae, and the neighbours that a radiograph also shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.simulation.solid import Solid

_MEAN_BODY_HEIGHT_MM = 27.3
_THORACIC_NAMES = ("T12", "T11", "T10", "T9", "T8")
# Thoracic bodies shrink upwards by about 4 % a level (Panjabi 1991); their transverse processes are short.
_THORACIC_SCALE = 0.955
_PROCESS_START_MM = 18.0
_THORACIC_PROCESS_SCALE = 0.45


class Subject(Protocol):
    """A person's lumbar vertebrae, as `simulation.population` samples them."""

    vertices_mm: np.ndarray
    """[5, V, 3], each in its vertebra frame."""
    landmarks_mm: np.ndarray
    """[5, 7, 3], vertebra frames."""


@dataclass(frozen=True)
class Vertebra:
    """One vertebra in its own frame, with its landmarks [7, 3] in mm."""

    solid: Solid
    landmarks_mm: np.ndarray


class Mesh(Protocol):
    """Vertices and triangles of a bone in a population's anatomy file."""

    vertices_mm: np.ndarray
    triangles: np.ndarray


class PelvicBones(Protocol):
    """Sacrum and pelvis in the sacrum frame: origin at the S1 endplate centre, X forward along it, Z its normal."""

    sacrum: Mesh
    pelvis: Mesh


@dataclass(frozen=True)
class Skeleton:
    """All bones of one person, each in its own frame.

    Args:
        lumbar: L1 .. L5.
        thoracic: T12 .. T8.
        sacrum, pelvis: both in the sacrum frame.
        size_ratio: body height against the population's mean.
    """

    lumbar: tuple[Vertebra, ...]
    thoracic: tuple[Vertebra, ...]
    sacrum: Solid
    pelvis: Solid
    size_ratio: float


def assemble_skeleton(
    rng: np.random.Generator, subject: Subject, triangles: np.ndarray, pelvic: PelvicBones
) -> Skeleton:
    """Gives a lumbar subject thoracic vertebrae, grown from its own L1, and a pelvis of fitting size and random
    proportions.

    Args:
        rng: draws the proportions.
        subject: L1 .. L5.
        triangles: [M, 3] topology of every level.
        pelvic: sacrum and pelvis of one person.
    """
    lumbar = tuple(
        Vertebra(Solid(vertices, triangles), np.asarray(landmarks, dtype=np.float64))
        for vertices, landmarks in zip(subject.vertices_mm, subject.landmarks_mm, strict=True)
    )
    heights = subject.landmarks_mm[:, LANDMARKS.index("superior_endplate"), 2] * 2
    size_ratio = float(np.clip(heights.mean() / _MEAN_BODY_HEIGHT_MM, 0.8, 1.25))
    thoracic = tuple(_thoracic(lumbar[0], step) for step in range(1, len(_THORACIC_NAMES) + 1))
    scale = size_ratio * rng.normal(1.0, 0.05, 3)
    sacrum, pelvis = (Solid(mesh.vertices_mm * scale, mesh.triangles) for mesh in (pelvic.sacrum, pelvic.pelvis))
    return Skeleton(lumbar, thoracic, sacrum, pelvis, size_ratio)


def _thoracic(first_lumbar: Vertebra, step: int) -> Vertebra:
    """A stand-in for the vertebra `step` levels above L1: smaller, with short transverse processes."""
    scale = _THORACIC_SCALE**step
    vertices, landmarks = (
        _shorten_processes(points) * scale for points in (first_lumbar.solid.vertices_mm, first_lumbar.landmarks_mm)
    )
    return Vertebra(first_lumbar.solid.with_vertices(vertices), landmarks)


def _shorten_processes(points_mm: np.ndarray) -> np.ndarray:
    points = np.array(points_mm, dtype=np.float64)
    behind = points[:, 0] < -_PROCESS_START_MM
    beyond = np.clip(np.abs(points[:, 1]) - _PROCESS_START_MM, 0.0, None) * behind
    points[:, 1] -= np.sign(points[:, 1]) * beyond * (1 - _THORACIC_PROCESS_SCALE)
    return points
