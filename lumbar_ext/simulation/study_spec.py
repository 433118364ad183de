"""What makes a simulated study, as one value: it is handed from the cohort command down to the posture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.shape.sources.cohort_file import SPLITS
from lumbar_ext.simulation.bones.pathology import CHOICES, Pathology, sample_pathology
from lumbar_ext.simulation.ranges import SimulationParameters

VARIATIONS = ("full", "none")
"""People drawn from the population, or the real subjects that a split starts from as they are."""

VOXEL_LIMITS_MM = (0.4, 2.0)  # of the voxel renderer: memory below, blurred cortex above
GEOMETRIES = ("cone", "slot")
"""Two cone beams, or the films of a biplanar slot scanner."""
_STREAMS = ("body", "habitus", "pathology", "spurs", "wear")


@dataclass(frozen=True)
class StudySpec:
    """A study of a simulated person; equal specifications give equal studies.

    Args:
        seed: of everything random; the splits of one seed are unrelated.
        split: "train", "validation" or "test".
        person_seed: of all that a person keeps between studies: anatomy, pathology, neutral posture and habitus; drawn
            with the rest if omitted.
        pathology: what the person has, or one of `pathology.CHOICES` to draw it from; None for nothing.
        direction: one of `motion.DIRECTIONS`, random if omitted.
        level: 1 (slight) to 3 (full), random if omitted; 0 only with "neutral".
        variation: one of `VARIATIONS`.
        geometry: one of `GEOMETRIES`. Person and posture are the same either way.
        size_px: pixels along the panel; those of slot scans grow and shrink alike.
        voxel_mm: edge of the voxels of the voxel renderer; meshes are rendered if omitted. Person, posture, geometry
            and truth are the same either way.
        parameters: ranges.

    Raises:
        InputError: for an unknown split, pathology, variation or geometry, or voxels out of range.
    """

    seed: int
    split: str = "train"
    person_seed: int | None = None
    pathology: str | Pathology | None = "none"
    direction: str | None = None
    level: int | None = None
    variation: str = "full"
    geometry: str = "cone"
    size_px: int = 512
    voxel_mm: float | None = None
    parameters: SimulationParameters = field(default_factory=SimulationParameters)

    def __post_init__(self) -> None:
        given = {"split": SPLITS, "variation": VARIATIONS, "geometry": GEOMETRIES}
        if isinstance(self.pathology, str):
            given["pathology"] = CHOICES
        for name, choices in given.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, found {getattr(self, name)!r}")
        low, high = VOXEL_LIMITS_MM
        if self.voxel_mm is not None and not low <= self.voxel_mm <= high:
            raise InputError(f"voxel_mm must be {low} to {high}, found {self.voxel_mm!r}")

    @property
    def name(self) -> str:
        """What messages call the study: split and seed."""
        return f"{self.split} seed {self.seed}"

    def generator(self) -> np.random.Generator:
        """Of what differs between the studies of a person and, without a person's seed, of its body and habitus."""
        return np.random.default_rng([self.seed, SPLITS.index(self.split)])

    def scanner_generator(self) -> np.random.Generator:
        """Of a slot scanner, apart from all else: a study of cone beams with the same seed shows the same person."""
        return np.random.default_rng([self.seed, SPLITS.index(self.split), len(_STREAMS) + 1])

    def person_generator(self, part: str) -> np.random.Generator:
        """An independent stream of what belongs to the person: "body", "habitus", "pathology", "spurs" or "wear"."""
        seed = self.seed if self.person_seed is None else self.person_seed
        return np.random.default_rng([seed, SPLITS.index(self.split), _STREAMS.index(part) + 1])

    def drawn_pathology(self) -> Pathology | None:
        """What the person has, drawn if it is to be."""
        if isinstance(self.pathology, str):
            return sample_pathology(self.person_generator("pathology"), self.pathology, self.parameters.pathology)
        return self.pathology
