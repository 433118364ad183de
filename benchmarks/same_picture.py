"""How still a reconstruction stands when the same picture comes otherwise: one grey value, other files, another detector.

    python benchmarks/same_picture.py [--study FOLDER] [--only one_grey_value,nifti]

Whole runs of the reconstruction bundle (networks, registration, second look) on variants of a study; prints how far vertices
move against the run on the study as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.geometry import BiplanarGeometry, Camera
from lumbar_ext.io import read_calibration, write_calibration
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.workflow.bundle_workflow import bundle_workflow, run_on
from lumbar_ext.workflow.run_summary import gathered
from lumbar_ext.workflow.second_look import movement_mm

LAW_MM = 0.05
"""The same picture moves vertices by less, on average."""
_FINER = 3


class Reconstructor:
    """The reconstruction bundle as it is shipped, loaded once; no file is written.

    Args:
        overrides: entries of its config, such as looks=0.
    """

    def __init__(self, **overrides: Any) -> None:
        given = {"postprocessing#transforms": [], "max_seconds": None, "output_dir": None, **overrides}
        self.workflow = bundle_workflow(bundle_dir(RECONSTRUCTION), **given)

    def __call__(self, item: dict[str, str]) -> dict[str, Any]:
        """What the stages have gathered of one study: `pred`, `observed` and so on."""
        run_on(self.workflow, {**item, "output_dir": None})
        return gathered(self.workflow.evaluator)


def study_files(folder: Path) -> dict[str, str]:
    """The paths of a study folder, as the bundle's first stage reads them."""
    views = {f"{view}_image": str(folder / f"{view}.png") for view in VIEWS}
    return {**views, "calibration": str(folder / "calibration.json")}


def one_grey_value(study: Path, folder: Path) -> dict[str, str]:
    """Every pixel is one grey value of 65,536 darker or brighter, or as it was."""
    rng = np.random.default_rng(0)
    for view, pixels in _pixels(study).items():
        write_png(folder / f"{view}.png", _grey(pixels.astype(int) + rng.integers(-1, 2, pixels.shape)))
    return study_files(folder) | {"calibration": str(study / "calibration.json")}


def dicom(study: Path, folder: Path) -> dict[str, str]:
    """DX images as an archive holds them."""
    cameras = read_calibration(study / "calibration.json")
    for view, pixels in _pixels(study).items():
        _write_dx(folder / f"{view}.dcm", view, pixels, cameras[view])
    return _files_of_kind(study, folder, "dcm")


def nifti(study: Path, folder: Path) -> dict[str, str]:
    """Compressed NIfTI."""
    cameras = read_calibration(study / "calibration.json")
    for view, pixels in _pixels(study).items():
        write_nifti_image(folder / f"{view}.nii.gz", pixels, cameras[view].pixel_spacing_mm)
    return _files_of_kind(study, folder, "nii.gz")


def pixels_in_nine(study: Path, folder: Path) -> dict[str, str]:
    """Each pixel is nine of a third of its edge and of its own grey value: what a detector saw, written finer."""
    return _finer(study, folder, lambda pixels: pixels.repeat(_FINER, axis=0).repeat(_FINER, axis=1))


def finer_detector(study: Path, folder: Path) -> dict[str, str]:
    """Pixels of a third of their edge, interpolated by cubic convolution: 3072 of 1024."""

    def interpolated(pixels: np.ndarray) -> np.ndarray:
        size = tuple(_FINER * n for n in pixels.shape[::-1])
        return np.asarray(Image.fromarray(pixels.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)).round()

    return _finer(study, folder, interpolated)


VARIANTS: dict[str, Callable[[Path, Path], dict[str, str]]] = {
    own.__name__: own for own in (one_grey_value, dicom, nifti, pixels_in_nine, finer_detector)
}
"""By name, what writes a variant of a study folder into another folder; the paths of its files."""


def main(study: str = "", only: Sequence[str] = tuple(VARIANTS)) -> None:
    """Prints the table.

    Args:
        study: folder with ap.png, lat.png and calibration.json; the bundle's sample by default.
        only: names of `VARIANTS`.
    """
    source = Path(study) if study else bundle_dir(RECONSTRUCTION) / "sample"
    run = Reconstructor()
    before = run(study_files(source))["pred"]
    print(
        f"| vertices move by, mm | mean | {' | '.join(before.levels)} | most |\n|---|---|{'---|' * len(before.levels)}---|"
    )
    for name in (only,) if isinstance(only, str) else only:
        with tempfile.TemporaryDirectory() as folder:
            after = run(VARIANTS[name](source, Path(folder)))["pred"]
        print(_row(name.replace("_", " "), before, after), flush=True)


def _row(name: str, before: RegistrationResult, after: RegistrationResult) -> str:
    own = movement_mm(before, after)
    most = max(
        np.linalg.norm(after.vertebrae[level].vertices_mm - before.vertebrae[level].vertices_mm, axis=1).max()
        for level in own
    )
    cells = [f"{own[level]:.2g}" if level in own else "missing" for level in before.levels]
    return f"| {name} | {np.mean(list(own.values())):.2g} | {' | '.join(cells)} | {most:.2g} |"


def _pixels(study: Path) -> dict[str, np.ndarray]:
    """By view, uint16 [rows, columns]."""
    return {view: np.asarray(Image.open(study / f"{view}.png")).astype(np.uint16) for view in VIEWS}


def _grey(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _files_of_kind(study: Path, folder: Path, kind: str) -> dict[str, str]:
    views = {f"{view}_image": str(folder / f"{view}.{kind}") for view in VIEWS}
    return {**views, "calibration": str(study / "calibration.json")}


def _finer(study: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, str]:
    """The study on a detector of smaller pixels, which covers the same area."""
    cameras = read_calibration(study / "calibration.json")
    for view, pixels in _pixels(study).items():
        write_png(folder / f"{view}.png", _grey(change(pixels)))
    finer = {view: _with_finer_pixels(cameras[view]) for view in VIEWS}
    write_calibration(BiplanarGeometry(**finer), folder / "calibration.json")
    return study_files(folder)


def _with_finer_pixels(camera: Camera) -> Camera:
    """The camera with pixels of a third of the edge; (0, 0) is then the corner one of the former (0, 0)."""
    size = tuple(_FINER * n for n in camera.size_px)
    spacing = tuple(s / _FINER for s in camera.pixel_spacing_mm)
    return camera.resampled(size_px=size, pixel_spacing_mm=spacing, centre_uv_px=camera.centre_px)


def _write_dx(path: Path, view: str, pixels: np.ndarray, camera: Camera) -> None:
    """Writes uint16 pixels as a digital X-ray image."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(entropy_srcs=["same picture"]), generate_uid()
    data.Modality, data.PatientID, data.ViewPosition = "DX", "SIM-1", {"ap": "AP", "lat": "LL"}[view]
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.ImagerPixelSpacing = list(camera.pixel_spacing_mm[::-1])
    data.PixelData = pixels.astype("<u2").tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.save_as(path, enforce_file_format=True)


if __name__ == "__main__":
    import fire

    fire.Fire(main)
