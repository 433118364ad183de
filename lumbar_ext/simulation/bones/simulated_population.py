"""Simulated people: the five vertebrae of a subject, drawn from the widened population of the anatomy file.

Two thirds of the training subjects start from the level means, the others from a training subject's own whole shape:
the means with its real deviations, or a training base. Validation and test subjects start from real subjects that took
no part in the shape model or in the training population, and their free-form residual has another kernel, so they lie
outside the span of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.shape.population.variation import PARAMETERS, Geometry
from lumbar_ext.shape.population.widening import Widening, draw_build
from lumbar_ext.simulation.bones.neighbours import Neighbours

# What sets the means of women (men: the opposite) apart from one shape in two sizes. Wedge: half the difference of the
# sexes in 240 skeletons (PMC2899959), L1 to L5, and what the means lack of its average. Height: 4 to 5 % less difference
# than of the depths (L5 of 600 people, ijssurgery Table 6: heights 29.6 and 30.7 mm, depths 33.3 and 37.1 mm).
_FEMALE_WEDGE_DEG = (0.75, 0.95, 1.2, 1.2, 1.6)
_WEDGE_OFFSET_DEG = (-2.3, -0.4, -0.6, 0.3, 1.5)
_FEMALE_HEIGHT_MM = 0.6
_WHOLE_SHAPE_SHARE = 1 / 3  # of training subjects that start from one real subject instead of the means
# Of the anatomical parameters' published spread, for people who start from a real one.
_REAL_BASE_PARAMETRIC = 0.7
_WAVES = 48  # of the held-out residual
_WAVELENGTHS_MM = (16.0, 70.0)  # from articular process to a whole vertebra
_HELD_OUT_RESIDUAL_MM = (0.2, 0.45)  # amplitude, drawn a person


@dataclass(frozen=True)
class Subject:
    """One simulated person.

    Args:
        vertices_mm: [5, V, 3] float32, each level in its vertebra frame.
        landmarks_mm: [5, 7, 3] in the same frames.
        sex: "female" or "male".
        stature_mm: standing height; None for a real subject, of whom it is not known.
        base: what the subject was made from: "mean" or the name of a real subject, of the training side or held out.
    """

    vertices_mm: np.ndarray
    landmarks_mm: np.ndarray
    sex: str
    stature_mm: float | None
    base: str


class Population:
    """Draws subjects.

    Args:
        atlas: contents of the anatomy file.
    """

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self._training = Widening(atlas)
        self._means_mm = {sex: _sexed_means(atlas, side) for sex, side in (("female", 1.0), ("male", -1.0))}
        self._bases = {
            split: [i for i, s in enumerate(atlas.base_splits) if s == split]
            for split in ("train", "validation", "test")
        }
        self._whole = _whole_training_shapes(atlas)

    @classmethod
    def load(cls, path: str | Path) -> Population:
        """The population of an anatomy file.

        Raises:
            InputError: if the file is missing or is not an anatomy file.
        """
        return cls(Atlas.load(path))

    @property
    def triangles(self) -> np.ndarray:
        """[M, 3] topology of every level of every subject."""
        return self.atlas.reference.surface.triangles

    @property
    def reference(self) -> Reference:
        """Topology and landmarks of every level of every subject."""
        return self.atlas.reference

    @cached_property
    def background(self) -> Neighbours:
        """Sacrum, pelvis and T12, ready for making those of subjects.

        Raises:
            InputError: if the anatomy file has none.
        """
        if self.atlas.background is None:
            raise InputError("this anatomy file holds no background bones: build it from a cohort that describes them")
        return Neighbours(self.atlas.background, self.atlas.means_mm[0])

    def sample(self, rng: np.random.Generator, split: str = "train") -> Subject:
        """Draws one subject.

        Args:
            rng: random generator; the same state gives the same subject.
            split: "train", "validation" or "test".

        Raises:
            InputError: if the split is unknown or the anatomy file has no base for it.
        """
        if split == "train":
            return self._of_training(rng)
        index = self._base_index(rng, split)
        base = self.atlas.bases_mm[index]
        return self._on_real_base(rng, base, self.atlas.base_names[index], lambda shape: _waves(rng, shape))

    def _of_training(self, rng: np.random.Generator) -> Subject:
        """A subject on the level means of its sex, or on the whole shape of a training subject."""
        if self._whole and rng.random() < _WHOLE_SHAPE_SHARE:
            name = list(self._whole)[rng.integers(len(self._whole))]
            return self._on_real_base(rng, self._whole[name], name, lambda _: self._training.residual(rng))
        build = draw_build(rng)
        vertices = self._training.training_subject(rng, self._means_mm[build.sex], build.log_size)
        return self._subject(vertices, build.sex, build.stature_mm, "mean")

    def sample_real(self, rng: np.random.Generator, split: str) -> Subject:
        """One of the real subjects that a split's people start from, as it is: neither warped, scaled nor mirrored.

        Its sex is not known either; the one drawn shapes the pelvis.

        Args:
            rng: random generator; the same state gives the same subject.
            split: "train", "validation" or "test".

        Raises:
            InputError: for another split, or if the anatomy file has no base for it.
        """
        index = self._base_index(rng, split)
        return self._subject(self.atlas.bases_mm[index], draw_build(rng).sex, None, self.atlas.base_names[index])

    def _base_index(self, rng: np.random.Generator, split: str) -> int:
        if not self._bases.get(split):
            known = [name for name in self._bases if self._bases[name]]
            raise InputError(
                f"split is {split!r}, expected one with real subjects: {', '.join(known) or 'there is none'}"
            )
        return int(rng.choice(self._bases[split]))

    def _on_real_base(
        self, rng: np.random.Generator, base_mm: np.ndarray, name: str, residual: Callable[[np.ndarray], np.ndarray]
    ) -> Subject:
        """A subject on a real one [5, V, 3], half of them mirrored, with parameters and a residual of its own."""
        if rng.random() < 0.5:
            base_mm = self.atlas.mirror.apply(base_mm)
        build = draw_build(rng)
        log_size = build.log_size - _relative_log_size(base_mm, self.atlas.means_mm)
        shape = base_mm * np.exp(log_size)[:, None, None]
        shape = shape + self._training.parametric_displacements(rng, _REAL_BASE_PARAMETRIC) + residual(base_mm)
        return self._subject(self._training.in_vertebra_frames(shape), build.sex, build.stature_mm, name)

    def _subject(self, vertices_mm: np.ndarray, sex: str, stature_mm: float | None, base: str) -> Subject:
        landmarks = self.atlas.reference.landmarks_mm(vertices_mm)
        return Subject(vertices_mm, landmarks, sex, stature_mm, base)


def _whole_training_shapes(atlas: Atlas) -> dict[str, np.ndarray]:
    """Real training subjects [5, V, 3] by name; levels that nobody saw of them are borrowed, as the build does."""
    shapes = {
        name: atlas.means_mm + deviations
        for name, deviations in zip(atlas.deviation_names, atlas.deviations_mm, strict=True)
    }
    bases = zip(atlas.base_names, atlas.bases_mm, atlas.base_splits, strict=True)
    return shapes | {name: base for name, base, split in bases if split == "train"}


def _sexed_means(atlas: Atlas, side: float) -> np.ndarray:
    """Level means [5, V, 3] of women (side 1) or men (side -1)."""
    fields = {p.name: p.field for p in PARAMETERS}
    means = np.array(atlas.means_mm, dtype=np.float64)
    for level, landmarks in enumerate(atlas.reference.landmarks_mm(means)):
        geometry = Geometry(means[level].copy(), landmarks)
        wedge_deg = _WEDGE_OFFSET_DEG[level] + side * _FEMALE_WEDGE_DEG[level]
        means[level] += wedge_deg * fields["sagittal_wedge_deg"](geometry)
        means[level] += side * _FEMALE_HEIGHT_MM * fields["body_height_mm"](geometry)
    return means.astype(np.float32)


def _relative_log_size(vertices_mm: np.ndarray, means_mm: np.ndarray) -> float:
    """Mean log ratio of the centroid sizes of a subject [5, V, 3] and the level means."""

    def sizes(points: np.ndarray) -> np.ndarray:
        centred = points - points.mean(axis=1, keepdims=True)
        return np.sqrt((centred**2).sum(axis=2).mean(axis=1))

    return float(np.log(sizes(vertices_mm) / sizes(means_mm)).mean())


def _waves(rng: np.random.Generator, points_mm: np.ndarray) -> np.ndarray:
    """A smooth displacement [5, V, 3] of random plane waves, which no fixed basis spans (Rahimi and Recht 2007)."""
    amplitude = rng.uniform(*_HELD_OUT_RESIDUAL_MM)
    moved = np.empty(points_mm.shape, dtype=np.float32)
    for level in range(len(LEVELS)):
        directions = rng.standard_normal((3, _WAVES))
        lengths = np.exp(rng.uniform(*np.log(_WAVELENGTHS_MM), _WAVES))
        waves = (2 * np.pi / lengths) * directions / np.linalg.norm(directions, axis=0)
        phase = points_mm[level] @ waves.astype(np.float32) + rng.uniform(0, 2 * np.pi, _WAVES).astype(np.float32)
        weights = rng.standard_normal((_WAVES, 3)) * amplitude * np.sqrt(2 / _WAVES)
        moved[level] = np.cos(phase) @ weights.astype(np.float32)
    return moved
