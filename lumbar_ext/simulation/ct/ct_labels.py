"""The labelled vertebrae of a CT: surfaces, and their landmarks from a file or from the mean shape fitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VERSE_LABELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.io.json_document import parse_json
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.correspondence.nonrigid import SMOOTH_TARGET_STAGES, NonrigidRegistration
from lumbar_ext.shape.model.alignment import align_from_starts, flexion_starts
from lumbar_ext.shape.model.frame import world_from_vertebra
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.shape.sources.label_map import load_label_map
from lumbar_ext.shape.sources.label_surface import LabelSurface, load_label_surface

# Landmarks need the shape as a whole, not its last tenth of a millimetre.
_STAGES = SMOOTH_TARGET_STAGES[:3]
_LARGEST_MEAN_MM = 2.0  # of the mean shape to a whole label; those of other levels or tissues lie far beyond
# Share of its surface at which a vertebra counts as cut, and at which too little is left to fit the mean shape to.
_MOST_CUT = 0.005
_TOO_LITTLE_LEFT = 0.03  # of a label's surface on the CT's border, from which on it is a part of a vertebra
# What lies nearer to the end of the image than this, or outside the label, was not seen.
_UNSEEN_MM = 8.0
_BEYOND_MM = 2.0  # around the label within which a landmark counts as seen


@dataclass(frozen=True)
class LabelledVertebrae:
    """What the labels of a CT say.

    Args:
        solids: five surfaces, world mm; None for levels without a label.
        landmarks_mm: [5, 7, 3], world mm; NaN where unknown.
        cut: levels that the edge of the image cuts through; their landmarks near that edge are unknown.
    """

    solids: tuple[Surface | None, ...]
    landmarks_mm: np.ndarray
    cut: tuple[str, ...]

    @property
    def poses(self) -> dict[str, RigidTransform]:
        """`world_from_vertebra` of the levels with all landmarks."""
        known = {level: points for level, points in zip(LEVELS, self.landmarks_mm, strict=True)}
        return {level: world_from_vertebra(points) for level, points in known.items() if np.isfinite(points).all()}

    def moved(self, target_from_source: RigidTransform) -> LabelledVertebrae:
        """The same vertebrae and landmarks in another frame."""
        solids = tuple(solid and solid.moved(target_from_source) for solid in self.solids)
        return LabelledVertebrae(solids, target_from_source.apply(self.landmarks_mm), self.cut)


def read_vertebrae(
    labels: str | Path,
    values: Mapping[str, int] = VERSE_LABELS,
    *,
    landmarks: str | Path | None = None,
    anatomy: str | Path | None = None,
) -> LabelledVertebrae:
    """Vertebrae of a label map, in the world frame X front, Y left, Z up.

    Args:
        labels: NIfTI, NRRD or MetaImage file.
        values: label of each level.
        landmarks: JSON file {"L1": {"superior_endplate": [x, y, z], ...}, ...} in the world of the label file (RAS for
            NIfTI, LPS else), mm; overrides what is fitted.
        anatomy: anatomy file whose mean shapes are fitted to find landmarks; without it only those of the file are known.

    Raises:
        InputError: for unreadable files, unknown levels, or a label map with none of the labels.
    """
    if unknown := set(values) - set(LEVELS):
        raise InputError(f"labels of {sorted(unknown)} are given, expected levels {', '.join(LEVELS)}")
    label_map = load_label_map(labels)
    present = {level: load_label_surface(labels, value) for level, value in values.items() if value in label_map.labels}
    if not present:
        raise InputError(f"{labels}: none of the labels {dict(values)} occurs, found {label_map.labels}")
    cut = tuple(level for level, found in present.items() if found.is_cut.mean() > _MOST_CUT)
    points = np.full((len(LEVELS), len(LANDMARKS), 3), np.nan)
    if anatomy is not None:
        fit = {level: found for level, found in present.items() if found.is_cut.mean() <= _TOO_LITTLE_LEFT}
        _fit(points, fit, Atlas.load(anatomy))
    if landmarks is not None:
        _read(points, Path(landmarks), label_map.ours_from_file)
    solids = tuple(_solid(present[level]) if level in present else None for level in LEVELS)
    return LabelledVertebrae(solids, points, cut)


def _solid(found: LabelSurface) -> Surface:
    return Surface(found.surface.vertices_mm, found.surface.triangles)


def _fit(points_mm: np.ndarray, present: dict[str, LabelSurface], atlas: Atlas) -> None:
    """Fills in landmarks of the mean shape of each level, registered to its surface."""
    for level, found in present.items():
        index = LEVELS.index(level)
        template = atlas.reference.surface.with_vertices(atlas.means_mm[index].astype(np.float64))
        pose = align_from_starts(template, found.surface, flexion_starts(), is_cut=found.is_cut).target_from_source
        fitted = NonrigidRegistration(template, _STAGES).register(
            pose.apply(template.vertices_mm), found.surface, found.is_cut
        )
        if fitted.mean_mm > _LARGEST_MEAN_MM:
            raise InputError(
                f"{level}: the mean shape fits its label with {fitted.mean_mm:.1f} mm, expected {_LARGEST_MEAN_MM} at "
                "most; is the label another level, or the orientation in the header wrong? Give landmarks otherwise"
            )
        points_mm[index] = _seen(atlas.reference.landmarks_mm(fitted.vertices_mm), found)


def _seen(landmarks_mm: np.ndarray, found: LabelSurface) -> np.ndarray:
    """Landmarks [7, 3], NaN for those at or beyond the end of the image: there the mean shape went on unguided."""
    if found.is_cut.mean() <= _MOST_CUT:
        return landmarks_mm
    vertices = found.surface.vertices_mm
    to_end = np.linalg.norm(landmarks_mm[:, None] - vertices[found.is_cut], axis=-1).min(axis=1)
    low, high = vertices.min(0) - _BEYOND_MM, vertices.max(0) + _BEYOND_MM
    seen = (to_end > _UNSEEN_MM) & ((landmarks_mm > low) & (landmarks_mm < high)).all(axis=1)
    return np.where(seen[:, None], landmarks_mm, np.nan)


def _read(points_mm: np.ndarray, path: Path, ours_from_file: np.ndarray) -> None:
    """Fills in the landmarks of a file."""
    try:
        document = parse_json(path, "a file of landmarks by level")
        entries = [(level, name, at) for level, known in document.items() for name, at in known.items()]
    except AttributeError as error:
        raise InputError(f"{path}: cannot be read as landmarks by level ({error})") from error
    for level, name, position in entries:
        if level not in LEVELS or name not in LANDMARKS:
            raise InputError(f"{path}: {level}.{name} is unknown, expected {LEVELS} and {LANDMARKS}")
        if np.shape(position) != (3,) or not np.isfinite(np.asarray(position, dtype=float)).all():
            raise InputError(f"{path}: {level}.{name} is {position!r}, expected three numbers in mm")
        place = ours_from_file @ np.array([*position, 1.0])
        points_mm[LEVELS.index(level), LANDMARKS.index(name)] = place[:3]
