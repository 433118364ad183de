"""Where a vertebra starts whose landmarks the network did not find: the shape model, laid into its label in a volume.

The field of a volume answers at every point whether it lies in L3, say, also where a landmark is hidden, so that its label may
be there where the landmarks are not. Landmarks of the laid mean shape then stand in for those that were not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.io.volume import Volume
from lumbar_ext.landmarks.triangulated import Landmarks3D, triangulate_landmarks
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.registration.initial_pose import InitialPose, initial_poses
from lumbar_ext.shape.model.alignment import IcpOptions, trimmed_icp
from lumbar_ext.shape.model.level_shape import LevelShape, level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.sources.label_surface import surface_from_mask
from lumbar_ext.volumes.volume_stages import LEAST_VERTEBRA_MM3
from lumbar_ext.workflow.edited_landmarks import EditedLandmarks
from lumbar_ext.workflow.observe import ObservedStudy

GUESSED_CONFIDENCE = 0.1
"""Of a landmark that was guessed, in each view: enough for a pose to start from, a tenth of what a sure one pulls with."""

_KEPT = 0.7
"""Of the closest points: in labels processes are streaks (the bundle's `docs/volume.md`), bodies and arches are not."""


class GuessMissingLevels:
    """Gives the levels that lack landmarks those of the mean shape, laid into the labels of a volume.

    Args:
        shape_model: whose mean shapes are laid.
    """

    def __init__(self, shape_model: VertebraShapeModel) -> None:
        self.shape_model = shape_model

    def __call__(self, found: EditedLandmarks, labels: Volume) -> tuple[EditedLandmarks, tuple[str, ...]]:
        """The landmarks, guessed ones among them, and a sentence about each level that has such.

        Args:
            found: landmarks as seen, and as a user set them.
            labels: of the volume of the same study (`anatomy.VERSE_LABELS`), in the world's frame.
        """
        shapes = level_shapes(self.shape_model)
        poses = initial_poses(found.landmarks, shapes)
        observed, sentences = found.observed, []
        for level in found.landmarks.missing_levels:
            shape = shapes[LEVELS.index(level)]
            pose = laid_into_label(labels, level, shape, _rotation_beside(level, poses))
            if pose is None:
                continue
            observed = _with_guess(observed, level, pose.apply(shape.landmark_mean_mm), found.by_hand)
            sentences.append(
                f"{level} was not found in both views: it begins from its label in the volume, and lies where that is right"
            )
        if not sentences:
            return found, ()
        guessed = triangulate_landmarks(observed.geometry, observed.landmarks)
        return replace(found, observed=observed, landmarks=_where_missing(found.landmarks, guessed)), tuple(sentences)


def laid_into_label(labels: Volume, level: str, shape: LevelShape, rotation: np.ndarray) -> RigidTransform | None:
    """The pose of a level's mean shape in its label; None where the label is too small to be a vertebra.

    Args:
        labels: of a volume.
        level: which.
        shape: of the level.
        rotation: [3, 3] of the vertebra's axes in the world, to start from.
    """
    mask = np.rint(labels.values) == VERSE_LABELS[level]
    if mask.sum() * float(np.prod(labels.spacing_mm)) < LEAST_VERTEBRA_MM3:
        return None
    target = surface_from_mask(mask, labels.world_from_voxel).surface
    source = Surface(shape.surface.mean_mm.astype(float), shape.surface.triangles)
    start = RigidTransform(rotation, target.vertices_mm.mean(0) - rotation @ source.vertices_mm.mean(0))
    return trimmed_icp(source, target, start, IcpOptions(keep_fraction=_KEPT)).target_from_source


def _rotation_beside(level: str, poses: Mapping[str, InitialPose]) -> np.ndarray:
    """The axes of the nearest vertebra whose pose is known; the world's without any, as people stand."""
    own = LEVELS.index(level)
    known = sorted(poses, key=lambda other: abs(LEVELS.index(other) - own))
    return poses[known[0]].world_from_vertebra.rotation if known else np.eye(3)


def _with_guess(observed: ObservedStudy, level: str, points_mm: np.ndarray, by_hand: np.ndarray) -> ObservedStudy:
    """The study with a level's landmarks [7, 3] in both views, except those [5, 7] that a user set."""
    guessed = np.zeros_like(by_hand)
    guessed[LEVELS.index(level)] = True
    guessed &= ~by_hand
    decoded = {}
    for view, seen in observed.decoded.items():
        pixels = seen.landmarks_px.copy()
        pixels[LEVELS.index(level)] = observed.geometry[view].project(points_mm)
        decoded[view] = replace(
            seen,
            landmarks_px=np.where(guessed[..., None], pixels, seen.landmarks_px),
            landmark_confidence=np.where(guessed, GUESSED_CONFIDENCE, seen.landmark_confidence),
        )
    return replace(observed, decoded=decoded)


def _where_missing(found: Landmarks3D, guessed: Landmarks3D) -> Landmarks3D:
    """The landmarks that were found, and those of the levels that were not."""
    missing = ~found.present
    return replace(
        found,
        positions_mm=np.where(missing[:, None, None], guessed.positions_mm, found.positions_mm),
        gap_mm=np.where(missing[:, None], guessed.gap_mm, found.gap_mm),
        confidence=np.where(missing[:, None], guessed.confidence, found.confidence),
        present=np.where(missing, guessed.present, found.present),
    )
