"""One radiograph: its pixels, and what is known about its scale and polarity."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.polarity import detect_inverted

PIXEL_SPACING_RANGE_MM = (0.01, 10.0)
"""Of a radiograph: detectors have pixels of 0.05 to 0.4 mm, pictures that were made smaller some times that."""

Polarity = Literal["bone_bright", "bone_dark", "unknown"]
PolaritySource = Literal["user", "tags", "image", "nothing"]


@dataclass(frozen=True)
class Radiograph:
    """One radiograph.

    Args:
        pixels: float32 [rows, columns], larger is brighter.
        path: the file it was read from.
        bit_depth: bits a pixel that the file stores.
        pixel_spacing_mm: (du, dv) on the detector, or None if the file does not say.
        polarity: whether bone is bright in `pixels`; "unknown" if the file does not say.
        polarity_from: what `polarity` rests on: the user's word, the file's tags, the image's looks, or nothing.
        patient_id: DICOM patient identifier, or None.
        study_date: DICOM study date YYYYMMDD, or None.
        view_position: DICOM view position, or None.
        orientation: body directions in which u and v grow, as letters of A, P, L, R, H, F (DICOM), or None.
        padding: [rows, columns] where the file has padding instead of an image, or None. `pixels` are neutral there.
        remarks: doubts about the image, each a sentence for the user.
        slot_scanner: the slot scanner that made it by its DICOM header, or None.

    Raises:
        InputError: if `pixels` is not 2D, holds a value that is not finite, or is constant, or for a spacing that none has.
    """

    pixels: np.ndarray
    path: Path
    bit_depth: int
    pixel_spacing_mm: tuple[float, float] | None = None
    polarity: Polarity = "unknown"
    polarity_from: PolaritySource = "nothing"
    patient_id: str | None = None
    study_date: str | None = None
    view_position: str | None = None
    orientation: tuple[str, str] | None = None
    padding: np.ndarray | None = None
    remarks: tuple[str, ...] = ()
    slot_scanner: str | None = None

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.ndim != 2 or min(pixels.shape) < 2:
            raise InputError(
                f"{self.path}: an image of shape {pixels.shape}, expected [rows, columns] of at least 2 x 2"
            )
        bad = int(np.count_nonzero(~np.isfinite(pixels)))
        if bad:
            raise InputError(f"{self.path}: {bad} of {pixels.size} pixels are NaN or infinite, expected finite numbers")
        if pixels.min() == pixels.max():
            raise InputError(f"{self.path}: every pixel has the value {pixels.flat[0]:g}, expected a radiograph")
        low, high = PIXEL_SPACING_RANGE_MM
        if any(not low <= own <= high for own in self.pixel_spacing_mm or ()):
            stated = " x ".join(f"{own:g}" for own in self.pixel_spacing_mm)
            raise InputError(f"{self.path}: states pixels of {stated} mm, expected {low:g} to {high:g} mm")

    @property
    def size_px(self) -> tuple[int, int]:
        """(columns, rows) of the pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def with_bone_bright(radiograph: Radiograph, polarity: Polarity = "unknown") -> Radiograph:
    """The radiograph with bone bright, inverted about the middle of its value range if bone was dark; padding is dark,
    as blades of a collimator are.

    `polarity`, if given, is the user's word and decides. Else the file's tags decide; where they say nothing, the image
    itself does (`detect_inverted`), and an unclear image is left as it is.

    Warns:
        UserWarning: if the image clearly contradicts the tags that are followed, or is unclear and has no tags.
    """
    if polarity != "unknown":
        believed, basis, doubt = polarity, "user", None
    elif radiograph.polarity != "unknown":
        believed, basis, doubt = radiograph.polarity, radiograph.polarity_from, _contradiction(radiograph)
    else:
        believed, basis, doubt = _polarity_by_looks(radiograph)
    if doubt:
        warnings.warn(doubt, stacklevel=2)
    pixels = radiograph.pixels
    if believed == "bone_dark":
        pixels = pixels.min() + pixels.max() - pixels
    if radiograph.padding is not None:
        pixels = np.where(radiograph.padding, pixels.min(), pixels)
    remarks = (*radiograph.remarks, doubt) if doubt else radiograph.remarks
    return dataclasses.replace(radiograph, pixels=pixels, polarity="bone_bright", polarity_from=basis, remarks=remarks)


def _contradiction(radiograph: Radiograph) -> str | None:
    """A doubt if the image clearly looks other than its tags say."""
    seen = detect_inverted(radiograph.pixels)
    looks = "bone_dark" if seen.inverted else "bone_bright"
    if not seen.clear or looks == radiograph.polarity:
        return None
    return (
        f"{radiograph.path}: tagged {radiograph.polarity} but looks {looks} (margin {seen.margin:.2f}); "
        "the tags are followed"
    )


def _polarity_by_looks(radiograph: Radiograph) -> tuple[Polarity, PolaritySource, str | None]:
    """The polarity that the image shows; taken as bone bright, with a doubt, where it is unclear."""
    seen = detect_inverted(radiograph.pixels)
    if seen.clear:
        return "bone_dark" if seen.inverted else "bone_bright", "image", None
    doubt = f"{radiograph.path}: cannot tell whether bone is bright or dark (margin {seen.margin:.2f}); taken as bright"
    return "bone_bright", "nothing", doubt
