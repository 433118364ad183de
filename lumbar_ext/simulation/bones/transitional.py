"""Transitional lumbosacral junctions: a sacrum that took up L5, or one that let go of its first segment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.population.variation import PARAMETERS, Geometry
from lumbar_ext.simulation.bones.endplate_planes import find_endplates, plate_points
from lumbar_ext.simulation.bones.skeleton import Skeleton, Vertebra
from lumbar_ext.simulation.posture.stacking import BACKGROUND_COMPLIANCE, Bone, Joints, stack

# Of the joint inside a sacralised L5: a rudimentary disc, and L5 upright on it.
_RUDIMENTARY_DISC_MM = 3.5
_SACRAL_TILT_RAD = np.radians(14.0)  # of a sacralised L5 to the sacrum
# Castellvi I to III: transverse processes of 19 mm or more in height, leaning on the ala of the sacrum.
_PROCESS_HEIGHT_MM, _PROCESS_DROOP_DEG = 7.0, -12.0
# The fifth of six lumbar vertebrae looks half like an L4.
_SHARE_OF_L4 = 0.5


def sacralised(skeleton: Skeleton, reference: Reference) -> Skeleton:
    """Four free lumbar vertebrae: L5 becomes part of the sacrum, whose frame moves to its superior endplate."""
    *free, fifth = skeleton.lumbar
    fifth = _with_broad_processes(fifth, reference)
    plates = find_endplates(fifth.solid, fifth.landmarks_mm)
    plate = skeleton.sacral_plate
    bones = [
        Bone(fifth.solid, plates.superior, plates.inferior),
        Bone(skeleton.sacrum, plate, plate, compliance=BACKGROUND_COMPLIANCE, processes=skeleton.sacral_processes),
    ]
    joint = Joints(np.array([[0.0, _SACRAL_TILT_RAD, 0.0]]), np.array([_RUDIMENTARY_DISC_MM]), np.zeros((1, 2)))
    stacked = stack(bones, joint, anchor=0, person_from_anchor=RigidTransform.identity())
    # The new sacral frame has the axes of L5 and its origin on the superior endplate.
    up = RigidTransform(np.eye(3), -plates.superior.centre_mm)
    new_from_old = up @ stacked.poses[1]
    sacrum = Surface.merged([stacked.solids[1].moved(new_from_old), stacked.solids[0].moved(up)])
    return replace(
        skeleton,
        lumbar=tuple(free),
        sacrum=sacrum,
        pelvis=skeleton.pelvis.moved(new_from_old),
        sacral_plate=plates.superior.moved(up),
        sacral_plate_mm=up.apply(_plate_mm(fifth, plates.superior.centre_mm)),
        sacral_processes=None,
    )


def _plate_mm(vertebra: Vertebra, centre_mm: np.ndarray) -> np.ndarray:
    """[5, 3] the `PLATE_POINTS` of a superior endplate."""
    vertices = vertebra.solid.vertices_mm
    return np.stack([vertices[index].mean(axis=0) for index in plate_points(vertebra.solid, centre_mm)])


def lumbarised(skeleton: Skeleton, reference: Reference) -> Skeleton:
    """Six free lumbar vertebrae: the person's L5 is the sixth, and the fifth lies between it and L4 in shape."""
    fourth, fifth = skeleton.lumbar[-2:]
    mixed = _SHARE_OF_L4 * fourth.solid.vertices_mm + (1 - _SHARE_OF_L4) * fifth.solid.vertices_mm
    vertices = reference.in_vertebra_frame(mixed)
    between = Vertebra(fifth.solid.with_vertices(vertices), reference.landmarks_mm(vertices))
    return replace(skeleton, lumbar=(*skeleton.lumbar[:-1], between, fifth))


def _with_broad_processes(vertebra: Vertebra, reference: Reference) -> Vertebra:
    """A vertebra with high, drooping transverse processes."""
    geometry = Geometry(vertebra.solid.vertices_mm, vertebra.landmarks_mm)
    fields = {parameter.name: parameter.field for parameter in PARAMETERS}
    vertices = vertebra.solid.vertices_mm.copy()
    for side in ("left", "right"):
        vertices += _PROCESS_HEIGHT_MM * fields[f"{side}_transverse_height_mm"](geometry)
        vertices += _PROCESS_DROOP_DEG * fields[f"{side}_transverse_elevation_deg"](geometry)
    return Vertebra(vertebra.solid.with_vertices(vertices), reference.landmarks_mm(vertices))


TRANSITIONAL = {"sacralised": sacralised, "lumbarised": lumbarised}
"""By kind of pathology."""
