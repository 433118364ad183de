"""Fusion of two neighbours: bone grows through the disc until the bodies meet.

Each vertebra keeps its own closed surface; the facing endplates meet, but for a hairline, in the middle of the disc.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.shape.model.frame import world_from_vertebra
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.population.variation import Geometry, bump, ramp, step
from lumbar_ext.simulation.bones.endplate_planes import find_endplates
from lumbar_ext.simulation.bones.skeleton import Vertebra
from lumbar_ext.simulation.posture.posed_spine import Posture

HAIRLINE_MM = 0.4
"""Gap between fused bodies."""

_RIM_GROWTH_MM = 1.5  # of the rims of a fused segment
_NEIGHBOURS, _SMOOTHING_MM = 16, 2.0  # points of the opposite plate whose weighted mean height a point grows to
_FADING_MM = 12.0  # from the plate, over which the growth fades
_SOFTNESS_MM = 0.15  # of the bend at which the growth stops


def bridged(posture: Posture, upper: int, reference: Reference) -> Posture:
    """A posture in which a lumbar vertebra and the one below it are fused.

    Args:
        posture: of a skeleton with the population's topology; the disc between the two is kept as the bridge's height.
        upper: index of the upper vertebra.
        reference: topology and landmarks.
    """
    pair = posture.skeleton.lumbar[upper : upper + 2]
    poses = posture.world_from_vertebra[upper : upper + 2]
    plates = [find_endplates(v.solid, v.landmarks_mm) for v in pair]
    ceiling, floor = plates[0].inferior.moved(poses[0]), plates[1].superior.moved(poses[1])
    up = floor.normal - ceiling.normal
    up /= np.linalg.norm(up)
    middle = (ceiling.centre_mm + floor.centre_mm) / 2
    grown = []
    for vertebra, pose, side in zip(pair, poses, (-1, 1), strict=True):
        vertebra_from_world = pose.inverse()
        normal = vertebra_from_world.rotation @ up
        level = vertebra_from_world.apply(middle - side * HAIRLINE_MM / 2 * up)
        vertices = _grown(vertebra, normal, level, side)
        old_from_new = world_from_vertebra(reference.landmarks_mm(vertices))
        vertices = old_from_new.inverse().apply(vertices)
        solid = vertebra.solid.with_vertices(vertices)
        grown.append((Vertebra(solid, reference.landmarks_mm(vertices)), pose @ old_from_new))
    lumbar, world = list(posture.skeleton.lumbar), list(posture.world_from_vertebra)
    lumbar[upper : upper + 2] = [vertebra for vertebra, _ in grown]
    world[upper : upper + 2] = [pose for _, pose in grown]
    skeleton = replace(posture.skeleton, lumbar=tuple(lumbar))
    return replace(posture, skeleton=skeleton, world_from_vertebra=tuple(world))


def _grown(vertebra: Vertebra, normal: np.ndarray, level_mm: np.ndarray, side: int) -> np.ndarray:
    """Vertices of a vertebra whose superior (side 1) or inferior (-1) endplate reaches a plane.

    Args:
        vertebra: in its own frame.
        normal: [3] of the plane, upward.
        level_mm: [3] a point of it.
        side: which endplate.
    """
    g = Geometry(vertebra.solid.vertices_mm, vertebra.landmarks_mm)
    # Heights over the plane are mapped by increasing functions, which cannot fold the surface.
    height = side * (level_mm - g.points) @ normal
    on_plate = g.body * (side * g.z > g.half_height - 7.0) * (side * vertebra.solid.normals[:, 2] > 0.6) > 0.5
    distance, nearest = cKDTree(g.points[on_plate, :2]).query(g.points[:, :2], k=_NEIGHBOURS)
    weights = np.exp(-0.5 * ((distance - distance[:, :1]) / _SMOOTHING_MM) ** 2)
    plate = (weights * height[on_plate][nearest]).sum(axis=1) / weights.sum(axis=1)
    lowered = height - plate * np.clip(1 - (height - plate) / _FADING_MM, 0.0, 1.0)
    new_height = np.where(height < 2 * _FADING_MM, ramp(lowered, _SOFTNESS_MM), height)
    shift = g.body * (height - new_height)
    depth, width, mid_x = g.body_extent
    outward = np.stack([(g.x - mid_x) / depth, g.y / width, np.zeros_like(g.x)], axis=1)
    lip = _RIM_GROWTH_MM * bump(side * g.z, g.half_height, 4.0) * g.body * step(g.x, g.wall_x + 6.0, 2.0)
    return g.points + side * shift[:, None] * normal + lip[:, None] * outward
