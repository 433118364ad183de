"""A valid file for every reader of the package, and what of its result must stay."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pydicom
import trimesh
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.io.calibration import read_calibration, write_calibration
from lumbar_ext.io.volume import read_volume
from lumbar_ext.io.weights import read_tensors
from lumbar_ext.landmarks.markups import read_points, write_points
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, read_landmarks, write_landmarks
from lumbar_ext.mesh.files import read_mesh, write_stl
from lumbar_ext.radiographs.cameras.dicom_calibration import provide_calibration
from lumbar_ext.radiographs.dicom_folder import find_radiographs
from lumbar_ext.radiographs.dicom_pairing import pair_radiographs
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.shape.sources.label_map import load_label_map
from tests.radiographs.conftest import _write_dicom
from tests.radiographs.test_formats import write_deep_png

Facts = dict[str, Any]
"""What a reader found, by name; "shape" entries must stay in every result, all entries where a check sum guards them."""

_ROWS, _COLUMNS = 96, 80
PIXELS = (
    np.add.outer(np.sin(np.arange(_ROWS) / 9) * 700, np.cos(np.arange(_COLUMNS) / 7) * 900)
    + np.random.default_rng(0).normal(2000, 20, (_ROWS, _COLUMNS))
).astype(np.uint16)
_TAGS = {
    "PatientID": "P1",
    "PatientName": "Doe^Jane",
    "StudyInstanceUID": "1.2.3.4",
    "SeriesInstanceUID": "1.2.3.5",
    "StudyDate": "20240131",
    "ViewPosition": "AP",
    "ImagerPixelSpacing": [0.4, 0.4],
    "PixelIntensityRelationshipSign": -1,
    "RescaleSlope": 1,
    "RescaleIntercept": 0,
    "PatientOrientation": ["L", "F"],
}
_C_ARM = {
    "PositionerType": "CARM",
    "DistanceSourceToDetector": 1200,
    "DistanceSourceToPatient": 800,
    "PositionerPrimaryAngle": 0,
    "PositionerSecondaryAngle": 0,
}


@dataclass(frozen=True)
class Target:
    """A reader with a valid file.

    Args:
        name: for messages.
        file: name of the file that is damaged.
        make: writes it into a folder, at a path.
        read: what the reader finds in it.
        guarded: whether a check sum covers everything, so that a result without a word must be the undamaged one.
    """

    name: str
    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], Facts]
    guarded: bool = False


def _radiograph(path: Path) -> Facts:
    found = read_radiograph(path)
    return {"shape": found.pixels.shape, "pixels": found.pixels, "finite": bool(np.isfinite(found.pixels).all())}


def _header(path: Path) -> Facts:
    """All that applications ask of headers: which two belong together, and their cameras; then the pixels, which must fit."""
    pair = pair_radiographs(find_radiographs(path.parent))
    with tempfile.TemporaryDirectory() as folder:
        provide_calibration(pair, path.parent, folder)
    return {"shape": read_radiograph(pair.ap.path).size_px}


def _write_pair(path: Path) -> None:
    _write_dicom(path, PIXELS, **_TAGS, **_C_ARM)
    lateral = {"ViewPosition": "LL", "PatientOrientation": ["P", "F"], "PositionerPrimaryAngle": 90}
    _write_dicom(path.with_name("lat.dcm"), PIXELS, **{**_TAGS, **_C_ARM, **lateral})


def _grid(read: Callable[[Path], Any]) -> Callable[[Path], Facts]:
    return lambda path: {"shape": (values := read(path).values).shape, "values": values}


def _mesh(path: Path) -> Facts:
    vertices, triangles = read_mesh(path)
    return {"finite": bool(np.isfinite(vertices).all()), "vertices": vertices, "triangles": triangles}


def _numbers(read: Callable[[Path], Any]) -> Callable[[Path], Facts]:
    def facts(path: Path) -> Facts:
        read(path)
        return {}

    return facts


def _tensors(path: Path) -> Facts:
    return {name: value.numpy() for name, value in read_tensors(path, "weights").items()}


def _compressed(syntax: str, encode: Callable[[np.ndarray], bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        _write_dicom(path, PIXELS, bits_stored=12, **_TAGS)
        data = pydicom.dcmread(path)
        data.PixelData = encapsulate([encode(PIXELS)])
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, enforce_file_format=True)

    return make


def _deflated(path: Path) -> None:
    _write_dicom(path, PIXELS, bits_stored=12, **_TAGS)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    data.save_as(path, enforce_file_format=True)


def _write_labels(path: Path) -> None:
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[2:8, 3:9, 4:10] = 22
    if ".nii" in path.name:
        nibabel.save(nibabel.Nifti1Image(labels, np.diag([-1.0, -1, 1, 1])), path)
    else:
        import itk

        itk.imwrite(itk.image_from_array(labels), str(path), compression="z" in path.stem)


def _write_calibration(path: Path) -> None:
    ap = ConeBeam([1000, 0, 0], [-300, -32, 47], [0, 1, 0], [0, 0, -1], (1.0, 1.5), (64, 63))
    lat = ConeBeam([0, 1000, 0], [30, -300, 47], [-1, 0, 0], [0, 0, -1], (1.2, 1.2), (51, 80))
    write_calibration(BiplanarGeometry(ap, lat), path)


def _write_landmarks(path: Path) -> None:
    rng = np.random.default_rng(0)
    position_mm, *pixels = [rng.normal(size=(5, 7, n)) for n in (3, 2, 2)]
    *confidence, gap_mm = [rng.uniform(0, 1, (5, 7)) for _ in range(3)]
    views = [dict(zip(VIEWS, values, strict=True)) for values in (pixels, confidence)]
    write_landmarks(path, StudyLandmarks(position_mm, *views, gap_mm))


def _write_markups(path: Path) -> None:
    write_points(path, np.random.default_rng(0).normal(size=(5, 7, 3)), np.ones((5, 7)))


def _write_mesh(path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=30)
    if path.name == "binary.stl":
        write_stl(path, ball.vertices, ball.faces)
    else:
        text = trimesh.exchange.stl.export_stl_ascii(ball) if path.suffix == ".stl" else None
        path.write_text(text) if text else ball.export(path)


def _write_weights(path: Path) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    torch.save({"a": torch.rand(40, 30, generator=generator), "b": torch.arange(7)}, path)


_LOSSLESS = {
    "jpeg": (JPEGLosslessSV1, lambda x: imagecodecs.jpeg8_encode(x, lossless=True, bitspersample=12)),
    "jpeg12": ("1.2.840.10008.1.2.4.51", lambda x: imagecodecs.jpeg8_encode(x, level=95, bitspersample=12)),
    "jpeg_ls": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "jpeg2000": (
        JPEG2000Lossless,
        lambda x: imagecodecs.jpeg2k_encode(x, level=0, codecformat="j2k", bitspersample=12),
    ),
}

TARGETS: tuple[Target, ...] = (
    Target("dicom", "a.dcm", lambda p: _write_dicom(p, PIXELS, bits_stored=12, **_TAGS), _radiograph),
    Target("dicom_rle", "a.dcm", lambda p: _write_dicom(p, PIXELS, bits_stored=12, rle=True, **_TAGS), _radiograph),
    Target("dicom_deflated", "a.dcm", _deflated, _radiograph),
    *(Target(f"dicom_{name}", "a.dcm", _compressed(*how), _radiograph) for name, how in _LOSSLESS.items()),
    Target("dicom_header", "ap.dcm", _write_pair, _header),
    Target("png", "a.png", lambda p: write_png(p, PIXELS), _radiograph, guarded=True),
    Target("png_rgb", "a.png", lambda p: write_deep_png(p, np.stack([PIXELS] * 3, -1)), _radiograph, guarded=True),
    Target("nifti", "a.nii", lambda p: write_nifti_image(p, PIXELS, (0.4, 0.4)), _radiograph),
    Target("nifti_gz", "a.nii.gz", lambda p: write_nifti_image(p, PIXELS, (0.4, 0.4)), _radiograph, guarded=True),
    *(
        Target(f"label_{name}", name, _write_labels, _grid(load_label_map), guarded=name.endswith(".gz"))
        for name in ("l.nii.gz", "l.nii", "l.nrrd", "z.nrrd", "l.mha", "z.mha")
    ),
    *(
        Target(f"volume_{name}", name, _write_labels, _grid(read_volume), guarded=name.endswith(".gz"))
        for name in ("v.nii.gz", "v.nrrd", "v.mha")
    ),
    *(
        Target(f"mesh_{name}", name, _write_mesh, _mesh)
        for name in ("binary.stl", "text.stl", "a.ply", "a.obj", "a.off")
    ),
    Target("calibration", "calibration.json", _write_calibration, _numbers(read_calibration)),
    Target("landmarks", "landmarks.json", _write_landmarks, _numbers(read_landmarks)),
    Target("markups", "a.mrk.json", _write_markups, _numbers(read_points)),
    Target("weights", "model.pt", _write_weights, _tensors, guarded=True),
)
