"""Random but plausible biplanar set-ups: two cone beams around a person."""

from __future__ import annotations

import numpy as np

from lumbar_ext.geometry import BiplanarGeometry, Camera, euler_rotation
from lumbar_ext.simulation.ranges import GeometryParameters

_MARGIN_MM = 6.0


def sample_geometry(
    rng: np.random.Generator, landmarks_mm: np.ndarray, parameters: GeometryParameters, *, size_px: int = 512
) -> BiplanarGeometry:
    """Two views of the world origin in canonical display orientation.

    AP: u to the person's left, v down. Lateral: u to the back, v down. A posteroanterior exposure and a lateral one
        from the
    right give the mirrored image that radiologists hang the same way.

    Args:
        rng: the source of randomness.
        landmarks_mm: [..., 3] world points that the panel is moved to show.
        parameters: ranges.
        size_px: rows and columns of the square panel.
    """
    rig = euler_rotation(*np.radians(rng.uniform(-1, 1, 3) * parameters.rig_tilt_deg))
    angle = np.radians(rng.uniform(*parameters.view_angle_deg))
    front, side = rig[:, 0], rig @ np.array([np.cos(angle), np.sin(angle), 0.0])
    behind = rng.random() < parameters.posteroanterior_share
    from_right = rng.random() < parameters.lateral_from_right_share
    left_of_front = np.cross(rig[:, 2], front)
    back_of_side = np.cross(rig[:, 2], side)
    ap = _camera(rng, front * (-1 if behind else 1), left_of_front, rig[:, 2], parameters, size_px)
    lat = _camera(rng, side * (-1 if from_right else 1), back_of_side, rig[:, 2], parameters, size_px)
    points = landmarks_mm.reshape(-1, 3)
    return BiplanarGeometry(_showing(ap, points), _showing(lat, points))


def with_calibration_noise(rng: np.random.Generator, geometry: BiplanarGeometry, sigma_mm: float) -> BiplanarGeometry:
    """The geometry as an imperfect calibration would state it: sources and detectors displaced by normal noise."""
    if sigma_mm <= 0:
        return geometry

    def disturbed(camera: Camera) -> Camera:
        source, detector = rng.normal(0, sigma_mm, (2, 3))
        return camera.replace(
            source_mm=camera.source_mm + source, detector_origin_mm=camera.detector_origin_mm + detector
        )

    return BiplanarGeometry(disturbed(geometry.ap), disturbed(geometry.lat))


def _camera(
    rng: np.random.Generator,
    to_source: np.ndarray,
    u_axis: np.ndarray,
    up: np.ndarray,
    parameters: GeometryParameters,
    size_px: int,
) -> Camera:
    """A cone beam along `-to_source` past the origin, its panel a little rolled, tilted and off centre."""
    distance = rng.uniform(*parameters.source_detector_mm)
    object_distance = np.clip(distance / rng.uniform(*parameters.magnification), *parameters.source_object_mm)
    object_distance = min(object_distance, distance / parameters.magnification[0])
    spacing = parameters.panel_mm / size_px
    tilt, turn = np.radians(rng.uniform(-1, 1, 2) * parameters.panel_tilt_deg)
    roll = np.radians(rng.uniform(-1, 1) * parameters.panel_roll_deg)
    frame = np.stack([to_source, u_axis, up], axis=1) @ _turn(roll, tilt, turn)
    u, v = frame[:, 1], -frame[:, 2]
    centre = to_source * (object_distance - distance) + frame[:, 1:] @ rng.normal(0, parameters.detector_offset_mm, 2)
    origin = centre - (size_px - 1) / 2 * spacing * (u + v)
    return Camera(to_source * object_distance, origin, u, v, (spacing, spacing), (size_px, size_px))


def _turn(roll: float, tilt: float, turn: float) -> np.ndarray:
    return euler_rotation(roll, tilt, turn)


def _showing(camera: Camera, points_mm: np.ndarray) -> Camera:
    """The camera with its panel slid in its plane just so far that all points are on it."""
    uv = camera.project(points_mm) * camera.pixel_spacing_mm
    low, high = uv.min(0) - _MARGIN_MM, uv.max(0) + _MARGIN_MM
    extent = (np.array(camera.size_px) - 1) * camera.pixel_spacing_mm
    # A spine longer than the panel is centred on it.
    slide = np.where(
        high - low > extent, (low + high - extent) / 2, np.minimum(low, 0.0) + np.maximum(high - extent, 0.0)
    )
    origin = camera.detector_origin_mm + slide[0] * camera.u_axis + slide[1] * camera.v_axis
    return camera.replace(detector_origin_mm=origin)
