"""What a simulator put into a study, in the terms of the measurements: the independent value that the method is held to.

Poses are those the vertebrae were placed with. Endplates are the planes the simulator stacked its discs on, least-squares
planes of the surface within 17 mm of the endplate's centre, found in the vertebra's own frame; the method knows neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements.marks.vertebra_frame import Axes, unit
from lumbar_ext.measurements.values.frames import (
    angle_between_deg,
    angle_in_plane_deg,
    cardan_rad,
    levelled_axes,
    lumbar_axes,
    relative_rotation,
)
from lumbar_ext.measurements.values.spine_values import Key, Mesh
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.bones.endplate_planes import EndplatePair, find_endplates
from lumbar_ext.studies.study_folder import TruthFolder


def constructed_poses(truth_dir: str | Path) -> dict[str, RigidTransform] | None:
    """`world_from_vertebra` of every level as simulated; None where the study does not say."""
    path = TruthFolder(Path(truth_dir)).meta
    try:
        matrices = json.loads(path.read_text(encoding="utf-8"))["posture"]["world_from_vertebra"]
    except (OSError, KeyError, ValueError):
        return None
    return {level: _rigid(np.array(matrix)) for level, matrix in matrices.items()}


def constructed_values(meshes: Mapping[str, Mesh], poses: Mapping[str, RigidTransform]) -> dict[Key, float]:
    """Values that follow from poses and endplate planes.

    Args:
        meshes: true meshes, all five levels.
        poses: what `constructed_poses` returns.
    """
    axes = {level: Axes(pose.translation_mm, pose.rotation) for level, pose in poses.items()}
    plates = {level: _plates(meshes[level], poses[level]) for level in LEVELS}
    lumbar = lumbar_axes(list(axes.values()))
    values: dict[Key, float] = {}
    for level in LEVELS:
        left = axes[level].left
        lateral, flexion, _ = np.degrees(cardan_rad(_levelled(axes[level], plates[level]).rotation))
        values[level, "axial_rotation"] = np.degrees(np.arctan2(-left[0], left[1]))
        values[level, "coronal_tilt"], values[level, "sagittal_tilt"] = lateral, flexion
        above, below = plates[level].superior, plates[level].inferior
        values[level, "body_wedge"] = angle_in_plane_deg(above.normal, -below.normal, left)
        values[level, "middle_height"] = np.linalg.norm(above.centre_mm - below.centre_mm)
    for upper, lower in pairwise(LEVELS):
        values |= _segment_values(f"{upper}-{lower}", axes[upper], axes[lower], plates[upper], plates[lower])
    first, last = plates["L1"].superior.normal, -plates["L5"].inferior.normal
    values["L1-L5", "lordosis_l1_l5"] = angle_in_plane_deg(first, last, lumbar.left)
    values["L1-L5", "lordosis_l1_l5_3d"] = angle_between_deg(first, last)
    values["L1-L5", "cobb"] = _cobb(plates, lumbar)
    return {key: float(value) for key, value in values.items()}


def _segment_values(
    name: str, upper: Axes, lower: Axes, upper_plates: EndplatePair, lower_plates: EndplatePair
) -> dict[Key, float]:
    left = unit(upper.left + lower.left)
    above, below = upper_plates.inferior, lower_plates.superior
    turned = relative_rotation(_levelled(upper, upper_plates), _levelled(lower, lower_plates))
    lateral, flexion, axial = np.degrees(cardan_rad(turned))
    return {
        (name, "relative_lateral_bend"): lateral,
        (name, "relative_flexion"): flexion,
        (name, "relative_axial_rotation"): axial,
        (name, "disc_angle"): angle_in_plane_deg(-above.normal, below.normal, left),
        (name, "segmental_lordosis"): angle_in_plane_deg(
            upper_plates.superior.normal, -lower_plates.inferior.normal, left
        ),
        (name, "middle_disc_height"): (above.centre_mm - below.centre_mm) @ unit(below.normal - above.normal),
    }


def _levelled(axes: Axes, plates: EndplatePair) -> Axes:
    return levelled_axes(axes, unit(plates.superior.normal - plates.inferior.normal))


def _cobb(plates: Mapping[str, EndplatePair], lumbar: Axes) -> float:
    pairs = [(i, j) for i in range(len(LEVELS)) for j in range(i + 1, len(LEVELS))]
    angles = [
        -angle_in_plane_deg(plates[LEVELS[i]].superior.normal, -plates[LEVELS[j]].inferior.normal, lumbar.front)
        for i, j in pairs
    ]
    return float(max(angles, key=abs))


def _plates(mesh: Mesh, world_from_vertebra: RigidTransform) -> EndplatePair:
    """Endplates in the world of a mesh in the world."""
    inverse = world_from_vertebra.inverse()
    plates = find_endplates(Surface(inverse.apply(mesh.vertices_mm), mesh.triangles), inverse.apply(mesh.landmarks_mm))
    return EndplatePair(plates.superior.moved(world_from_vertebra), plates.inferior.moved(world_from_vertebra))


def _rigid(matrix: np.ndarray) -> RigidTransform:
    """A transform of a matrix that was rounded in a file."""
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    return RigidTransform(u @ vt, matrix[:3, 3])
