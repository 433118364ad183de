"""Random but plausible biplanar slot scans: two sources that move down beside a person, and the films they expose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lumbar_ext.geometry import BiplanarGeometry, SlotScan, euler_rotation
from lumbar_ext.simulation.imaging.exposure import Exposure
from lumbar_ext.simulation.ranges import AppearanceParameters, SimulationParameters, SlotParameters

_MARGIN_MM = 6.0  # around what must be on the films
_NETWORK_SIZE_PX = 512  # columns for which pixel_mm is stated


def sample_slot_scans(
    rng: np.random.Generator, landmarks_mm: np.ndarray, parameters: SimulationParameters, *, size_px: int = 512
) -> BiplanarGeometry:
    """Both films of a scan, in canonical display orientation, with the isocentre at the world's origin.

    One row of both films is scanned at one height. The spacing of pixels holds at the isocentre.

    Args:
        rng: the source of randomness.
        landmarks_mm: [..., 3] world points that the films show, as far as they are long enough.
        parameters: ranges.
        size_px: 512 for pixels of `parameters.slot.pixel_mm`, less for larger ones.
    """
    slot, room = parameters.slot, parameters.geometry
    slot = replace(slot, pixel_mm=slot.pixel_mm * _NETWORK_SIZE_PX / size_px)
    rig = euler_rotation(*np.radians(rng.uniform(-1, 1, 3) * slot.tilt_deg))
    angle = np.radians(rng.uniform(*slot.view_angle_deg))
    up, front, side = rig[:, 2], rig[:, 0], rig @ np.array([np.cos(angle), np.sin(angle), 0.0])
    behind, from_right = rng.random() < room.posteroanterior_share, rng.random() < room.lateral_from_right_share
    rows = round(rng.uniform(*slot.film_height_mm) / slot.pixel_mm)
    above = rng.uniform() if rng.random() < room.off_centre_share else 0.5
    top_mm = _top_mm(landmarks_mm.reshape(-1, 3) @ up, (rows - 1) * slot.pixel_mm, above)
    ap = _camera(rng, front * (-1 if behind else 1), np.cross(up, front), up, slot, rows, top_mm)
    lat = _camera(rng, side * (-1 if from_right else 1), np.cross(up, side), up, slot, rows, top_mm)
    return BiplanarGeometry(*(_showing_columns(camera, landmarks_mm.reshape(-1, 3)) for camera in (ap, lat)))


def scanned(exposure: Exposure, slot: SlotParameters) -> Exposure:
    """An exposure row by row: little scatter, and no fall of the beam along the height."""
    return replace(exposure, scatter_ratio=slot.scatter_share * exposure.scatter_ratio, heel=(exposure.heel[0], 0.0))


def unstitched(appearance: AppearanceParameters) -> AppearanceParameters:
    """What becomes of a film that needs no stitching, however long it is."""
    return replace(appearance, stitched_from_mm=float("inf"))


def _top_mm(heights_mm: np.ndarray, length_mm: float, above: float) -> float:
    """The height of row 0, such that all points are on the film, with the share `above` of the room above them; they are
    centred on a film that is too short.
    """
    low, high = heights_mm.min() - _MARGIN_MM, heights_mm.max() + _MARGIN_MM
    room = length_mm - (high - low)
    return float(high + (above if room > 0 else 0.5) * room)


def _showing_columns(camera: SlotScan, points_mm: np.ndarray) -> SlotScan:
    """The camera with its film slid along the rows, no farther than it must, so that all points [N, 3] are on it."""
    u_mm = camera.project(points_mm)[:, 0] * camera.pixel_spacing_mm[0]
    low, high = u_mm.min() - _MARGIN_MM, u_mm.max() + _MARGIN_MM
    extent = (camera.size_px[0] - 1) * camera.pixel_spacing_mm[0]
    slide = min(low, 0.0) + max(high - extent, 0.0) if high - low <= extent else (low + high - extent) / 2
    return camera.replace(detector_origin_mm=camera.detector_origin_mm + slide * camera.u_axis)


def _camera(
    rng: np.random.Generator,
    to_source: np.ndarray,
    u_axis: np.ndarray,
    up: np.ndarray,
    slot: SlotParameters,
    rows: int,
    top_mm: float,
) -> SlotScan:
    distance, columns = rng.uniform(*slot.source_isocentre_mm), round(rng.uniform(*slot.film_width_mm) / slot.pixel_mm)
    left_mm = rng.normal(0, slot.column_offset_mm) - (columns - 1) / 2 * slot.pixel_mm
    spacing = (slot.pixel_mm, slot.pixel_mm)
    return SlotScan(distance * to_source, left_mm * u_axis + top_mm * up, u_axis, -up, spacing, (columns, rows))
