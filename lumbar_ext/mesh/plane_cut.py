"""Walks over a triangle mesh within a plane: the exact cut of plane and surface as a chain of points on mesh edges.

Everything that is marked on a vertebra is found on such cuts: rims, walls, pedicles and the canal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.material_points import MaterialPoints

_MAX_STEPS = 4000  # triangles of one walk: a section of 20,000 triangles crosses a few hundred
_ON_PLANE_MM = 1e-9  # a vertex this near counts as on one side, so that a walk never passes through it
_SAME_HIT_MM = 1e-7  # hits of triangles that share an edge are one
_INSIDE = 1e-9  # barycentric, so that a line through an edge meets one of its triangles at least
_MAX_HITS = 64  # of one line


@dataclass(frozen=True)
class Hit:
    """Where a line meets the surface.

    Args:
        triangle: its index.
        distance_mm: from the line's start, along its direction.
        point_mm: [3].
    """

    triangle: int
    distance_mm: float
    point_mm: np.ndarray


@dataclass(frozen=True)
class Cut:
    """A walk on the surface in a plane.

    Args:
        marks: [N] points on mesh edges, in order.
        points_mm: [N, 3] their positions.
        closed: whether the walk came back to its start.
    """

    marks: MaterialPoints
    points_mm: np.ndarray
    closed: bool


class WalkableSurface:
    """A triangle mesh prepared for walking.

    Args:
        vertices_mm: [V, 3].
        triangles: [M, 3], counter-clockwise seen from outside.

    Raises:
        InputError: if an edge belongs to more than two triangles, or a value is not finite.
    """

    def __init__(self, vertices_mm: np.ndarray, triangles: np.ndarray) -> None:
        self.vertices_mm = np.ascontiguousarray(vertices_mm, dtype=np.float64)
        self.triangles = np.ascontiguousarray(triangles, dtype=np.int32)
        if not np.isfinite(self.vertices_mm).all():
            raise InputError("the mesh holds vertices that are not finite")
        self.neighbours = _neighbours_of(self.triangles)

    @property
    def is_closed(self) -> bool:
        """Whether every edge has a triangle on both sides."""
        return bool((self.neighbours >= 0).all())

    @cached_property
    def _corners_and_edges(self) -> np.ndarray:
        """[M, 9] first corner and both edges from it, in a row for the inner loop of `line_hits`."""
        a, b, c = (self.vertices_mm[self.triangles[:, corner]] for corner in range(3))
        return np.ascontiguousarray(np.column_stack([a, b - a, c - a]))

    def near(self, centre_mm: np.ndarray, radius_mm: float) -> WalkableSurface:
        """The part around a point, with the same vertex numbers; walks end at its border."""
        close = (np.abs(self.vertices_mm - centre_mm) < radius_mm).all(1)
        return WalkableSurface(self.vertices_mm, self.triangles[close[self.triangles].all(1)])

    def line_hits(self, start_mm: np.ndarray, direction: np.ndarray) -> list[Hit]:
        """All meetings of a whole line with the surface, in order along its direction."""
        start = np.asarray(start_mm, dtype=np.float64)
        direction = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
        triangles, distances = _line_hits(self._corners_and_edges, start, direction)
        order = np.argsort(distances)
        return [Hit(int(triangles[i]), float(distances[i]), start + distances[i] * direction) for i in order]

    def walk(self, start: Hit, normal: np.ndarray, heading: np.ndarray) -> Cut:
        """The cut of the surface by the plane through a hit, walked from there.

        Args:
            start: where to start.
            normal: [3] of the plane.
            heading: [3] the walk leaves the first triangle on the side of this direction.
        """
        normal = np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
        edges, weights, closed = _walk(
            self.vertices_mm,
            self.triangles,
            self.neighbours,
            normal,
            self._crossed_triangle(start, normal),
            np.asarray(heading, dtype=np.float64),
            start.point_mm,
            _MAX_STEPS,
        )
        marks = MaterialPoints(edges, weights)
        return Cut(marks, marks.of(self.vertices_mm), bool(closed))

    def _crossed_triangle(self, start: Hit, normal: np.ndarray) -> int:
        """The hit triangle; where the plane only touches its rim, the nearest of its neighbours that the plane cuts."""
        if 0 < self._in_front(self.triangles[start.triangle], start, normal).sum() < 3:
            return start.triangle
        around = np.flatnonzero(np.isin(self.triangles, self.triangles[start.triangle]).any(1))
        count = self._in_front(self.triangles[around], start, normal).sum(1)
        around = around[(count > 0) & (count < 3)]
        if not len(around):
            return start.triangle
        centres = self.vertices_mm[self.triangles[around]].mean(1)
        return int(around[np.linalg.norm(centres - start.point_mm, axis=1).argmin()])

    def _in_front(self, vertices: np.ndarray, start: Hit, normal: np.ndarray) -> np.ndarray:
        # A vertex on the plane counts as in front, as in the walk.
        return (self.vertices_mm[vertices] - start.point_mm) @ normal > -_ON_PLANE_MM

    def at(self, hit: Hit) -> MaterialPoints:
        """The material point [1] of a hit."""
        corners = self.triangles[hit.triangle]
        a, b, c = self.vertices_mm[corners]
        solution = np.linalg.lstsq(np.column_stack([b - a, c - a]), hit.point_mm - a, rcond=None)[0]
        return MaterialPoints(corners[None].astype(np.int64), np.array([[1 - solution.sum(), *solution]]))


def _neighbours_of(triangles: np.ndarray) -> np.ndarray:
    """[M, 3] the triangle across the edge from corner i to corner i + 1; -1 at a border."""
    count = len(triangles)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    keys = edges.min(1) * (int(triangles.max(initial=0)) + 1) + edges.max(1)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    if (same[1:] & same[:-1]).any():
        raise InputError("the mesh has an edge shared by more than two triangles, expected a surface without branches")
    neighbours = np.full(3 * count, -1, dtype=np.int32)
    first, second = order[:-1][same], order[1:][same]
    neighbours[first], neighbours[second] = second % count, first % count
    return np.ascontiguousarray(neighbours.reshape(3, count).T)


@compiled()
def _line_hits(corners_and_edges, start, direction):
    """Triangles and distances of the meetings of a line with a mesh (Moeller and Trumbore 1997, without culling)."""
    found = np.empty(_MAX_HITS, dtype=np.int64)
    distances = np.empty(_MAX_HITS)
    count = 0
    dx, dy, dz = direction[0], direction[1], direction[2]
    for t in range(corners_and_edges.shape[0]):
        row = corners_and_edges[t]
        e1x, e1y, e1z, e2x, e2y, e2z = row[3], row[4], row[5], row[6], row[7], row[8]
        px, py, pz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
        det = e1x * px + e1y * py + e1z * pz
        if abs(det) < 1e-14:
            continue
        sx, sy, sz = start[0] - row[0], start[1] - row[1], start[2] - row[2]
        u = (sx * px + sy * py + sz * pz) / det
        if u < -_INSIDE or u > 1.0 + _INSIDE:
            continue
        qx, qy, qz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
        v = (dx * qx + dy * qy + dz * qz) / det
        if v < -_INSIDE or u + v > 1.0 + _INSIDE:
            continue
        distance = (e2x * qx + e2y * qy + e2z * qz) / det
        # A line through an edge or a corner meets all triangles around it at once.
        known = count == _MAX_HITS
        for i in range(count):
            known = known or abs(distances[i] - distance) < _SAME_HIT_MM
        if not known:
            found[count] = t
            distances[count] = distance
            count += 1
    return found[:count], distances[:count]


@compiled()
def _distance(vertices, v, normal, origin):
    """Signed distance of a vertex to the plane, never zero: a vertex on the plane counts as in front of it."""
    distance = 0.0
    for k in range(3):
        distance += (vertices[v, k] - origin[k]) * normal[k]
    return distance if abs(distance) > _ON_PLANE_MM else _ON_PLANE_MM


@compiled()
def _walk(vertices, triangles, neighbours, normal, start, heading, origin, max_steps):
    """Edges [N, 2], weights [N, 2] and whether the walk closed."""
    edges = np.empty((max_steps, 2), dtype=np.int64)
    weights = np.empty((max_steps, 2))
    count, closed = 0, False
    triangle, entered = start, -1
    for _ in range(max_steps):
        leave, best, share = -1, -np.inf, 0.0
        for e in range(3):
            a, b = triangles[triangle, e], triangles[triangle, (e + 1) % 3]
            da, db = _distance(vertices, a, normal, origin), _distance(vertices, b, normal, origin)
            if e == entered or (da > 0) == (db > 0):
                continue
            w, score = da / (da - db), 0.0
            if entered == -1:
                for k in range(3):
                    score += (vertices[a, k] * (1 - w) + vertices[b, k] * w - origin[k]) * heading[k]
            if score > best:
                leave, best, share = e, score, w
        if leave == -1:
            break
        a, b = triangles[triangle, leave], triangles[triangle, (leave + 1) % 3]
        edges[count, 0], edges[count, 1] = a, b
        weights[count, 0], weights[count, 1] = 1 - share, share
        count += 1
        following = neighbours[triangle, leave]
        if following == start:
            closed = True
            break
        if following == -1:
            break
        for e in range(3):
            if triangles[following, e] == b and triangles[following, (e + 1) % 3] == a:
                entered = e
        triangle = following
    return edges[:count], weights[:count], closed
