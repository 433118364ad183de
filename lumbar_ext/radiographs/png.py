"""PNG files: 8- or 16-bit grey images without a scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.radiographs.channels import grey_from_channels
from lumbar_ext.radiographs.radiograph import Radiograph

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY_COLOUR_TYPE = 0


def decode_png(path: Path) -> Radiograph:
    """Reads a PNG file of any bit depth whose colour channels, if any, are equal.

    The physical-size chunk (pHYs) is ignored: it holds the print resolution, not the spacing of a detector.

    Raises:
        InputError: if the file is damaged or holds a colour image.
    """
    with path.open("rb") as stream:
        header = stream.read(26)
    if len(header) < 26:
        raise InputError(f"{path}: a damaged PNG file of {len(header)} bytes")
    bit_depth, colour_type = header[24], header[25]
    if bit_depth == 16 and colour_type != _GREY_COLOUR_TYPE:
        samples = _decode_deep_colour(path)
    else:
        samples = _decode_with_pillow(path)
    pixels = grey_from_channels(path, samples).astype(np.float32)
    return Radiograph(pixels, path, bit_depth=bit_depth)


def write_png(path: str | Path, pixels: np.ndarray) -> None:
    """Writes a grey image atomically, as 8 bits for uint8 pixels and as 16 bits for uint16.

    Args:
        path: the file to write.
        pixels: [rows, columns], uint8 or uint16.

    Raises:
        InputError: for another shape or type.
    """
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path}: expected uint8 or uint16 pixels [rows, columns], found {pixels.dtype} {pixels.shape}"
        )
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG")


def _decode_with_pillow(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode == "P":
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            elif image.mode == "1":
                image = image.convert("L")
            samples = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: a damaged PNG file ({error})") from error
    return samples[..., None] if samples.ndim == 2 else samples


def _decode_deep_colour(path: Path) -> np.ndarray:
    """Samples [rows, columns, channels] of 16-bit RGB or alpha images, which Pillow would cut down to 8 bits."""
    import itk

    reader = itk.ImageFileReader[itk.VectorImage[itk.US, 2]].New()
    reader.SetImageIO(itk.PNGImageIO.New())
    reader.SetFileName(str(path))
    try:
        reader.Update()
    except RuntimeError as error:
        raise InputError(f"{path}: a damaged PNG file ({str(error).splitlines()[-1]})") from error
    return itk.array_from_image(reader.GetOutput())
