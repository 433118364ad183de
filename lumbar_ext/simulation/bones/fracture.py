"""Deformed single vertebrae: compression fractures, spurs of the rim, grown facets, and the lengthened arch of a slip.

Each is a smooth displacement of the surface in the vertebra frame, so meshes stay closed and in correspondence.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.population.variation import Geometry, bump, step
from lumbar_ext.simulation.bones.pathology import FRACTURES, Pathology
from lumbar_ext.simulation.bones.skeleton import Skeleton, Vertebra
from lumbar_ext.simulation.bones.wear import JointWear
from lumbar_ext.simulation.ranges import PathologyParameters

# Facets take up the first part of a slip; for the rest the isthmus of the arch is long or broken.
_FACET_PLAY_MM = 2.0
_BOWING = 0.12  # of the lost height that the front wall bulges
# Where the front rim begins, as a fraction of the depth.
_FRONT = 0.88
# Where the rim begins that a biconcave fracture spares, as a fraction of the body's half width and half depth.
_SPARED_RIM = 0.9


def deformed(
    rng: np.random.Generator,
    skeleton: Skeleton,
    pathology: Pathology,
    reference: Reference,
    parameters: PathologyParameters,
) -> Skeleton:
    """A skeleton with what a pathology does to single vertebrae; other pathologies change nothing here.

    Args:
        rng: draws the places of spurs.
        skeleton: before it.
        pathology: any.
        reference: topology and landmarks.
        parameters: number of spurs.
    """
    geometry = [Geometry(v.solid.vertices_mm, v.landmarks_mm) for v in skeleton.lumbar]
    if pathology.kind in FRACTURES:
        fields = {pathology.level_index: fracture_field(geometry[pathology.level_index], pathology)}
    elif pathology.kind == "osteophytes":
        fields = {i: osteophyte_field(rng, g, pathology.amount, parameters) for i, g in enumerate(geometry)}
    elif pathology.kind == "slip":
        level = pathology.level_index
        slip_mm = pathology.amount * geometry[min(level + 1, len(geometry) - 1)].body_extent[0]
        fields = {level: lysis_field(geometry[level], max(slip_mm - _FACET_PLAY_MM, 0.0))}
    else:
        return skeleton
    lumbar = list(skeleton.lumbar)
    for level, field in fields.items():
        vertices = reference.in_vertebra_frame(geometry[level].points + field)
        lumbar[level] = Vertebra(lumbar[level].solid.with_vertices(vertices), reference.landmarks_mm(vertices))
    return replace(skeleton, lumbar=tuple(lumbar))


def fracture_field(g: Geometry, pathology: Pathology) -> np.ndarray:
    """Displacement [V, 3] of a compression fracture.

    A wedge loses height in front, a biconcave fracture in the middle, a crush everywhere; the broken wall bulges a
    little. The loss is that of the height at the front rim, at the centre, and of the mean of both rims.
    """
    depth, width, mid_x = g.body_extent
    forward = np.clip((g.x - g.wall_x) / depth, 0.0, 1.0)
    loss = pathology.amount
    # The height that is left is z from the inferior endplate (wedge, crush) or the middle (biconcave).
    if pathology.kind == "wedge":
        share, base = np.clip(forward / _FRONT, 0.0, 1.0), -g.half_height
    elif pathology.kind == "crush":
        share, base = np.ones_like(g.x), -g.half_height
    else:
        radius2 = ((g.x - mid_x) / (0.5 * depth)) ** 2 + (g.y / (0.5 * width)) ** 2
        share, base = np.clip(1 - radius2 / _SPARED_RIM**2, 0.0, None) ** 1.5, 0.0
    body_z = -loss * share * (g.z - base)
    # The arch follows the pedicles, which sit on the upper half of the body.
    pedicle_z = g.landmark("left_pedicle")[2]
    arch_z = -loss * (pedicle_z - base) if pathology.kind == "crush" else 0.0
    # Divided at the isthmus of the pedicles, where both move alike: the hind wall belongs to the body.
    body = step(g.x, g.wall_x - 4.0, 1.2)
    z = body_z * body + arch_z * (1 - body)
    bulge = _BOWING * loss * bump(g.z, 0.2 * g.half_height, 0.5 * g.half_height) * g.body * forward
    return np.stack([bulge * (g.x - mid_x), bulge * g.y, z], axis=1)


def osteophyte_field(
    rng: np.random.Generator,
    g: Geometry,
    longest_mm: float,
    parameters: PathologyParameters,
    sides: tuple[int, ...] = (1, -1),
) -> np.ndarray:
    """Displacement [V, 3] of spurs of the rims: outwards, the tips bent towards the disc.

    Spurs grow at the front and the sides; the hind rim, in the canal, is spared.

    Args:
        rng: draws their places.
        g: the vertebra.
        longest_mm: length of the longest.
        parameters: their number.
        sides: rims that have them, 1 for the superior, -1 for the inferior one.
    """
    depth, width, mid_x = g.body_extent
    angle = np.arctan2(g.y / width, (g.x - mid_x) / depth)
    outward = np.stack([np.cos(angle) / depth, np.sin(angle) / width], axis=1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    radius = np.hypot((g.x - mid_x) / (0.5 * depth), g.y / (0.5 * width))
    total = np.zeros_like(g.points)
    for up in sides:
        rim = bump(up * g.z, g.half_height - 1.0, 2.5) * step(radius, 0.78, 0.08) * g.body
        reach = np.zeros_like(angle)
        for _ in range(rng.integers(*parameters.osteophyte_count, endpoint=True)):
            centre, spread = rng.uniform(-2.2, 2.2), rng.uniform(0.15, 0.35)
            away = np.abs(np.angle(np.exp(1j * (angle - centre))))
            reach = np.maximum(reach, rng.uniform(0.4, 1.0) * bump(away, 0.0, spread))
        spur = longest_mm * reach * rim
        total[:, :2] += spur[:, None] * outward
        total[:, 2] += up * 0.25 * spur
    return total


def lysis_field(g: Geometry, length_mm: float) -> np.ndarray:
    """Displacement [V, 3] that lengthens the arch: lamina, spinous and inferior articular processes stay behind.

    The isthmus runs between the superior and inferior articular processes, back and down of the pedicle; transverse
    processes go with the body.
    """
    pedicle = (g.landmarks[LANDMARKS.index("left_pedicle")] + g.landmarks[LANDMARKS.index("right_pedicle")]) / 2
    beyond = -0.75 * (g.x - pedicle[0] + 9.0) - 0.66 * (g.z - pedicle[2] + 5.0)
    medial = step(-np.abs(g.y), -(abs(g.landmark("left_pedicle")[1]) + 9.0), 2.0)
    behind = step(beyond, 0.0, 3.0) * medial * step(-g.x, -pedicle[0] + 4.0, 2.0)
    return np.stack([-length_mm * behind, np.zeros_like(behind), np.zeros_like(behind)], axis=1)


def with_wear(
    rng: np.random.Generator,
    skeleton: Skeleton,
    wear: tuple[JointWear, ...],
    reference: Reference,
    parameters: PathologyParameters,
) -> Skeleton:
    """The skeleton with the spurs and grown articular processes of its worn joints.

    Args:
        rng: draws the places of spurs.
        skeleton: before it.
        wear: of its joints.
        reference: topology and landmarks.
        parameters: number of spurs.
    """
    lumbar = list(skeleton.lumbar)
    for worn in wear:
        for index, up in ((worn.joint, -1), (worn.joint + 1, 1)):
            if index < len(lumbar):
                lumbar[index] = _worn_vertebra(rng, lumbar[index], worn, up, reference, parameters)
    return replace(skeleton, lumbar=tuple(lumbar), wear=wear)


def _worn_vertebra(
    rng: np.random.Generator,
    vertebra: Vertebra,
    worn: JointWear,
    up: int,
    reference: Reference,
    parameters: PathologyParameters,
) -> Vertebra:
    """A vertebra with what a joint does to its superior (up 1) or inferior (-1) side."""
    geometry = Geometry(vertebra.solid.vertices_mm, vertebra.landmarks_mm)
    moved = osteophyte_field(rng, geometry, worn.spur_mm, parameters, sides=(up,))
    moved += facet_growth_field(geometry, worn.facet_mm, up)
    vertices = reference.in_vertebra_frame(geometry.points + moved)
    return Vertebra(vertebra.solid.with_vertices(vertices), reference.landmarks_mm(vertices))


def facet_growth_field(g: Geometry, growth_mm: float, up: int) -> np.ndarray:
    """Displacement [V, 3] of articular processes that grow away from their joint.

    Superior processes stand beside and before the inferior ones of the vertebra above: they grow outwards, those grow
    backwards, and the joint between them stays as wide as it is.

    Args:
        g: the vertebra.
        growth_mm: in their middle.
        up: 1 for the superior, -1 for the inferior processes.
    """
    direction = np.array([0.35, 0.9, 0.0]) if up > 0 else np.array([-0.95, 0.2, 0.0])
    return growth_mm * sum(g.facet(side, up)[:, None] * direction * np.array([1.0, side, 1.0]) for side in (1, -1))
