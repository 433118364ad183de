"""Measurements, meshes and overlays of a reconstruction as DICOM objects beside the radiographs they came from.

    python -m lumbar_ext.report.dicom.export --reconstruction_dir out --ap_image ap.dcm --lat_image lat.dcm --dicom_dir out/dicom

Writes `measurements.dcm`, a Comprehensive 3D SR after template TID 1500, `L1.dcm` to `L5.dcm`, Encapsulated STL, and
`overlay_ap.dcm` and `overlay_lat.dcm`, Secondary Captures. All belong to the study of the radiographs, so these must be
DICOM files. The Deploy application writes the same objects. Needs the extra `[dicom]` (highdicom).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.io.input_file import MAX_RADIOGRAPH_BYTES, require_file
from lumbar_ext.radiographs.dicom_header import is_dicom, read_dataset
from lumbar_ext.report.dicom.encapsulated_stl import encapsulated_meshes
from lumbar_ext.report.dicom.secondary_capture import overlay_captures
from lumbar_ext.report.dicom.structured_report import measurement_report

Encode = Callable[[Path, Mapping[str, Dataset]], dict[str, Dataset]]
"""From a reconstruction's folder and the headers of its radiographs by view, to DICOM objects by file name (no suffix)."""

ENCODERS: dict[str, Encode] = {
    "measurements": measurement_report,
    "meshes": encapsulated_meshes,
    "overlays": overlay_captures,
}


def write_dicom(reconstruction_dir: str, ap_image: str, lat_image: str, dicom_dir: str) -> None:
    """Writes all DICOM objects of a reconstruction, or none.

    Args:
        reconstruction_dir: the output folder of a reconstruction.
        ap_image, lat_image: the radiographs it was made from.
        dicom_dir: folder to fill.

    Raises:
        InputError: if the folder holds no reconstruction, a radiograph is no DICOM file, or nothing can be written.
    """
    radiographs = {"ap": _read_header(ap_image), "lat": _read_header(lat_image)}
    if radiographs["ap"].StudyInstanceUID != radiographs["lat"].StudyInstanceUID:
        raise InputError(f"{ap_image} and {lat_image}: of different DICOM studies, expected one")
    folder = Path(reconstruction_dir)
    objects = [encode(folder, radiographs) for encode in ENCODERS.values()]
    write_objects({name: dataset for made in objects for name, dataset in made.items()}, dicom_dir)


def write_objects(objects: Mapping[str, Dataset], dicom_dir: str | Path) -> list[Path]:
    """Writes DICOM objects, all or none.

    Args:
        objects: by file name without suffix.
        dicom_dir: folder to fill, made if absent.

    Returns:
        The files.

    Raises:
        InputError: if they cannot be written.
    """
    with staged_output(dicom_dir) as staging:
        try:
            for name, dataset in objects.items():
                dataset.save_as(staging / f"{name}.dcm", enforce_file_format=True)
        except OSError as error:
            raise InputError(f"{dicom_dir}: cannot be written to ({error.strerror or error})") from error
    return [Path(dicom_dir) / f"{name}.dcm" for name in objects]


def _read_header(path: str) -> Dataset:
    if not is_dicom(require_file(path, "a DICOM radiograph", MAX_RADIOGRAPH_BYTES)):
        raise InputError(f"{path}: cannot be read as DICOM; results join the study of a DICOM radiograph")
    return read_dataset(path, with_pixels=False)


if __name__ == "__main__":
    import fire

    fire.Fire(write_dicom)
