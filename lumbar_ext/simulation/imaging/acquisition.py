"""Random but plausible biplanar set-ups: two cone beams around a person, and the films they expose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry, Camera, ConeBeam, euler_rotation
from lumbar_ext.simulation.ranges import GeometryParameters

_MARGIN_MM = 6.0  # on the detector around what must be seen
_ENDPLATES = [LANDMARKS.index("superior_endplate"), LANDMARKS.index("inferior_endplate")]


@dataclass(frozen=True)
class Film:
    """What the films of a study show.

    Args:
        size_mm: by view, (width, height).
        cut: "top" or "bottom", whichever end of the film cuts vertebrae; None for neither.
        edge: by view, where that end lies, in vertebrae from the middle of L1 up or of L5 down; NaN in a view that
            shows all.
        off_centre: by view, where the spine is on the film: fractions of the room beside and above it, each in [0, 1];
            None for near the middle.
    """

    size_mm: dict[str, tuple[float, float]]
    cut: str | None = None
    edge: dict[str, float] | None = None
    off_centre: dict[str, np.ndarray] | None = None


def sample_film(rng: np.random.Generator, parameters: GeometryParameters) -> Film:
    """Draws the format of the films and where the spine is on them."""
    size = dict.fromkeys(VIEWS, (parameters.panel_mm, parameters.panel_mm))
    if rng.random() < parameters.format_share:
        height = rng.uniform(*parameters.film_height_mm)
        size = {view: (rng.uniform(*parameters.film_width_mm), height) for view in VIEWS}
    cut = str(rng.choice(["top", "bottom"])) if rng.random() < parameters.cut_share else None
    edge = None
    if cut is not None:
        limits = getattr(parameters, f"cut_{cut}")
        edge = {view: rng.uniform(*limits) if rng.random() < parameters.cut_view_share else np.nan for view in VIEWS}
    off_centre = {view: rng.uniform(0, 1, 2) for view in VIEWS}
    return Film(size, cut, edge, off_centre if rng.random() < parameters.off_centre_share else None)


def sample_geometry(
    rng: np.random.Generator, landmarks_mm: np.ndarray, parameters: GeometryParameters, *, size_px: int = 512
) -> BiplanarGeometry:
    """Two views of the world origin in canonical display orientation.

    AP: u to the person's left, v down. Lateral: u to the back, v down. A posteroanterior exposure and a lateral one
    from the right give the mirrored image that radiologists hang the same way.

    Args:
        rng: the source of randomness.
        landmarks_mm: [N, 7, 3] of the lumbar vertebrae from L1, or [M, 3] any world points that films show: the panel is
            moved to do so, unless its end cuts vertebrae. Films of points that are no landmarks are not cut.
        parameters: ranges.
        size_px: pixels along `parameters.panel_mm`; films of other formats have pixels of the same size.
    """
    rig = euler_rotation(*np.radians(rng.uniform(-1, 1, 3) * parameters.rig_tilt_deg))
    angle = np.radians(rng.uniform(*parameters.view_angle_deg))
    front, side = rig[:, 0], rig @ np.array([np.cos(angle), np.sin(angle), 0.0])
    behind = rng.random() < parameters.posteroanterior_share
    from_right = rng.random() < parameters.lateral_from_right_share
    left_of_front = np.cross(rig[:, 2], front)
    back_of_side = np.cross(rig[:, 2], side)
    film = sample_film(rng, parameters)
    spacing = parameters.panel_mm / size_px
    sources = {"ap": front * (-1 if behind else 1), "lat": side * (-1 if from_right else 1)}
    u_axes = {"ap": left_of_front, "lat": back_of_side}
    cameras = {}
    for view in VIEWS:
        size = tuple(round(length / spacing) for length in film.size_mm[view])
        camera = _camera(rng, sources[view], u_axes[view], rig[:, 2], parameters, size, spacing)
        cameras[view] = _placed(camera, landmarks_mm, film, view)
    return BiplanarGeometry(**cameras)


def sample_stated(
    rng: np.random.Generator, geometry: BiplanarGeometry, parameters: GeometryParameters
) -> BiplanarGeometry:
    """The geometry as the calibration of this study states it, with errors of sizes that are drawn, too.

    Distances and spacings have a stream of their own: a seed gives the same noise and turn whatever their ranges are.
    """
    (apart,) = rng.spawn(1)
    noise_mm, turn_deg = rng.uniform(*parameters.calibration_noise_mm), rng.uniform(*parameters.calibration_turn_deg)
    stated = with_calibration_errors(rng, geometry, noise_mm, turn_deg)
    return BiplanarGeometry(*(_misread(apart, stated[view], parameters) for view in VIEWS))


def _misread(rng: np.random.Generator, camera: Camera, parameters: GeometryParameters) -> Camera:
    distance_mm = rng.uniform(*parameters.calibration_distance_mm) * rng.choice([-1.0, 1.0])
    spacing_percent = rng.uniform(*parameters.calibration_spacing_percent) * rng.choice([-1.0, 1.0])
    return misread(camera, distance_mm, spacing_percent)


def misread(camera: Camera, distance_mm: float, spacing_percent: float) -> Camera:
    """The camera as a wrong scale on the tube's column and wrong pixels would state it.

    Args:
        camera: the true one.
        distance_mm: by which the source is stated too far from the detector, which stays where it is.
        spacing_percent: by which pixels are stated too large; the middle of the film stays where it is.
    """
    away = -camera.normal * np.sign(camera.source_distance_mm)
    camera = camera.replace(source_mm=camera.source_mm + distance_mm * away)
    if spacing_percent == 0:
        return camera
    du, dv = np.array(camera.pixel_spacing_mm) * (1 + spacing_percent / 100)
    return camera.resampled(size_px=camera.size_px, pixel_spacing_mm=(du, dv))


def with_calibration_errors(
    rng: np.random.Generator, geometry: BiplanarGeometry, noise_mm: float, turn_deg: float = 0.0
) -> BiplanarGeometry:
    """The geometry as an imperfect calibration would state it.

    Args:
        rng: draws the errors.
        geometry: the true one.
        noise_mm: standard deviation of sources and detectors along each axis.
        turn_deg: standard deviation of the turns of the lateral view, about each axis through the world's origin.
    """

    def disturbed(camera: Camera) -> Camera:
        source, detector = rng.normal(0, noise_mm, (2, 3))
        return camera.replace(
            source_mm=camera.source_mm + source, detector_origin_mm=camera.detector_origin_mm + detector
        )

    turn = euler_rotation(*np.radians(rng.normal(0, turn_deg, 3)))
    ap, lat = geometry.ap, geometry.lat
    if noise_mm > 0:
        ap, lat = disturbed(ap), disturbed(lat)
    if turn_deg > 0:
        turned = {name: turn @ getattr(lat, name) for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis")}
        lat = lat.replace(**turned)
    return BiplanarGeometry(ap, lat)


def _camera(
    rng: np.random.Generator,
    to_source: np.ndarray,
    u_axis: np.ndarray,
    up: np.ndarray,
    parameters: GeometryParameters,
    size_px: tuple[int, int],
    spacing: float,
) -> Camera:
    """A cone beam along `-to_source` past the origin, its panel a little rolled, tilted and off centre."""
    distance = rng.uniform(*parameters.source_detector_mm)
    object_distance = np.clip(distance / rng.uniform(*parameters.magnification), *parameters.source_object_mm)
    object_distance = min(object_distance, distance / parameters.magnification[0])
    tilt, turn = np.radians(rng.uniform(-1, 1, 2) * parameters.panel_tilt_deg)
    roll = np.radians(rng.uniform(-1, 1) * parameters.panel_roll_deg)
    frame = np.stack([to_source, u_axis, up], axis=1) @ _turn(roll, tilt, turn)
    u, v = frame[:, 1], -frame[:, 2]
    centre = to_source * (object_distance - distance) + frame[:, 1:] @ rng.normal(0, parameters.detector_offset_mm, 2)
    columns, rows = size_px
    origin = centre - spacing / 2 * ((columns - 1) * u + (rows - 1) * v)
    return ConeBeam(to_source * object_distance, origin, u, v, (spacing, spacing), size_px)


def _turn(roll: float, tilt: float, turn: float) -> np.ndarray:
    return euler_rotation(roll, tilt, turn)


def _placed(camera: Camera, landmarks_mm: np.ndarray, film: Film, view: str) -> Camera:
    """The camera with its panel slid in its plane to where the film is."""
    camera = _showing(camera, landmarks_mm.reshape(-1, 3), film.off_centre[view] if film.off_centre else None)
    if film.cut is None or landmarks_mm.ndim != 3 or not np.isfinite(film.edge[view]):
        return camera
    v = camera.project(_edge_mm(landmarks_mm, film.cut, film.edge[view]))[1] * camera.pixel_spacing_mm[1]
    slide = v if film.cut == "top" else v - _extent_mm(camera)[1]
    return camera.replace(detector_origin_mm=camera.detector_origin_mm + slide * camera.v_axis)


def _edge_mm(landmarks_mm: np.ndarray, cut: str, edge: float) -> np.ndarray:
    """[3] the point at the end of the film, `edge` vertebrae beyond the middle of L1 (top) or L5 (bottom).

    Args:
        landmarks_mm: [N, 7, 3] from L1; below the last there is no L5 in a person of four.
        cut: "top" or "bottom".
        edge: negative towards the middle of the spine.
    """
    centres = landmarks_mm[: len(LEVELS), _ENDPLATES].mean(axis=1)
    outermost, inner = (0, 1) if cut == "top" else (-1, -2)
    return centres[outermost] + edge * (centres[outermost] - centres[inner])


def _extent_mm(camera: Camera) -> np.ndarray:
    """Distances between the centres of the outermost pixels along u and v."""
    return (np.array(camera.size_px) - 1) * camera.pixel_spacing_mm


def _showing(camera: Camera, points_mm: np.ndarray, place: np.ndarray | None = None) -> Camera:
    """The camera with its panel slid in its plane so that all points are on it.

    Args:
        camera: the view.
        points_mm: [N, 3] world.
        place: [2] how much of the room beside the points lies left of and above them; None slides the panel no farther
            than it must. Along an axis where the points are longer than the panel they are centred.
    """
    uv = camera.project(points_mm) * camera.pixel_spacing_mm
    low, high = uv.min(0) - _MARGIN_MM, uv.max(0) + _MARGIN_MM
    extent = _extent_mm(camera)
    slide = np.minimum(low, 0.0) + np.maximum(high - extent, 0.0)
    if place is not None:
        slide = low - place * (extent - (high - low))
    slide = np.where(high - low > extent, (low + high - extent) / 2, slide)
    origin = camera.detector_origin_mm + slide[0] * camera.u_axis + slide[1] * camera.v_axis
    return camera.replace(detector_origin_mm=origin)
