"""Solids whose measurements follow from their construction."""

import numpy as np

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements.marks.vertebra_marks import mark_vertebra
from lumbar_ext.measurements.values.spine_values import Mesh

A_MM, B_MM, HEIGHT_MM = 17.0, 23.0, 28.0
PEDICLE_MM = np.array([[-22.0, 15.5, 1.0], [-22.0, -15.5, 1.0]])
_RING = 240


def landmarks(top_mm=HEIGHT_MM / 2, bottom_mm=-HEIGHT_MM / 2):
    """[7, 3] of a solid in its vertebra frame."""
    return np.array(
        [[0, 0, top_mm], [0, 0, bottom_mm], [-30, 40, 0], [-30, -40, 0], *PEDICLE_MM, [-65, 0, -8]], dtype=float
    )


def body(top_slope=0.0, bottom_slope=0.0, waist=0.9):
    """An elliptic cylinder with a waist; the planes of its ends rise to the front by the slopes."""
    turn = 2 * np.pi * np.arange(_RING) / _RING
    ellipse = np.column_stack([A_MM * np.cos(turn), B_MM * np.sin(turn)])
    rings = []
    inward = [(-1.0, 0.25), (-1.0, 0.5), (-1.0, 0.75)]
    around = [(share, waist + (1 - waist) * share**2) for share in np.linspace(-1, 1, 13)]
    for share, scale in [*inward, *around, *((-share, scale) for share, scale in reversed(inward))]:
        flat = ellipse * scale
        slope = (top_slope + bottom_slope) / 2 + share * (top_slope - bottom_slope) / 2
        rings.append(np.column_stack([flat, share * HEIGHT_MM / 2 + slope * flat[:, 0]]))
    return tube(np.array(rings))


def frame(width_mm=9.0, height_mm=16.0):
    """A block with a rectangular canal: x -40..20, y -20..20 outside, x -30..-14, y -11..11 inside.

    The pedicles are the blocks beside the canal, 9 mm wide and 16 mm high.
    """
    outer, inner = _rectangle(-40, 20, 11 + width_mm), _rectangle(-30, -14, 11)
    rings = [np.column_stack([loop, np.full(len(loop), z)]) for loop, z in _around(outer, inner, height_mm / 2)]
    return closed_tube(np.array(rings))


def _rectangle(back, front, half, per_side=40):
    share = np.arange(per_side) / per_side
    corners = np.array([[front, -half], [front, half], [back, half], [back, -half]], dtype=float)
    return np.concatenate([a + share[:, None] * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])


def _around(outer, inner, half_height, steps=12):
    """Loops around the wall of a tube with a rectangular section: up outside, in above, down inside, out below."""
    shares = np.arange(steps) / steps
    yield from ((outer, -half_height + 2 * half_height * s) for s in shares)
    yield from ((outer + (inner - outer) * s, half_height) for s in shares)
    yield from ((inner, half_height - 2 * half_height * s) for s in shares)
    yield from ((inner + (outer - inner) * s, -half_height) for s in shares)


def closed_tube(rings):
    """A torus through rings [R, P, 3] that close on themselves."""
    count, points = rings.shape[:2]
    index = np.arange(count * points).reshape(count, points)
    a, b = index, np.roll(index, -1, 1)
    d, c = np.roll(a, -1, 0), np.roll(b, -1, 0)
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return rings.reshape(-1, 3), triangles


def tube(rings):
    """The closed surface through rings [R, P, 3] that turn counter-clockwise about z, from below."""
    count, points = rings.shape[:2]
    index = np.arange(count * points).reshape(count, points)
    following = np.roll(index, -1, 1)
    a, b, c, d = index[:-1], following[:-1], following[1:], index[1:]
    first, last = count * points, count * points + 1
    triangles = np.concatenate(
        [
            np.stack([a, b, c], -1).reshape(-1, 3),
            np.stack([a, c, d], -1).reshape(-1, 3),
            np.stack([following[0], index[0], np.full(points, first)], -1),
            np.stack([index[-1], following[-1], np.full(points, last)], -1),
        ]
    )
    return np.concatenate([rings.reshape(-1, 3), rings[:1].mean(1), rings[-1:].mean(1)]), triangles


def placed(solid, world_from_vertebra=None, marks=None):
    """A solid marked and placed in the world."""
    vertices, triangles = solid
    pose = world_from_vertebra or RigidTransform.identity()
    points = pose.apply(landmarks() if marks is None else marks)
    return mark_vertebra(pose.apply(vertices), triangles, points).place(pose.apply(vertices), points)


def mesh(solid, world_from_vertebra):
    """A solid in the world as a mesh to measure."""
    vertices, triangles = solid
    return Mesh(world_from_vertebra.apply(vertices), triangles, world_from_vertebra.apply(landmarks()))
