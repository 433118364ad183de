"""A biplanar study: two radiographs and their calibration, checked against each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry.biplanar import BiplanarGeometry
from lumbar_ext.io.calibration import CameraUncertainty, read_calibration, read_camera_uncertainty
from lumbar_ext.io.dicom_header import refused_slot_scan
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.radiograph import Polarity, Radiograph, with_bone_bright

_SPACING_TOLERANCE = 0.01  # relative: tags are rounded
_AP_POSITIONS = ("AP", "PA")
_LATERAL_POSITIONS = ("LL", "RL", "LATERAL", "LAT", "LLAT", "RLAT")
_WORLD_DIRECTIONS = {
    letter: sign * np.eye(3)[axis]
    for axis, pair in enumerate(("AP", "LR", "HF"))
    for letter, sign in zip(pair, (1, -1), strict=True)
}


@dataclass(frozen=True)
class BiplanarStudy:
    """Two radiographs of one person and their cameras.

    Args:
        ap: the anteroposterior radiograph, bone bright.
        lat: the lateral radiograph, bone bright.
        geometry: the cameras; sizes and spacings agree with the images.
        warnings: doubts that do not stop the work, each a sentence for the user.
        uncertainty: of the cameras; None where they are taken for exact.
    """

    ap: Radiograph
    lat: Radiograph
    geometry: BiplanarGeometry
    warnings: tuple[str, ...] = ()
    uncertainty: CameraUncertainty | None = None

    def __getitem__(self, view: str) -> Radiograph:
        return {"ap": self.ap, "lat": self.lat}[view]

    @property
    def patient_id(self) -> str | None:
        """As the first file that names a patient has it."""
        return self.ap.patient_id or self.lat.patient_id

    @property
    def unsure_of_polarity(self) -> tuple[str, ...]:
        """The views whose polarity neither the user nor a tag states."""
        return tuple(view for view in VIEWS if self[view].polarity_from in ("image", "nothing"))


@dataclass(frozen=True)
class FoundCameras:
    """Cameras that were found from what the radiographs show.

    Args:
        geometry: the cameras.
        uncertainty: of the cameras.
        doubts: what speaks against relying on them, each a sentence.
    """

    geometry: BiplanarGeometry
    uncertainty: CameraUncertainty
    doubts: tuple[str, ...] = ()


def read_study(
    ap_image: str | Path,
    lat_image: str | Path,
    calibration: str | Path | Callable[[Mapping[str, Radiograph]], FoundCameras],
    *,
    ap_polarity: Polarity = "unknown",
    lat_polarity: Polarity = "unknown",
) -> BiplanarStudy:
    """Reads two radiographs and their calibration, and checks that they belong together.

    Args:
        ap_image: DICOM, PNG or NIfTI file.
        lat_image: likewise.
        calibration: JSON file, or what finds the cameras from both radiographs by view.
        ap_polarity: "bone_bright" or "bone_dark" overrides what the file says and how the image looks.
        lat_polarity: likewise.

    Raises:
        InputError: if a file cannot be used, the images are the same or given the wrong way round, an image's size or
            spacing contradicts the calibration, or a slot scanner's image has the camera of a cone beam.

    Warns:
        UserWarning: for each doubt: patient or date differ, a view position or orientation does not fit, the
            polarity is unclear.
    """
    radiographs = {
        view: read_radiograph(image, slot_scans=True) for view, image in (("ap", ap_image), ("lat", lat_image))
    }
    _check_distinct(radiographs)
    if callable(calibration):
        found, name = calibration(radiographs), "the films"
        geometry, uncertainty, camera_doubts = found.geometry, found.uncertainty, found.doubts
    else:
        spacings, name = {view: radiographs[view].pixel_spacing_mm for view in VIEWS}, str(calibration)
        geometry, camera_doubts = read_calibration(calibration, image_spacing_mm=spacings), ()
        uncertainty = read_camera_uncertainty(calibration)
    for view in VIEWS:
        device = radiographs[view].slot_scanner
        if device and not geometry[view].source_moves:
            raise refused_slot_scan(radiographs[view].path, device)
        _check_size(radiographs[view], view, geometry, name)
        _check_spacing(radiographs[view], view, geometry, name)
    doubts = [
        *([] if uncertainty is None else [f"{name}: {uncertainty.sentence}"]),
        *camera_doubts,
        *_identity_doubts(radiographs),
        *_position_doubts(radiographs),
        *_orientation_doubts(radiographs, geometry, name),
        *_beam_doubts(geometry, name),
    ]
    for doubt in doubts:
        warnings.warn(doubt, stacklevel=2)
    ap = with_bone_bright(radiographs["ap"], ap_polarity)
    lat = with_bone_bright(radiographs["lat"], lat_polarity)
    return BiplanarStudy(ap, lat, geometry, (*ap.remarks, *lat.remarks, *doubts), uncertainty)


def _check_distinct(radiographs: dict[str, Radiograph]) -> None:
    ap, lat = radiographs["ap"], radiographs["lat"]
    if ap.path.resolve() == lat.path.resolve():
        raise InputError(f"{ap.path}: given as both views, expected two different radiographs")
    if np.array_equal(ap.pixels, lat.pixels):
        raise InputError(f"{ap.path} and {lat.path}: the same image twice, expected an AP and a lateral radiograph")


def _check_size(radiograph: Radiograph, view: str, geometry: BiplanarGeometry, calibration: str) -> None:
    found, expected = radiograph.size_px, geometry[view].size_px
    if found == expected:
        return
    hint = ""
    if found == expected[::-1]:
        hint = "; the image is turned, or size_px is given as [rows, columns]"
    elif found == geometry["lat" if view == "ap" else "ap"].size_px:
        hint = "; it is the size of the other view: are the images given the wrong way round?"
    raise InputError(
        f"{radiograph.path}: {found[0]} columns x {found[1]} rows, but {calibration} states size_px {list(expected)} "
        f"[columns, rows] for the {view} view{hint}"
    )


def _check_spacing(radiograph: Radiograph, view: str, geometry: BiplanarGeometry, calibration: str) -> None:
    if radiograph.pixel_spacing_mm is None:
        return
    found, expected = np.array(radiograph.pixel_spacing_mm), np.array(geometry[view].pixel_spacing_mm)
    if (np.abs(found / expected - 1) > _SPACING_TOLERANCE).any():
        raise InputError(
            f"{radiograph.path}: detector pixel spacing {found.tolist()} mm [du, dv], but {calibration} states "
            f"{expected.tolist()} mm for the {view} view; expected the same within {_SPACING_TOLERANCE:.0%}"
        )


def _identity_doubts(radiographs: dict[str, Radiograph]) -> list[str]:
    doubts = []
    for name, what in (("patient_id", "patient identifiers"), ("study_date", "study dates")):
        ap, lat = getattr(radiographs["ap"], name), getattr(radiographs["lat"], name)
        if ap and lat and ap != lat:
            # The values stay out of the message: it may be logged or shared.
            doubts.append(f"{radiographs['ap'].path} and {radiographs['lat'].path}: the {what} differ")
    return doubts


def _position_doubts(radiographs: dict[str, Radiograph]) -> list[str]:
    """Doubts from the view positions; both the wrong way round is an error."""
    fitting = {"ap": _AP_POSITIONS, "lat": _LATERAL_POSITIONS}
    known = {view: (radiographs[view].view_position or "").upper() for view in VIEWS}
    if known["ap"] in fitting["lat"] and known["lat"] in fitting["ap"]:
        raise InputError(
            f"{radiographs['ap'].path} is tagged {known['ap']} and {radiographs['lat'].path} is tagged {known['lat']}: "
            "the images are given the wrong way round (AP first, lateral second)"
        )
    return [
        f"{radiographs[view].path}: given as the {view} view but tagged {known[view]}"
        for view, other in (("ap", "lat"), ("lat", "ap"))
        if known[view] in fitting[other]
    ]


def _beam_doubts(geometry: BiplanarGeometry, calibration: str) -> list[str]:
    """Cameras whose source does not stand in front of the film: of a slot scan, of its columns."""
    doubts = []
    for view in VIEWS:
        camera = geometry[view]
        last = np.array(camera.size_px) - 1
        beyond = np.maximum(-camera.principal_point_px, camera.principal_point_px - last) * camera.pixel_spacing_mm
        outside_mm = float(beyond[0] if camera.source_moves else beyond.max())
        if outside_mm > 0:
            doubts.append(
                f"{calibration}: the perpendicular from the source of the {view} view meets its plane {outside_mm:.0f} mm "
                "outside the film: well if the film was cut out of a larger one, else the calibration is not that of this film"
            )
    return doubts


def _orientation_doubts(radiographs: dict[str, Radiograph], geometry: BiplanarGeometry, cameras: str) -> list[str]:
    """Doubts where the file's body directions of u and v are not the cameras': the image may be mirrored."""
    doubts = []
    for view in VIEWS:
        for name, letter in zip("uv", radiographs[view].orientation or "", strict=False):
            axis = getattr(geometry[view], f"{name}_axis")
            if axis @ _WORLD_DIRECTIONS[letter] < 0.5:
                doubts.append(
                    f"{radiographs[view].path}: by its tags {name} grows towards {letter}, but {name}_axis of the "
                    f"{view} view is {np.round(axis, 2).tolist()} by {cameras} (X front, Y left, Z up)"
                )
    return doubts
