"""The bones of one person: a population's lumbar vertebrae, and the neighbours that a radiograph also shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.bones.endplate_planes import EndplatePlane
from lumbar_ext.simulation.bones.facet_room import ArticularProcesses
from lumbar_ext.simulation.bones.neighbours import Neighbours, Thoracic
from lumbar_ext.simulation.bones.simulated_population import Subject
from lumbar_ext.simulation.bones.wear import JointWear

_MEAN_BODY_HEIGHT_MM = 27.3  # of the atlas's level means


@dataclass(frozen=True)
class Vertebra:
    """One vertebra in its own frame, with its landmarks [7, 3] in mm."""

    solid: Surface
    landmarks_mm: np.ndarray


@dataclass(frozen=True)
class Skeleton:
    """All bones of one person, each in its own frame.

    Args:
        lumbar: the free lumbar vertebrae from L1: five, or four or six where the lumbosacral junction is transitional.
        thoracic: T12 .. T8.
        sacrum, pelvis: both in the sacral frame, whose origin lies on the uppermost endplate of the sacrum.
        size_ratio: body height against the population's mean.
        sacral_plate: that endplate, sacral frame.
        sacral_plate_mm: [5, 3] its `endplate_planes.PLATE_POINTS`, sacral frame.
        sacral_processes: articular processes of the sacrum that may be moved aside; None where L5 is part of it.
        wear: worn joints below lumbar vertebrae.
    """

    lumbar: tuple[Vertebra, ...]
    thoracic: tuple[Thoracic, ...]
    sacrum: Surface
    pelvis: Surface
    size_ratio: float
    sacral_plate: EndplatePlane
    sacral_plate_mm: np.ndarray
    sacral_processes: ArticularProcesses | None = None
    wear: tuple[JointWear, ...] = ()

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the lumbar vertebrae, "L1" to "L4", "L5" or "L6"."""
        return tuple(f"L{number}" for number in range(1, len(self.lumbar) + 1))

    @property
    def landmarks_mm(self) -> np.ndarray:
        """[N, 7, 3] landmarks of the lumbar vertebrae in their vertebra frames."""
        return np.stack([vertebra.landmarks_mm for vertebra in self.lumbar])

    def with_solids(self, t12: Surface, lumbar: list[Surface], sacrum: Surface) -> Skeleton:
        """The same bones with other meshes."""
        thoracic = (replace(self.thoracic[0], solid=t12), *self.thoracic[1:])
        vertebrae = tuple(replace(v, solid=solid) for v, solid in zip(self.lumbar, lumbar, strict=True))
        return replace(self, lumbar=vertebrae, thoracic=thoracic, sacrum=sacrum)


def assemble_skeleton(
    rng: np.random.Generator, subject: Subject, triangles: np.ndarray, neighbours: Neighbours
) -> Skeleton:
    """Gives a lumbar subject thoracic vertebrae and a pelvis of fitting size and random proportions.

    Args:
        rng: draws the proportions.
        subject: L1 .. L5.
        triangles: [M, 3] topology of every level.
        neighbours: the real bones to start from.
    """
    lumbar = tuple(
        Vertebra(Surface(vertices, triangles), np.asarray(landmarks, dtype=np.float64))
        for vertices, landmarks in zip(subject.vertices_mm, subject.landmarks_mm, strict=True)
    )
    heights = subject.landmarks_mm[: len(LEVELS), LANDMARKS.index("superior_endplate"), 2] * 2
    size_ratio = float(np.clip(heights.mean() / _MEAN_BODY_HEIGHT_MM, 0.8, 1.25))
    pelvis = neighbours.pelvis(rng, size_ratio, subject.sex)
    thoracic = neighbours.thoracic(rng, np.asarray(subject.vertices_mm[0], dtype=np.float64))
    _, front, hind, *_ = pelvis.plate_mm
    plate = EndplatePlane(np.zeros(3), np.array([0.0, 0.0, 1.0]), float(front[0] - hind[0]) / 2, float(-hind[0]))
    return Skeleton(lumbar, thoracic, pelvis.sacrum, pelvis.hips, size_ratio, plate, pelvis.plate_mm, pelvis.processes)
