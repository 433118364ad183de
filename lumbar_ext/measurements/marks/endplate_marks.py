"""Finds the rim of an endplate: the epiphyseal ring that radiographic corner points lie on.

Half-planes around the vertebra's long axis cut profiles out of the surface, from the endplate's centre outward. On each
profile the rim is the point that is furthest out and up together, which maximises `r + h` (r in the endplate's plane, h
above it): the corner of a sharp edge, and of a rounded one the place where the surface leans 45 degrees. Where pedicles
begin there is no such corner; the rim is continued there between its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.signal import savgol_coeffs

from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.plane_cut import Hit, WalkableSurface

N_AZIMUTHS = 120
"""Profiles of an endplate: index k looks at `360 k / 120` degrees from the front, over the left."""

# below the plate's middle in the first round, below the mean rim in later ones: profiles end there
_LOWEST_MM = (-8.0, -4.5)
_FALL_MM = 1.0  # that a profile must fall beyond its rim to have one
_BACKWARD = np.cos(2 * np.pi * np.arange(N_AZIMUTHS) / N_AZIMUTHS) < -0.3
_ROUNDS = 3  # of fitting plane and rim in turn
_FARTHEST = 1.45  # rim radius over the median one: beyond it a process was followed
_MIN_SHARE_FOUND = 0.5  # of the azimuths: with fewer the plane hangs on one side
_LANDMARK_REACH_MM = 6.0  # between a landmark and the plate that it is on
_BACK = N_AZIMUTHS // 2  # index of the azimuth that points backward
_SMOOTHED_STEPS = 7  # azimuths on each side that a cubic is fitted to
_BESIDE_GAP_STEPS = 3  # azimuths beside one without rim that do not count either
_AT_CENTRE_MM = 1e-6  # rounding of a point on the line through the middle


@dataclass(frozen=True)
class EndplateMarks:
    """What is marked on an endplate.

    Args:
        rim: [120] rim points by azimuth.
        found: [120] whether the rim has a corner there; elsewhere it is continued.
        anterior, posterior: [1] the rim's midsagittal points, smoothed along the rim.
        middle: [1] the surface point half-way between the anterior and the posterior rim point.
        deepest: [1] the midsagittal surface point furthest below the line between these two.
    """

    rim: MaterialPoints
    found: np.ndarray
    anterior: MaterialPoints
    posterior: MaterialPoints
    middle: MaterialPoints
    deepest: MaterialPoints


def mark_endplate(surface: WalkableSurface, centre_mm: np.ndarray, *, side: int) -> EndplateMarks | None:
    """Marks an endplate.

    Args:
        surface: a vertebra in its own frame, mm.
        centre_mm: [3] landmark of the endplate's centre, on or near the surface.
        side: 1 for the superior, -1 for the inferior endplate.

    Returns:
        None if no endplate is there: no surface at the landmark, or corners on less than half of the profiles.
    """
    start = _centre_hit(surface, centre_mm, side)
    profiles = None if start is None else _profiles(surface, start)
    if profiles is None:
        return None
    rows = np.arange(N_AZIMUTHS)
    normal = np.array([0.0, 0.0, float(side)])
    floor_mm = _LOWEST_MM[0]
    for _ in range(_ROUNDS):
        picks, found = profiles.corners(normal, floor_mm)
        if found.mean() < _MIN_SHARE_FOUND:
            return None
        rim_mm = profiles.points_mm[rows[found], picks[found]]
        normal = _fitted_normal(rim_mm, side)
        # The centre may stand on a dome or in a hollow: from now on depth counts from the rim.
        floor_mm = (rim_mm.mean(0) - start.point_mm) @ normal + _LOWEST_MM[1]
    picks = profiles.continued(picks, found, normal)
    middle, deepest = _midsagittal(profiles, picks)
    rim = profiles.marks(rows, picks)
    return EndplateMarks(rim, found, _smoothed(rim, 0), _smoothed(rim, _BACK), middle, deepest)


@dataclass(frozen=True)
class _Profiles:
    """The surface from an endplate's centre outward, by azimuth; the rows are as long as the longest.

    Args:
        vertices: [120, P, 2] vertices of the crossed edges.
        weights: [120, P, 2].
        points_mm: [120, P, 3]; beyond its end a profile repeats its last point.
        centre_mm: [3] where they begin.
    """

    vertices: np.ndarray
    weights: np.ndarray
    points_mm: np.ndarray
    centre_mm: np.ndarray

    def marks(self, rows: np.ndarray, columns: np.ndarray) -> MaterialPoints:
        """The points of some places."""
        return MaterialPoints(self.vertices[rows, columns], self.weights[rows, columns])

    def heights_and_radii(self, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[120, P] above the plane of a normal through the centre, and along it."""
        offsets = self.points_mm - self.centre_mm
        heights = offsets @ normal
        return heights, np.linalg.norm(offsets - heights[..., None] * normal, axis=-1)

    def corners(self, normal: np.ndarray, floor_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """[120] place of the corner of each profile, and whether the surface falls away behind it.

        Corners further out than an endplate reaches are those of articular processes.

        Args:
            normal: [3] of the endplate.
            floor_mm: towards the back, where pedicles lead away, profiles end where they first fall below this height over
                the centre.
        """
        heights, radii = self.heights_and_radii(normal)
        low = np.cumsum((heights < floor_mm) & _BACKWARD[:, None], axis=1)
        reach = np.where(low > 1, -np.inf, heights + radii)
        picks = reach.argmax(1)
        rows = np.arange(N_AZIMUTHS)
        ends = np.isfinite(reach).sum(1) - 1
        found = reach[rows, picks] - reach[rows, ends] >= _FALL_MM
        if found.any():
            found &= radii[rows, picks] < _FARTHEST * np.median(radii[rows, picks][found])
        # Beside a gap the corner already wanders off along the pedicle.
        found &= ~maximum_filter1d(~found & _BACKWARD, 2 * _BESIDE_GAP_STEPS + 1, mode="wrap")
        return picks, found

    def continued(self, picks: np.ndarray, found: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """The corners, with the radius interpolated over azimuth where none was found."""
        rows = np.arange(N_AZIMUTHS)
        _, radii = self.heights_and_radii(normal)
        wanted = np.interp(rows, rows[found], radii[rows, picks][found], period=N_AZIMUTHS)
        # The first place of that radius: further along the profile may come back below.
        return np.where(found, picks, np.maximum((radii >= wanted[:, None]).argmax(1), 1))


def _fitted_normal(points_mm: np.ndarray, side: int) -> np.ndarray:
    """Unit normal [3] of the total least-squares plane of points [N, 3], its z of the sign of `side`."""
    normal = np.linalg.svd(points_mm - points_mm.mean(0), full_matrices=False)[2][2]
    return normal if normal[2] * side >= 0 else -normal


def _centre_hit(surface: WalkableSurface, centre_mm: np.ndarray, side: int) -> Hit | None:
    """Where the line along z through the landmark meets the surface nearest to it, the solid below."""
    hits = surface.line_hits(centre_mm, np.array([0.0, 0.0, 1.0]))
    corners = surface.vertices_mm[surface.triangles[[hit.triangle for hit in hits]]] if hits else np.zeros((0, 3, 3))
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] * side
    facing = [hit for hit, up in zip(hits, outward, strict=True) if up > 0]
    nearest = min(facing, key=lambda hit: abs(hit.distance_mm), default=None)
    return nearest if nearest is not None and abs(nearest.distance_mm) < _LANDMARK_REACH_MM else None


def _profiles(surface: WalkableSurface, start: Hit) -> _Profiles | None:
    """Cuts along all azimuths; None if the surface ends at once in one of them."""
    cuts = []
    for azimuth in 2 * np.pi * np.arange(N_AZIMUTHS) / N_AZIMUTHS:
        outward = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        cut = surface.walk(start, np.array([-outward[1], outward[0], 0.0]), outward)
        behind = np.flatnonzero((cut.points_mm - start.point_mm) @ outward < -_AT_CENTRE_MM)
        length = int(behind[0]) if len(behind) else len(cut.points_mm)
        if length < 2:
            return None
        cuts.append((cut, length))
    longest = max(length for _, length in cuts)
    rows = [(cut, np.minimum(np.arange(longest), length - 1)) for cut, length in cuts]
    return _Profiles(
        np.stack([cut.marks.vertices[places] for cut, places in rows]),
        np.stack([cut.marks.weights[places] for cut, places in rows]),
        np.stack([cut.points_mm[places] for cut, places in rows]),
        start.point_mm,
    )


def _smoothed(rim: MaterialPoints, azimuth: int) -> MaterialPoints:
    """The rim's point [1] at an azimuth by a local cubic fit over 21 degrees to both sides (Savitzky and Golay 1964).

    A rounded rim has no sharp corner: single corner points jump by half a millimetre along it.
    """
    weights = savgol_coeffs(2 * _SMOOTHED_STEPS + 1, 3)
    places = (azimuth + np.arange(-_SMOOTHED_STEPS, _SMOOTHED_STEPS + 1)) % N_AZIMUTHS
    return MaterialPoints(rim.vertices[places].reshape(1, -1), (rim.weights[places] * weights[:, None]).reshape(1, -1))


def _midsagittal(profiles: _Profiles, picks: np.ndarray) -> tuple[MaterialPoints, MaterialPoints]:
    """The middle and the deepest point of the profile from the posterior to the anterior rim."""
    back = np.arange(picks[_BACK], -1, -1)
    front = np.arange(picks[0] + 1)
    rows = np.concatenate([np.full(len(back), _BACK), np.zeros(len(front), dtype=int)])
    columns = np.concatenate([back, front])
    marks, points = profiles.marks(rows, columns), profiles.points_mm[rows, columns]
    chord = points[-1] - points[0]
    along = (points - points[0]) @ chord / (chord @ chord)
    below = np.linalg.norm(points - points[0] - along[:, None] * chord, axis=1)
    after = int(np.searchsorted(np.maximum.accumulate(along), 0.5).clip(1, len(along) - 1))
    share = np.clip((0.5 - along[after - 1]) / max(along[after] - along[after - 1], 1e-12), 0.0, 1.0)
    middle = MaterialPoints(
        marks.vertices[after - 1 : after + 1].reshape(1, -1),
        (marks.weights[after - 1 : after + 1] * np.array([[1 - share], [share]])).reshape(1, -1),
    )
    deepest = int(below.argmax())
    return middle, marks[deepest : deepest + 1]
