"""Where the calibration of a DICOM study comes from: a file beside the images, else the headers."""

from __future__ import annotations

from pathlib import Path

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io import write_calibration
from lumbar_ext.io.calibration import states_slot_scans
from lumbar_ext.io.dicom_header import refused_slot_scan, slot_scanner
from lumbar_ext.radiographs.cameras.dicom_cameras import calibration_from_tags, missing_for_calibration
from lumbar_ext.radiographs.cameras.dicom_slot_scan import missing_for_slot_scans, slot_scans_from_tags
from lumbar_ext.radiographs.dicom_pairing import RadiographPair

SIDECAR = "calibration.json"


def provide_calibration(pair: RadiographPair, input_path: str | Path, work_folder: str | Path) -> Path:
    """The calibration file of a study: `calibration.json` beside an image or in a folder above it, up to the input
    folder; else one that is written to the work folder from the DICOM headers.

    Args:
        pair: the radiographs.
        input_path: the folder (or file) that the application was given.
        work_folder: an existing folder for a calibration from headers.

    Raises:
        InputError: for several sidecar files, one that is a link out of the folder, if there is no sidecar and the headers
            do not suffice, or for a slot scanner with the calibration of a cone beam.
    """
    devices = {view: slot_scanner(pair[view].header, pair[view].path) for view in VIEWS}
    scanned = [view for view in VIEWS if devices[view]]
    sidecars = _sidecars(pair, Path(input_path))
    if len(sidecars) > 1:
        raise InputError(f"{len(sidecars)} calibrations ({', '.join(map(str, sidecars))}), expected one of the study")
    if sidecars:
        if scanned and not states_slot_scans(sidecars[0]):
            raise refused_slot_scan(pair[scanned[0]].path, devices[scanned[0]])
        return sidecars[0]
    path = Path(work_folder) / SIDECAR
    if scanned:
        lacks = missing_for_slot_scans(pair)
        if lacks:
            more = f", and the headers do not suffice for one ({'; '.join(lacks)})"
            raise refused_slot_scan(pair[scanned[0]].path, devices[scanned[0]], more)
        write_calibration(slot_scans_from_tags(pair), path)
        return path
    lacks = {pair[view].path: missing_for_calibration(pair[view]) for view in VIEWS}
    if any(lacks.values()):
        said = "; ".join(f"{path.name} lacks {', '.join(names)}" for path, names in lacks.items() if names)
        raise InputError(
            f"{input_path}: no calibration: expected {SIDECAR} beside the images, or DICOM headers of an isocentric "
            f"system ({said})"
        )
    write_calibration(calibration_from_tags(pair), path)
    return path


def _sidecars(pair: RadiographPair, input_path: Path) -> list[Path]:
    """The calibration file nearest to each image, in its folder or those above it up to the input folder."""
    root = (input_path if input_path.is_dir() else input_path.parent).resolve()
    nearest = (_nearest_sidecar(pair[view].path.resolve().parent, root) for view in VIEWS)
    return list(dict.fromkeys(path for path in nearest if path))


def _nearest_sidecar(folder: Path, root: Path) -> Path | None:
    for candidate in (folder, *folder.parents):
        sidecar = candidate / SIDECAR
        if sidecar.is_file():
            if not sidecar.resolve().is_relative_to(root):
                raise InputError(f"{sidecar}: a link that leads out of {root}")
            return sidecar
        if candidate == root:
            return None
    return None
