"""NIfTI files with one 2D image: array order [u, v, 1] on disk, [v, u] in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.io.input_file import MAX_PIXELS, require_image_size
from lumbar_ext.io.nifti_file import NiftiImage, read_nifti
from lumbar_ext.radiographs.channels import grey_from_channels
from lumbar_ext.radiographs.radiograph import Radiograph

_SPACING_TOLERANCE = 0.01  # relative: headers and calibrations are rounded
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))
"""Body directions in which the axes of LPS grow and fall, as DICOM's letters."""


@dataclass(frozen=True)
class Laying:
    """What turns the array of a NIfTI file into an image as viewers show it: rows from the top, columns to the right.

    Args:
        reversed_u: whether columns are stored from the right.
        reversed_v: whether rows are stored from the bottom.
        orientation: body directions in which u and v grow in the laid image, None where the header does not tell.
        remarks: what was done or is in doubt, each a sentence with the file's name.
    """

    reversed_u: bool = False
    reversed_v: bool = False
    orientation: tuple[str, str] | None = None
    remarks: tuple[str, ...] = ()


def decode_nifti(path: Path) -> Radiograph:
    """Reads a NIfTI file that holds one 2D image; the spacing comes from its header, unless that holds only defaults.

    An image whose affine says that its rows run upward is laid so (`how_laid`).

    Raises:
        InputError: if the file is damaged, holds a volume, or a colour image.
    """
    image, pixels, laying, spacing_mm = _read_plane(path)
    # Converters that know no spacing leave the header's defaults: 1 x 1 without a unit.
    stated = spacing_mm != (1.0, 1.0) or image.unit_known
    return Radiograph(
        pixels,
        path,
        image.bits,
        pixel_spacing_mm=spacing_mm if stated else None,
        orientation=laying.orientation,
        remarks=(*image.remarks, *laying.remarks),
    )


def how_laid(path: str | Path, image: NiftiImage) -> Laying:
    """How a file's affine lays its image.

    In the plane of left and posterior, where converters put a radiograph of which they know no position, viewers show
    left to the right and posterior downward. In planes that hold the body's long axis, rows run to the feet, and columns
    as they are stored, for they may show the person from either side. No affine, and the one that writers fill in for
    want of another (positive diagonal, origin 0), say nothing: such files are taken as they are stored.

    Raises:
        InputError: if rows run sideways or the image is oblique.
    """
    affine = image.ras_from_voxel_mm
    if affine is None:
        return Laying()
    axes = np.diag([-1.0, -1.0, 1.0]) @ affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    along_u, along_v = np.abs(axes).argmax(axis=0)
    if np.allclose(axes, [[-1, 0], [0, -1], [0, 0]], atol=1e-6) and not affine[:3, 3].any():
        return Laying(
            remarks=(
                f"{path}: its affine is a writer's default and says nothing of how rows run; taken as stored, first row "
                "at the top",
            )
        )
    if (along_u, along_v) not in ((0, 1), (0, 2), (1, 2)):
        raise InputError(
            f"{path}: by its affine columns grow along {axes[:, 0].round(2).tolist()} and rows along "
            f"{axes[:, 1].round(2).tolist()} (left, posterior, superior); expected an image whose rows run downward"
        )
    grows_u, grows_v = axes[along_u, 0] > 0, axes[along_v, 1] > 0
    if along_v == 1:
        return _laying(path, not grows_u, not grows_v, None)
    return _laying(path, False, grows_v, (_LETTERS[along_u][0 if grows_u else 1], "F"))


def _laying(path: str | Path, reversed_u: bool, reversed_v: bool, orientation: tuple[str, str] | None) -> Laying:
    turned = " and ".join(
        name for name, done in (("rows run upward", reversed_v), ("columns run leftward", reversed_u)) if done
    )
    remarks = (f"{path}: by its affine, {turned}; it is laid so",) if turned else ()
    return Laying(bool(reversed_u), bool(reversed_v), orientation, remarks)


def write_nifti_image(
    path: str | Path,
    pixels: np.ndarray,
    pixel_spacing_mm: tuple[float, float],
    origin_mm: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Writes a 2D image atomically, as an array [u, v, 1] with its spacing in the header.

    The header's directions are those ITK calls identity, so that viewers show u to the right and v down.

    Args:
        path: a file name ending in .nii or .nii.gz.
        pixels: [v, u], any real type.
        pixel_spacing_mm: (du, dv).
        origin_mm: where the first pixel's centre lies, (u, v) in the plane of a film whose own first pixel is at 0; for parts
            of it, such as a crop.

    Raises:
        InputError: for a wrong shape or file name.
    """
    import nibabel

    pixels = np.asarray(pixels)
    if pixels.ndim != 2:
        raise InputError(f"{path}: expected pixels [v, u], found the shape {pixels.shape}")
    if not str(path).endswith((".nii", ".nii.gz")):
        raise InputError(f"{path}: a NIfTI file name must end in .nii or .nii.gz")
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    du, dv = pixel_spacing_mm
    affine = np.diag([-du, -dv, 1.0, 1.0])
    affine[:2, 3] = -np.asarray(origin_mm)
    image = nibabel.Nifti1Image(np.ascontiguousarray(pixels.T)[..., None], affine)
    image.header.set_xyzt_units(xyz="mm")
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)


def read_nifti_image(path: str | Path) -> tuple[np.ndarray, tuple[float, float]]:
    """Reads what `write_nifti_image` wrote: pixels float32 [v, u] and the spacing (du, dv) in mm.

    Raises:
        InputError: if the file is missing, damaged, or holds a volume.
    """
    _, pixels, _, spacing_mm = _read_plane(Path(path))
    return pixels, spacing_mm


def read_nifti_origin(path: str | Path) -> tuple[float, float]:
    """The `origin_mm` that `write_nifti_image` wrote.

    Raises:
        InputError: if the file is missing or damaged, or says nothing of where it lies.
    """
    affine = read_nifti(Path(path), MAX_PIXELS).ras_from_voxel_mm
    if affine is None:
        raise InputError(f"{path}: no affine, expected one that says where the image lies on its film")
    u, v = -affine[:2, 3]
    return float(u), float(v)


def _read_plane(path: Path) -> tuple[NiftiImage, np.ndarray, Laying, tuple[float, float]]:
    """The file, its pixels float32 [v, u] as laid, how, and the spacing (du, dv) in mm."""
    image = read_nifti(path, MAX_PIXELS)
    pixels, laying = _image_plane(path, image.values), how_laid(path, image)
    pixels = pixels[:: -1 if laying.reversed_v else 1, :: -1 if laying.reversed_u else 1]
    return image, np.ascontiguousarray(pixels), laying, _spacing_mm(path, image)


def _image_plane(path: Path, array: np.ndarray) -> np.ndarray:
    """float32 [v, u] of an array [u, v, 1, ...]."""
    if array.ndim < 2 or any(n != 1 for n in array.shape[2:]):
        raise InputError(f"{path}: an image of shape {array.shape}, expected one 2D image or one slice")
    require_image_size(path, *array.shape[:2])
    plane = array.reshape(array.shape[:2])
    if plane.dtype.names:
        samples = np.stack([plane[name] for name in plane.dtype.names], axis=-1)
        plane = grey_from_channels(path, samples)
    return np.ascontiguousarray(plane.T, dtype=np.float32)


def _spacing_mm(path: Path, image: NiftiImage) -> tuple[float, float]:
    """(du, dv) in mm; a header without a unit is taken to mean mm."""
    # Headers store single precision; seven digits undo the rounding of a spacing such as 0.139 mm.
    du, dv = (float(f"{zoom:.7g}") for zoom in image.zooms_mm[:2])
    if not (0 < du < np.inf and 0 < dv < np.inf):
        raise InputError(f"{path}: pixel spacing {du} x {dv} mm in the header, expected two positive numbers")
    if image.ras_from_voxel_mm is not None:
        steps = np.linalg.norm(image.ras_from_voxel_mm[:3, :2], axis=0)
        if (np.abs(steps / (du, dv) - 1) > _SPACING_TOLERANCE).any():
            raise InputError(
                f"{path}: pixel spacing {du} x {dv} mm in the header, but {steps[0]:.6g} x {steps[1]:.6g} mm by its affine"
            )
    return du, dv
