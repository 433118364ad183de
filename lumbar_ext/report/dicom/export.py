"""Measurements, meshes and overlays of a reconstruction as DICOM objects beside the radiographs they came from.

    lumbar-ext dicom out ap.dcm lat.dcm out/dicom

Writes `measurements.dcm`, a Comprehensive 3D SR after template TID 1500, `L1.dcm` to `L5.dcm`, Encapsulated STL,
`overlay_ap.dcm` and `overlay_lat.dcm`, Secondary Captures, and `report.dcm`, the Encapsulated PDF of a `report.pdf`. All belong
to the study of the radiographs, so these must be DICOM files. The Deploy application writes the same objects. Needs the
extra `[dicom]` (highdicom).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import refuse_to_replace, staged_output
from lumbar_ext.io.dicom_header import is_dicom, read_dataset
from lumbar_ext.io.input_file import MAX_RADIOGRAPH_BYTES, require_file
from lumbar_ext.report.dicom.encapsulated_pdf import encapsulated_report
from lumbar_ext.report.dicom.encapsulated_stl import encapsulated_meshes
from lumbar_ext.report.dicom.ownership import check_ownership
from lumbar_ext.report.dicom.secondary_capture import overlay_captures
from lumbar_ext.report.dicom.structured_report import measurement_report

Encode = Callable[[Path, Mapping[str, Dataset]], dict[str, Dataset]]
"""From a reconstruction's folder and the headers of its radiographs by view, to DICOM objects by file name (no suffix)."""

ENCODERS: dict[str, Encode] = {
    "measurements": measurement_report,
    "meshes": encapsulated_meshes,
    "overlays": overlay_captures,
    "report": encapsulated_report,
}


_FILES = ("measurements.dcm", "report.dcm", "overlay_ap.dcm", "overlay_lat.dcm", *(f"{level}.dcm" for level in LEVELS))


def write_dicom(reconstruction_dir: str, ap_image: str, lat_image: str, dicom_dir: str) -> None:
    """Writes all DICOM objects of a reconstruction, or none.

    Args:
        reconstruction_dir: the output folder of a reconstruction.
        ap_image: the AP radiograph it was made from, a DICOM file.
        lat_image: the lateral one.
        dicom_dir: folder to fill.

    Raises:
        InputError: if the folder holds no reconstruction, a radiograph is no DICOM file or not the one it was made from,
            the two are of different patients or studies, an object would take a radiograph's place, or nothing can be written.
    """
    files = {"ap": Path(ap_image), "lat": Path(lat_image)}
    radiographs = {view: _read_header(path) for view, path in files.items()}
    folder = Path(reconstruction_dir)
    check_ownership(folder, files, radiographs)
    refuse_to_replace(files.values(), dicom_dir, _FILES)
    objects = [encode(folder, radiographs) for encode in ENCODERS.values()]
    write_objects({name: dataset for made in objects for name, dataset in made.items()}, dicom_dir, _FILES)


def write_objects(objects: Mapping[str, Dataset], dicom_dir: str | Path, owned: Sequence[str] = ()) -> list[Path]:
    """Writes DICOM objects, all or none.

    Args:
        objects: by file name without suffix.
        dicom_dir: folder to fill, made if absent.
        owned: names of files that such a set may hold: older ones do not outlive it.

    Returns:
        The files.

    Raises:
        InputError: if they cannot be written.
    """
    with staged_output(dicom_dir, owned) as staging:
        try:
            for name, dataset in objects.items():
                dataset.save_as(staging / f"{name}.dcm", enforce_file_format=True)
        except OSError as error:
            raise InputError(f"{dicom_dir}: cannot be written to ({error.strerror or error})") from error
    return [Path(dicom_dir) / f"{name}.dcm" for name in objects]


def _read_header(path: Path) -> Dataset:
    if not is_dicom(require_file(path, "a DICOM radiograph", MAX_RADIOGRAPH_BYTES)):
        raise InputError(f"{path}: cannot be read as DICOM; results join the study of a DICOM radiograph")
    return read_dataset(path, with_pixels=False)
