"""The cameras of two films that nobody calibrated, from the landmarks that both show and what is known of rooms and people.

A bundle adjustment: cameras, poses of the vertebrae and places of their landmarks together explain where the landmarks
were seen, held by priors of the room (distances, the turn between the films, where the middle of the film is) and of people
(how landmarks of a vertebra lie to each other, how large people are). Each prior is a standard deviation, so that the
inverse of the curvature at the end says how well anything is known.

The AP camera fixes the frame: its central ray runs along X past the world's origin, which lies where the person stands. The
lateral camera looks along Y, turned about three axes and higher or lower. The scale comes from the distances of the sources
from the person where these are known better than the size of a person is, else from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from lumbar_ext.anatomy import ANCHOR_POINTS, LEVELS, PROCESS_LANDMARKS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam, fit_rigid, triangulate
from lumbar_ext.landmarks.triangulated import MIN_LANDMARKS, ViewLandmarks, triangulate_landmarks

_MOST_MISFIT = 2.0
"""Weighted root mean square misfit, in standard deviations, from which on the films do not show one spine."""
_DOUBTFUL_MISFIT = 0.4
"""The same, from which on it is said: validation people with their own films have 0.26 to 0.34, with one film's names moved
by a level 0.43 to 0.76, with another's lateral film 0.36 to 0.67 (`docs/cameras.md`)."""
_ANGLES_DEG = (50.0, 130.0)  # between the films of an AP and a lateral view, however badly set up
_ROBUST_FROM = 1.5  # standard deviations, from which on a residual counts linearly
_LEVEL_APART_MM = 15.0
"""Half the height of a lumbar level: how far apart the rays of T12 or S1 pass where the films count differently."""
_UNUSUAL_SD = 1.5
"""From its prior, from which on a film's magnification is said to be unusual: rooms of 1.11 to 1.5 times stay below."""
_ROOMS_SD = 0.124
"""Relative standard deviation of magnifications over rooms: that of `FilmPrior` where no distance is stated."""
_STOOP_DEG = 5.0
"""Lordosis as it is found here is off by 0.6 to 1.7 deg (docs/cameras.md): a flat back does not bend forwards by so much."""
_FAR_SD = 4.0  # from its prior, where nothing measured lies any more


@dataclass(frozen=True)
class FilmPrior:
    """What is known of one film and its room, each with its standard deviation.

    Args:
        size_px: (columns, rows).
        pixel_spacing_mm: (du, dv) on the detector.
        source_detector_mm: distance and its standard deviation.
        source_person_mm: distance from the source to the middle of the spine, and its standard deviation.
        middle_mm: standard deviation of where the perpendicular from the source meets the film, about its middle.
        reversed_beam: AP: the source behind the person; lateral: on their right.
        mirrored: the film lies the other way round than usual: AP with the person's left on its left, lateral with their front
            on its right.
    """

    size_px: tuple[int, int]
    pixel_spacing_mm: tuple[float, float]
    source_detector_mm: tuple[float, float] = (1150.0, 100.0)
    source_person_mm: tuple[float, float] = (900.0, 80.0)
    middle_mm: float = 20.0
    reversed_beam: bool = False
    mirrored: bool = False


@dataclass(frozen=True)
class SpinePrior:
    """What is known of people and of the marks, each a standard deviation.

    Args:
        size: of a person's size, relative.
        landmark_mm: [7] of each landmark's place in its vertebra, persons' shapes included (see `InitialPoseConfig`).
        seen_mm: by view, [7] of each landmark on the detector (see `LandmarkTerm`).
        angle_deg: of the turn between the films, about the person's long axis.
        tilt_deg: about the other two axes.
    """

    size: float = 0.06
    landmark_mm: tuple[float, ...] = (1.5, 1.5, 5.0, 5.0, 2.0, 2.0, 4.5)
    seen_mm: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "ap": (1.8, 1.8, 3.6, 3.6, 1.8, 1.8, 5.3),
            "lat": (2.0, 2.0, 8.0, 8.0, 3.4, 3.4, 7.0),
        }
    )
    angle_deg: float = 10.0
    tilt_deg: float = 3.0


@dataclass(frozen=True)
class Marker:
    """Something of known length that both films show, such as a radiopaque ruler.

    Args:
        length_mm: distance of its ends.
        ends_px: by view, [2, 2] (u, v) of both ends, in the same order.
        length_sd_mm: standard deviation of the length.
        seen_mm: of where an end was marked, on the detector along an axis.
    """

    length_mm: float
    ends_px: Mapping[str, np.ndarray]
    length_sd_mm: float = 0.5
    seen_mm: float = 0.5


@dataclass(frozen=True)
class SelfCalibration:
    """The cameras, and how well they are known.

    Args:
        geometry: of both films.
        angle_deg: between the films, and its standard deviation.
        size_sd: relative standard deviation of all lengths.
        scale_from: what decides the scale, in words.
        misfit: weighted root mean square of all that was known, in standard deviations; about 1 or less where all is well.
        doubts: what speaks against relying on them, each a sentence.
    """

    geometry: BiplanarGeometry
    angle_deg: tuple[float, float]
    size_sd: float
    scale_from: str
    misfit: float
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Magnification:
    """Of the spine on a film.

    Args:
        times: as the adjustment found it.
        expected: by the distances that were stated or are usual.
        off_sd: the first over the second, in standard deviations of what is known of the distances.
    """

    times: float
    expected: float
    off_sd: float


def self_calibrate(
    landmarks: Mapping[str, ViewLandmarks],
    means_mm: Sequence[np.ndarray],
    films: Mapping[str, FilmPrior],
    spine: SpinePrior | None = None,
    *,
    marker: Marker | None = None,
    anchors_px: Mapping[str, np.ndarray] | None = None,
) -> SelfCalibration:
    """Finds the cameras of two films.

    Args:
        landmarks: by view, in pixels of the films.
        means_mm: [7, 3] mean landmarks of each level in its own frame.
        films: by view.
        spine: of people and marks.
        marker: which sets the scale.
        anchors_px: by view, [6, 2] `anatomy.ANCHOR_POINTS`, NaN where not seen: T12 and S1, which have no part in the
            adjustment and tell whether both films name the same vertebrae.

    Raises:
        InputError: if fewer than three levels are seen in both views, or what is seen fits no pair of films of one spine:
            taken from nearly one direction, of two people, of one who bent in between, or one of them mirrored.
    """
    for view in VIEWS:
        _refuse_other_view(landmarks[view], films[view], view)
    adjustment = _Adjustment(landmarks, means_mm, films, spine or SpinePrior(), marker)
    found = least_squares(
        adjustment.residuals, adjustment.start(), loss=adjustment.loss, f_scale=_ROBUST_FROM, x_scale=adjustment.steps
    )
    residuals, numbers = adjustment.residuals(found.x), found.x
    robust = adjustment.loss(np.square(residuals / _ROBUST_FROM))[1]
    covariance = np.linalg.inv((found.jac * robust[:, None]).T @ found.jac)
    misfit = float(np.sqrt((robust * residuals**2)[: adjustment.n_seen].sum() / max(adjustment.n_seen / 2, 1)))
    geometry = adjustment.geometry(numbers)
    _refuse(geometry, misfit, numbers / adjustment.prior_sd)
    magnified = {} if marker is not None else adjustment.magnifications(numbers)
    # What is known of the distances says less of the scale the more the films contradict it.
    off = max((abs(np.log(own.times / own.expected)) for own in magnified.values()), default=0.0)
    size_sd = adjustment.size_sd(numbers, covariance) * float(np.hypot(1.0, off / _ROOMS_SD))
    return SelfCalibration(
        geometry,
        (geometry_angle_deg(geometry), float(np.degrees(np.sqrt(covariance[_TURN + 2, _TURN + 2])))),
        size_sd,
        adjustment.scale_from(size_sd),
        misfit,
        (
            *_doubts_about_fit(misfit),
            *_doubts_about_magnification(magnified),
            *_doubts_about_lordosis(adjustment.lordosis_deg(numbers)),
            *(() if anchors_px is None else _doubts_about_levels(geometry, anchors_px)),
        ),
    )


def expected_geometry(films: Mapping[str, FilmPrior]) -> BiplanarGeometry:
    """Both cameras as they are expected: distances as stated, 90 deg apart, central rays through the middle of the films."""
    return BiplanarGeometry(*(_camera(films[view], view, np.zeros(_POSES)) for view in VIEWS))


def geometry_angle_deg(geometry: BiplanarGeometry) -> float:
    """The angle between the normals of both films, which of a lateral film that is turned too far is above 90 deg."""
    normals = [geometry[view].normal * np.sign(geometry[view].source_distance_mm) for view in VIEWS]
    return float(np.degrees(np.arccos(np.clip(normals[0] @ normals[1], -1, 1))))


_LEFT_TIP, _RIGHT_TIP, _SPINOUS_TIP = PROCESS_LANDMARKS
# Where the numbers stand: relative size, distances and foot of both views, turn and height of the lateral one.
_SIZE, _VIEWS, _TURN, _HEIGHT, _POSES = 0, {"ap": 1, "lat": 5}, 9, 12, 13
_HEIGHT_SD_MM = 300.0
_TURN_SD_RAD, _PLACE_SD_MM, _MARKER_PLACE_SD_MM = 1.0, 300.0, 1000.0
_AXES = {"ap": ((1, 0, 0), (0, 1, 0)), "lat": ((0, 1, 0), (-1, 0, 0))}
"""Where the source stands, and the way of u, of films in canonical orientation; v runs down."""


class _Adjustment:
    """The residuals, in standard deviations, of all that is known.

    The numbers are deviations from what is expected: a prior is the number over its standard deviation.
    """

    def __init__(
        self,
        landmarks: Mapping[str, ViewLandmarks],
        means_mm: Sequence[np.ndarray],
        films: Mapping[str, FilmPrior],
        spine: SpinePrior,
        marker: Marker | None,
    ) -> None:
        self._films, self._landmarks = films, landmarks
        both = {view: landmarks[view].found.sum(1) >= MIN_LANDMARKS for view in VIEWS}
        self._levels = np.flatnonzero(both["ap"] & both["lat"])
        if len(self._levels) < 3:
            names = [LEVELS[i] for i in self._levels]
            raise InputError(f"both films show the vertebrae {names}, expected at least three to find the cameras from")
        self._means = np.stack([means_mm[i] for i in self._levels])
        self._seen = {view: landmarks[view].positions_px[self._levels] for view in VIEWS}
        self._weight = {
            view: np.sqrt(landmarks[view].confidence[self._levels]) / np.array(spine.seen_mm[view]) for view in VIEWS
        }
        count = len(self._levels)
        sd = [spine.size]
        for view in VIEWS:
            film = films[view]
            sd += [film.source_detector_mm[1], film.source_person_mm[1], film.middle_mm, film.middle_mm]
        sd += [*np.radians([spine.tilt_deg, spine.tilt_deg, spine.angle_deg]), _HEIGHT_SD_MM]
        sd += ([_TURN_SD_RAD] * 3 + [_PLACE_SD_MM] * 3) * count
        self._marker = marker
        self._n_marker, self._n_marker_residuals = (0, 0) if marker is None else (6, 9)
        self.prior_sd = np.r_[
            sd, np.tile(np.repeat(spine.landmark_mm, 3), count), np.full(self._n_marker, _MARKER_PLACE_SD_MM)
        ]
        self.steps = np.minimum(
            self.prior_sd, np.r_[np.full(_POSES, np.inf), np.full(len(self.prior_sd) - _POSES, 5.0)]
        )
        self._base, self._marker_base = np.zeros((count, 4, 4)), np.zeros((2, 3))
        self.n_seen = 2 * sum(int(np.isfinite(own).all(-1).sum()) for own in self._seen.values())
        self._spine = spine

    def loss(self, z: np.ndarray) -> np.ndarray:
        """Huber's, and its derivatives, of squared residuals [n] over `_ROBUST_FROM`, as `least_squares` asks for it; but what
        a user marked of the marker is no outlier and counts in full.
        """
        rho = np.stack([z, np.ones_like(z), np.zeros_like(z)])
        robust = (z > 1) & (np.arange(len(z)) < len(z) - self._n_marker_residuals)
        far = z[robust]
        rho[:, robust] = 2 * np.sqrt(far) - 1, far**-0.5, -0.5 * far**-1.5
        return rho

    def start(self) -> np.ndarray:
        """The numbers to start from; the poses' own are deviations from poses that are fitted here."""
        numbers = np.zeros(len(self.prior_sd))
        heights = {}
        for view in VIEWS:
            camera = _camera(self._films[view], view, numbers)
            middle = self._seen[view] - camera.principal_point_px
            film = self._films[view]
            scale = film.source_person_mm[0] / film.source_detector_mm[0]
            heights[view] = -scale * film.pixel_spacing_mm[1] * middle[..., 1]
        numbers[_HEIGHT] = float(np.nanmedian(heights["ap"] - heights["lat"]))
        nominal = triangulate_landmarks(self.geometry(numbers), self._landmarks)
        for row, level in enumerate(self._levels):
            points = nominal.positions_mm[level]
            known = np.isfinite(points).all(1)
            pose = fit_rigid(self._means[row][known], points[known])
            self._base[row] = pose.to_matrix()
        if self._marker is not None:
            ends = [self._marker.ends_px[view] for view in VIEWS]
            self._marker_base = triangulate(*(self.geometry(numbers)[view] for view in VIEWS), *ends).points_mm
        return numbers

    def geometry(self, numbers: np.ndarray) -> BiplanarGeometry:
        """Both cameras."""
        return BiplanarGeometry(*(_camera(self._films[view], view, numbers) for view in VIEWS))

    def residuals(self, numbers: np.ndarray) -> np.ndarray:
        """What is seen, then the priors."""
        points, seen = self._points(numbers), []
        for view in VIEWS:
            offset = _camera(self._films[view], view, numbers).project(points) - self._seen[view]
            weighted = offset * self._films[view].pixel_spacing_mm * self._weight[view][..., None]
            seen.append(weighted[np.isfinite(offset).all(-1)].ravel())
        return np.concatenate([*seen, numbers / self.prior_sd, *self._marker_residuals(numbers)])

    def _marker_residuals(self, numbers: np.ndarray) -> list[np.ndarray]:
        """How far the marker's ends are from where they were marked, and its length from what it is."""
        if self._marker is None:
            return []
        marker, ends = self._marker, self._marker_base + numbers[-self._n_marker :].reshape(2, 3)
        length = np.linalg.norm(ends[1] - ends[0])
        residuals = [np.array([(length - marker.length_mm) / marker.length_sd_mm])]
        for view in VIEWS:
            offset = _camera(self._films[view], view, numbers).project(ends) - marker.ends_px[view]
            residuals.append((offset * self._films[view].pixel_spacing_mm / marker.seen_mm).ravel())
        return residuals

    def lordosis_deg(self, numbers: np.ndarray) -> float:
        """By how much the lowest vertebra leans farther to the front than the uppermost."""
        up = self._rotations(numbers)[:, :, 2]
        forward_deg = np.degrees(np.arctan2(up[:, 0], up[:, 2]))
        return float(forward_deg[-1] - forward_deg[0])

    def _rotations(self, numbers: np.ndarray) -> np.ndarray:
        """[n, 3, 3] of the vertebrae in the room."""
        poses = numbers[_POSES : _POSES + 6 * len(self._levels)].reshape(-1, 6)
        return self._base[:, :3, :3] @ Rotation.from_rotvec(poses[:, :3]).as_matrix()

    def magnifications(self, numbers: np.ndarray) -> dict[str, Magnification]:
        """Of the spine on each film."""
        middle_mm, found = self._points(numbers).mean((0, 1)), {}
        for view in VIEWS:
            film, camera = self._films[view], _camera(self._films[view], view, numbers)
            (detector, detector_sd), (person, person_sd) = film.source_detector_mm, film.source_person_mm
            times = abs(float(camera.magnification(middle_mm)[0]))
            sd = np.hypot(detector_sd / detector, person_sd / person)
            found[view] = Magnification(times, detector / person, float(np.log(times * person / detector) / sd))
        return found

    def scale_from(self, size_sd: float) -> str:
        """What decides the scale."""
        if self._marker is not None:
            return f"the marker of {self._marker.length_mm:g} mm, to {size_sd:.1%}"
        distances = [film.source_person_mm[1] / film.source_person_mm[0] for film in self._films.values()]
        known = 1 / np.sqrt(sum(1 / share**2 for share in distances))
        source = "the distances of the sources from the person" if known < self._spine.size else "the size of people"
        return f"{source}, to {size_sd:.1%}"

    def size_sd(self, numbers: np.ndarray, covariance: np.ndarray) -> float:
        """Relative standard deviation of lengths: that of people's size, or with a marker of the length of this spine."""
        if self._marker is None:
            return float(np.sqrt(covariance[_SIZE, _SIZE]))
        first, last = (_POSES + 6 * row + 3 for row in (0, len(self._levels) - 1))
        places = [self._base[row, :3, 3] + numbers[at : at + 3] for row, at in ((0, first), (-1, last))]
        way, slope = places[1] - places[0], np.zeros(len(numbers))
        slope[last : last + 3] = way / (way @ way)
        slope[first : first + 3] = -slope[last : last + 3]
        return float(np.sqrt(slope @ covariance @ slope))

    def _points(self, numbers: np.ndarray) -> np.ndarray:
        """[n, 7, 3] world places of the landmarks."""
        count = len(self._levels)
        poses = numbers[_POSES : _POSES + 6 * count].reshape(count, 6)
        own = numbers[_POSES + 6 * count : len(numbers) - self._n_marker].reshape(self._means.shape)
        shapes = (1 + numbers[_SIZE]) * (self._means + own)
        placed = np.einsum("nij,nkj->nki", self._rotations(numbers), shapes)
        return placed + (self._base[:, :3, 3] + poses[:, 3:])[:, None]


def _camera(film: FilmPrior, view: str, numbers: np.ndarray) -> ConeBeam:
    """The camera of a view, whose numbers are among the first of all."""
    first = _VIEWS[view]
    distance = film.source_detector_mm[0] + numbers[first]
    person = film.source_person_mm[0] + numbers[first + 1]
    to_source, u_axis = (np.array(axis, dtype=float) for axis in _AXES[view])
    to_source = -to_source if film.reversed_beam else to_source
    u_axis = -u_axis if film.mirrored else u_axis
    v_axis = np.array([0, 0, -1.0])
    spacing = np.array(film.pixel_spacing_mm)
    foot_mm = (np.array(film.size_px) - 1) / 2 * spacing + numbers[first + 2 : first + 4]
    source = person * to_source
    origin = source - distance * to_source - foot_mm[0] * u_axis - foot_mm[1] * v_axis
    if view == "lat":
        turn = Rotation.from_rotvec(numbers[_TURN : _TURN + 3]).as_matrix()
        lift = np.array([0, 0, numbers[_HEIGHT]])
        source, origin = turn @ source + lift, turn @ origin + lift
        u_axis, v_axis = turn @ u_axis, turn @ v_axis
    return ConeBeam(source, origin, u_axis, v_axis, film.pixel_spacing_mm, film.size_px)


def _refuse_other_view(seen: ViewLandmarks, film: FilmPrior, view: str) -> None:
    """Raises InputError for landmarks that do not lie as this view shows them: processes side by side, or the spinous process
    behind the body (as `joint_levels` judges views whose cameras are known).
    """
    u = seen.positions_px[..., 0] * (-1 if film.mirrored else 1)
    across, behind = np.abs(u[:, _LEFT_TIP] - u[:, _RIGHT_TIP]), u[:, _SPINOUS_TIP] - u[:, :2].mean(1)
    whole = np.isfinite(across) & np.isfinite(behind)
    if not whole.any():
        return
    across, behind = np.median(across[whole]), np.median(behind[whole])
    if not (across > abs(behind) if view == "ap" else behind > across):
        raise InputError(
            f"what is given as the {view} film does not look like one: are the films exchanged, is one of them mirrored, or "
            "are they taken from nearly one direction?"
        )


def _refuse(geometry: BiplanarGeometry, misfit: float, standardised: np.ndarray) -> None:
    """Raises InputError for what no pair of films of one spine would give."""
    angle = geometry_angle_deg(geometry)
    if not _ANGLES_DEG[0] <= angle <= _ANGLES_DEG[1]:
        raise InputError(f"the films seem to be taken {angle:.0f} deg apart, expected an AP and a lateral film")
    if not misfit <= _MOST_MISFIT:
        raise InputError(
            f"the films do not show one spine in one posture: their landmarks disagree by {misfit:.1f} standard deviations; "
            "are they of one person, who did not move in between, and neither of them mirrored?"
        )
    names = ("size", *(f"{what} of the {view} view" for view in VIEWS for what in _WHAT), "tilt", "tilt", "turn")
    far = [name for name, value in zip(names, standardised, strict=False) if abs(value) > _FAR_SD]
    if far:
        raise InputError(f"far from what is expected of a person and a room: {', '.join(far)}")


def _doubts_about_fit(misfit: float) -> tuple[str, ...]:
    """Whether the films fit each other worse than those of one person usually do."""
    if misfit <= _DOUBTFUL_MISFIT:
        return ()
    return (
        f"the landmarks of the films fit each other worse than usual ({misfit:.2f} standard deviations, usual: below "
        f"{_DOUBTFUL_MISFIT:g}): are they of one person, who did not move in between, with the same vertebrae named alike, and "
        "neither mirrored?",
    )


def _doubts_about_magnification(magnified: Mapping[str, Magnification]) -> tuple[str, ...]:
    """Films that show people of usual size otherwise than the distances would."""
    return tuple(
        f"the {view} film seems to magnify the spine {own.times:.2f} times, where the distances that were stated, or are "
        f"usual, give {own.expected:.2f}: state those of this film, or check them and its pixel spacing; lengths are known "
        "less well for that"
        for view, own in magnified.items()
        if abs(own.off_sd) > _UNUSUAL_SD
    )


def _doubts_about_lordosis(lordosis_deg: float) -> tuple[str, ...]:
    """Whether the lumbar spine is bent the other way than people's, as a mirrored lateral film shows it."""
    if lordosis_deg > -_STOOP_DEG:
        return ()
    return (
        f"the lumbar spine bends forwards by {-lordosis_deg:.0f} deg, as a person's who stoops, or as any does on a "
        "lateral film that lies mirrored: the front belongs on its left",
    )


def _doubts_about_levels(geometry: BiplanarGeometry, anchors_px: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Where T12 or S1 of both films are not in one place, though L1 to L5 are: a film whose vertebrae are named a level apart
    looks like one that hangs a level higher, but for those that are named by what they look like.
    """
    found = triangulate(geometry.ap, geometry.lat, *(anchors_px[view] for view in VIEWS))
    apart = {
        level: float(gap)
        for (level, name), gap in zip(ANCHOR_POINTS, found.gap_mm, strict=True)
        if name in ("centre", "superior_centre") and gap > _LEVEL_APART_MM
    }
    if not apart:
        return ()
    where = " and ".join(f"{level} {gap:.0f} mm" for level, gap in apart.items())
    return (
        f"the films may name the vertebrae a level apart: with the cameras that L1 to L5 give, they show {where} apart; look "
        "at the overlays of both",
    )


_WHAT = ("source to detector", "source to person", "middle along u", "middle along v")
