"""The calibration file: two cameras in one world frame, checked for what commonly goes wrong before they are used.

Cameras go to and from JSON here, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry.biplanar import BiplanarGeometry
from lumbar_ext.geometry.camera import Camera
from lumbar_ext.geometry.cone_beam import ConeBeam
from lumbar_ext.geometry.slot_scan import SlotScan
from lumbar_ext.io.atomic import write_text
from lumbar_ext.io.json_document import check_document, parse_json, read_document

_SCHEMA = "calibration.schema.json"
_SLOT_SCAN = "slot_scan"
_VIEW_AXES = {"ap": (0, "X (front-back)"), "lat": (1, "Y (left-right)")}
_MAX_VIEW_DEVIATION_DEG = 45.0  # beyond half a right angle a beam is nearer to the other view's axis
# from source to detector: beyond it the unit is wrong
_SOURCE_DISTANCE_RANGE_MM = (100.0, 20_000.0)
_BEYOND_ISOCENTRE = 1.4
"""The detectors of slot scanners stand at about this multiple of the distance from the source to the isocentre."""
_ROOM_MM = 20_000.0
"""The origin is anywhere near the person. STL files store single precision: 0.001 mm at 20 m, but 64 mm at 1e9 mm."""


@dataclass(frozen=True)
class CameraUncertainty:
    """How well the cameras of a calibration file are known, where they are not taken for exact.

    Args:
        size_sd: relative standard deviation of all lengths.
        angle_sd_deg: standard deviation of the angle between the films; None where unknown.
        scale_from: what the scale rests on, in words.
    """

    size_sd: float
    angle_sd_deg: float | None = None
    scale_from: str = ""

    @property
    def sentence(self) -> str:
        """One sentence for warnings and reports: how well lengths, in percent, and the angle, in degrees, are known."""
        scale = f" (the scale rests on {self.scale_from})" if self.scale_from else ""
        angle = "" if self.angle_sd_deg is None else f", the angle between the films to {self.angle_sd_deg:.1f} deg"
        return f"the cameras are not calibrated: lengths are known to {self.size_sd:.1%}{scale}{angle}"


def read_camera_uncertainty(path: str | Path) -> CameraUncertainty | None:
    """The `uncertainty` of a calibration file; None where it states none.

    Raises:
        InputError: if the document violates the schema.
    """
    entry = read_document(path, _SCHEMA).get("uncertainty")
    return entry and CameraUncertainty(**entry)


def read_calibration(
    path: str | Path, *, image_spacing_mm: Mapping[str, tuple[float, float] | None] | None = None
) -> BiplanarGeometry:
    """Reads the cameras of a biplanar study (schema: `lumbar_ext/io/schemas/calibration.schema.json`).

    Args:
        path: the JSON file.
        image_spacing_mm: by view, the detector spacing (du, dv) that the image file states, or None; used for a view
            given by a projection matrix without `pixel_spacing_mm`.

    Raises:
        InputError: naming the file, the key, what was found and what is expected, if the document violates the schema,
            a camera is impossible or farther than 20 m from the origin, the views are swapped, parallel, far from their
            nominal direction or look at no common region, or a source is on its detector's side of the scene.
    """
    views = read_document(path, _SCHEMA)["views"]
    spacings = image_spacing_mm or {}
    cameras = {view: _read_camera(path, view, views[view], spacings.get(view)) for view in VIEWS}
    try:
        geometry = BiplanarGeometry(**cameras)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for view in VIEWS:
        _check_room(path, view, geometry[view])
        _check_distance(path, view, geometry[view])
        _check_direction(path, view, geometry[view])
    _check_scene(path, geometry)
    return geometry


def write_calibration(
    geometry: BiplanarGeometry, path: str | Path, uncertainty: CameraUncertainty | None = None
) -> None:
    """Writes both cameras by the place of source and detector; atomic, and exact when read back."""
    document = {"views": {view: camera_document(geometry[view]) for view in VIEWS}}
    if uncertainty is not None:
        document["uncertainty"] = {name: value for name, value in asdict(uncertainty).items() if value is not None}
    check_document(document, _SCHEMA)
    write_text(path, json.dumps(document, indent=2) + "\n")


def states_slot_scans(path: str | Path) -> bool:
    """Whether a calibration file gives both views the type of a slot scan; it may have other faults.

    Raises:
        InputError: if the file is not JSON.
    """
    document = parse_json(path)
    views = document.get("views") if isinstance(document, dict) else None
    entries = [views.get(view) for view in VIEWS] if isinstance(views, dict) else [None]
    return all(isinstance(entry, dict) and entry.get("type") == _SLOT_SCAN for entry in entries)


def camera_document(camera: Camera) -> dict[str, Any]:
    """A camera as a view of the calibration file, by the place of source and detector."""
    vectors = {name: getattr(camera, name).tolist() for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis")}
    document = {**vectors, "pixel_spacing_mm": list(camera.pixel_spacing_mm), "size_px": list(camera.size_px)}
    if isinstance(camera, SlotScan):
        return {"type": _SLOT_SCAN, **document, "source_isocentre_mm": camera.source_isocentre_mm}
    return document


def _read_camera(
    path: str | Path, view: str, entry: dict[str, Any], image_spacing: tuple[float, float] | None
) -> Camera:
    spacing = entry.get("pixel_spacing_mm", image_spacing)
    if spacing is None:
        raise InputError(
            f"{path}: views/{view} has a projection_matrix but no pixel_spacing_mm, and the image states no "
            "detector spacing; expected pixel_spacing_mm [du, dv] in mm"
        )
    try:
        if "projection_matrix" in entry:
            matrix = np.array(entry["projection_matrix"])
            return ConeBeam.from_projection_matrix(
                matrix, size_px=tuple(entry["size_px"]), pixel_spacing_mm=tuple(spacing)
            )
        kind = SlotScan if entry.get("type") == _SLOT_SCAN else ConeBeam
        given = {name: value for name, value in entry.items() if name != "type"}
        return kind(**{**given, "pixel_spacing_mm": tuple(spacing), "size_px": tuple(entry["size_px"])})
    except InputError as error:
        raise InputError(f"{path}: views/{view}: {error}") from error


def _check_room(path: str | Path, view: str, camera: Camera) -> None:
    for name in ("source_mm", "detector_origin_mm"):
        place = getattr(camera, name)
        if np.abs(place).max() > _ROOM_MM:
            raise InputError(
                f"{path}: views/{view}: {name} is {place.tolist()}, farther than {_ROOM_MM / 1000:g} m from the origin; "
                "expected an origin near the person: move both cameras by the same vector"
            )


def _check_distance(path: str | Path, view: str, camera: Camera) -> None:
    low, high = _SOURCE_DISTANCE_RANGE_MM
    distance = abs(camera.source_distance_mm)
    if not low <= distance <= high:
        raise InputError(
            f"{path}: views/{view}: the source is {distance:.4g} mm from the detector plane, "
            f"expected {low:.0f} to {high:.0f} mm; are the lengths in mm?"
        )


def _check_direction(path: str | Path, view: str, camera: Camera) -> None:
    axis, name = _VIEW_AXES[view]
    deviation_deg = np.degrees(np.arccos(min(abs(camera.central_direction[axis]), 1.0)))
    if deviation_deg > _MAX_VIEW_DEVIATION_DEG:
        found = np.round(camera.central_direction, 3).tolist()
        raise InputError(
            f"{path}: views/{view}: the central ray runs along {found}, {deviation_deg:.0f} deg from the world "
            f"axis {name}; expected at most {_MAX_VIEW_DEVIATION_DEG:.0f} deg, with X to the person's front, "
            "Y to the left and Z up"
        )
    if camera.source_moves and abs(camera.v_axis[2]) < np.cos(np.radians(_MAX_VIEW_DEVIATION_DEG)):
        raise InputError(
            f"{path}: views/{view}: v_axis of the slot scan is {np.round(camera.v_axis, 3).tolist()}, expected the way of "
            "the scan, along Z: an image that is turned by 90 deg must be turned back before it is calibrated"
        )


def _check_scene(path: str | Path, geometry: BiplanarGeometry) -> None:
    """Where the central rays meet must lie between each source and its detector, and show in both images."""
    fractions = _meeting_fractions(geometry)
    sources, centres = _central_ends(geometry)
    nearest = {view: sources[view] + fractions[view] * (centres[view] - sources[view]) for view in VIEWS}
    for view in VIEWS:
        if not 0 < fractions[view] < _farthest(geometry[view]):
            side = "behind the source" if fractions[view] <= 0 else "beyond the detector"
            raise InputError(
                f"{path}: views/{view}: the central rays meet near {np.round(nearest[view], 1).tolist()} mm, which is "
                f"{side}; expected between source_mm {geometry[view].source_mm.tolist()} and the detector centre "
                f"{np.round(centres[view], 1).tolist()}: is the source on the wrong side?"
            )
    middle = (nearest["ap"] + nearest["lat"]) / 2
    for view in VIEWS:
        uv, size = geometry[view].project(middle), np.array(geometry[view].size_px)
        if (uv < -0.5).any() or (uv > size - 0.5).any():
            gap_mm = np.linalg.norm(nearest["ap"] - nearest["lat"])
            raise InputError(
                f"{path}: the views look at no common region: their central rays pass {gap_mm:.0f} mm apart and the "
                f"middle of that gap lies outside the {view} image; expected both views to show the same vertebrae"
            )


def _farthest(camera: Camera) -> float:
    """Where the scene ends: fractions of the way to the plane of the pixels, which of a slot scan may be in its middle."""
    if isinstance(camera, SlotScan):
        return _BEYOND_ISOCENTRE * camera.source_isocentre_mm / abs(camera.source_distance_mm)
    return 1.0


def _meeting_fractions(geometry: BiplanarGeometry) -> dict[str, float]:
    """Where the central rays are nearest to each other: fractions of the way from source to detector centre."""
    starts, ends = _central_ends(geometry)
    ways = {view: ends[view] - starts[view] for view in VIEWS}
    matrix = np.stack([ways["ap"], -ways["lat"]], axis=1)
    solution = np.linalg.lstsq(matrix, starts["lat"] - starts["ap"], rcond=None)[0]
    return dict(zip(VIEWS, map(float, solution), strict=True))


def _central_ends(geometry: BiplanarGeometry) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By view, source and detector point [3] of the central ray."""
    middles = {view: geometry[view].centre_px for view in VIEWS}
    sources = {view: geometry[view].sources_mm(middle) for view, middle in middles.items()}
    return sources, {view: geometry[view].detector_point(middle) for view, middle in middles.items()}
