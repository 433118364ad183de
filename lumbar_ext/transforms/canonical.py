"""Any radiograph brought to the grid and orientation that the network was trained on, and back.

Canonical orientation: AP u ~ +Y (the person's left on the right of the image), LAT u ~ -X (the person's front on the
left); v ~ -Z (down) in both. The grid is 512 x 512 px of 0.834 mm on the detector, centred on the image. Pixels that
the radiograph does not cover get a low value of its border (its 1st percentile), which looks like a collimated or
unexposed margin.

Which side the source stands on cannot be changed by turning the image. Mirroring the whole scene - person, source,
detector - at the person's sagittal plane (y -> -y) leaves every lateral image as it is, for the canonical u and v axes
have no y component. So a lateral image taken with the source on the person's right is, to the pixel, an image of the
mirrored person taken with the source on the left, which is what the network knows. It then names the mirrored person's
left side, which is the true right: `swap_left_right` says that the left and right landmarks of this view must be
exchanged. In the AP view left is where u grows, wherever the source is; nothing is ever swapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.geometry.camera import Camera
from lumbar_ext.transforms.resampling import GridMapping, inside, resample

NETWORK_SIZE_PX = 512  # of the paper's images
NETWORK_SPACING_MM = 0.834  # on the detector, the paper's
# world directions of u and v: head up; AP seen from the front, lateral facing left
_CANONICAL_AXES = {"ap": ((0, 1, 0), (0, 0, -1)), "lat": ((-1, 0, 0), (0, 0, -1))}
_SAME_GRID_TOLERANCE_PX = 1e-6  # rounding: within it nothing is resampled
_BORDER_PERCENTILE = 1.0  # of the border's pixels, what the grid shows beyond the film


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay an image: transposed first, then mirrored along u, then along v."""

    transpose: bool
    flip_u: bool
    flip_v: bool

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """The image [v, u] laid this way; a view of the same memory."""
        image = image.T if self.transpose else image
        image = image[:, ::-1] if self.flip_u else image
        return image[::-1] if self.flip_v else image

    def undo_image(self, image: np.ndarray) -> np.ndarray:
        """The inverse of `apply_image`: the laid image as it was stored."""
        image = image[::-1] if self.flip_v else image
        image = image[:, ::-1] if self.flip_u else image
        return image.T if self.transpose else image

    def apply_camera(self, camera: Camera) -> Camera:
        """The camera of the image laid this way."""
        camera = camera.transposed() if self.transpose else camera
        camera = camera.flipped_u() if self.flip_u else camera
        return camera.flipped_v() if self.flip_v else camera

    def apply_px(self, uv_px: np.ndarray, laid_size_px: tuple[int, int]) -> np.ndarray:
        """Pixel coordinates [..., 2] in the laid image of those in the image; the laid image has `laid_size_px`."""
        uv = np.asarray(uv_px, dtype=np.float64)
        return self._mirror(uv[..., ::-1] if self.transpose else uv, laid_size_px)

    def undo_px(self, uv_px: np.ndarray, laid_size_px: tuple[int, int]) -> np.ndarray:
        """The inverse of `apply_px`: (u, v) [..., 2] of a laid image of this size, in the stored one."""
        uv = self._mirror(np.asarray(uv_px, dtype=np.float64), laid_size_px)
        return uv[..., ::-1] if self.transpose else uv

    def _mirror(self, uv: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
        flips = np.array([self.flip_u, self.flip_v])
        return np.where(flips, np.array(size_px) - 1 - uv, uv)


@dataclass(frozen=True)
class CanonicalView:
    """A radiograph on the network grid, and the way between its pixels and those of the original.

    Args:
        view: "ap" or "lat".
        pixels: float32 [size, size].
        inside: bool [size, size], True where the radiograph covers the pixel.
        camera: the camera of `pixels`.
        swap_left_right: whether the left and right landmarks that a network finds in `pixels` must be exchanged.
        orientation: how the original was laid.
        laid_size_px: (columns, rows) of the laid original.
        laid_from_canonical: places the canonical pixels in the laid original.
    """

    view: str
    pixels: np.ndarray
    inside: np.ndarray
    camera: Camera
    swap_left_right: bool
    orientation: Orientation
    laid_size_px: tuple[int, int]
    laid_from_canonical: GridMapping

    def to_original_px(self, uv_px: np.ndarray) -> np.ndarray:
        """Original pixel coordinates [..., 2] of canonical ones."""
        laid = np.asarray(uv_px, dtype=np.float64) * self.laid_from_canonical.scale + self.laid_from_canonical.offset
        return self.orientation.undo_px(laid, self.laid_size_px)

    def to_canonical_px(self, uv_px: np.ndarray) -> np.ndarray:
        """Canonical pixel coordinates [..., 2] of original ones."""
        laid = self.orientation.apply_px(uv_px, self.laid_size_px)
        return (laid - self.laid_from_canonical.offset) / self.laid_from_canonical.scale

    def to_original_image(self, image: np.ndarray, outside: float = 0.0) -> np.ndarray:
        """An image on the network grid, such as a decomposition, read on the original's grid.

        Args:
            image: [size, size] on the grid of `pixels`.
            outside: the value of original pixels beyond the network grid.

        Returns:
            float32 [rows, columns] of the original.
        """
        laid = _resample(image, self.laid_from_canonical.inverse(), self.laid_size_px, outside)
        return np.ascontiguousarray(self.orientation.undo_image(laid))


def to_network_grid(
    pixels: np.ndarray,
    camera: Camera,
    view: str,
    *,
    size_px: int | tuple[int, int] = NETWORK_SIZE_PX,
    spacing_mm: float = NETWORK_SPACING_MM,
    centre_px: np.ndarray | None = None,
) -> CanonicalView:
    """Brings a radiograph to the network's grid and orientation.

    Args:
        pixels: [rows, columns], bone bright.
        camera: its camera.
        view: "ap" or "lat".
        size_px: (columns, rows) of the target, or one number for both.
        spacing_mm: pixel spacing of the target on the detector of a cone beam; see `Camera.grid_spacing_mm` for others.
        centre_px: (u, v) of the radiograph that becomes the target's centre; its own centre if omitted.

    Raises:
        InputError: if `view` is unknown, or `pixels` does not have the camera's size.
    """
    if view not in _CANONICAL_AXES:
        raise InputError(f"view must be one of {sorted(_CANONICAL_AXES)}, found {view!r}")
    if pixels.shape != camera.size_px[::-1]:
        raise InputError(
            f"pixels have the shape {pixels.shape}, expected {camera.size_px[::-1]} [rows, columns] of the camera"
        )
    orientation = canonical_orientation(camera, view)
    laid_camera = orientation.apply_camera(camera)
    target_size = (size_px, size_px) if isinstance(size_px, int) else (int(size_px[0]), int(size_px[1]))
    centre = laid_camera.centre_px if centre_px is None else orientation.apply_px(centre_px, laid_camera.size_px)
    target_spacing_mm = laid_camera.grid_spacing_mm(spacing_mm)
    mapping = _centred_mapping(laid_camera, centre, target_size, target_spacing_mm)
    return CanonicalView(
        view=view,
        pixels=_resample(orientation.apply_image(pixels), mapping, target_size, _border_value(pixels)),
        inside=inside(mapping, target_size, laid_camera.size_px),
        camera=laid_camera.resampled(size_px=target_size, pixel_spacing_mm=target_spacing_mm, centre_uv_px=centre),
        swap_left_right=view == "lat" and source_on_right(camera),
        orientation=orientation,
        laid_size_px=laid_camera.size_px,
        laid_from_canonical=mapping,
    )


def canonical_orientation(camera: Camera, view: str) -> Orientation:
    """The one of the eight orientations whose u and v axes are closest to the canonical ones."""
    u_target, v_target = (np.array(axis) for axis in _CANONICAL_AXES[view])

    def closeness(orientation: Orientation) -> float:
        u_axis, v_axis = camera.u_axis, camera.v_axis
        if orientation.transpose:
            u_axis, v_axis = v_axis, u_axis
        u_axis, v_axis = -u_axis if orientation.flip_u else u_axis, -v_axis if orientation.flip_v else v_axis
        return float(u_axis @ u_target + v_axis @ v_target)

    return max((Orientation(*flags) for flags in product((False, True), repeat=3)), key=closeness)


def source_on_right(camera: Camera) -> bool:
    """Whether the beam comes from the person's right, that is runs towards +Y."""
    return bool(camera.central_direction[1] > 0)


def size_on_grid(camera: Camera, view: str, spacing_mm: float = NETWORK_SPACING_MM) -> tuple[int, int]:
    """(columns, rows) of the grid of that spacing, in canonical orientation, that covers a whole radiograph."""
    laid = canonical_orientation(camera, view).apply_camera(camera)
    extent = np.array(laid.size_px) * laid.pixel_spacing_mm / laid.grid_spacing_mm(spacing_mm)
    columns, rows = np.ceil(extent - _SAME_GRID_TOLERANCE_PX * extent).astype(int)
    return int(columns), int(rows)


def _centred_mapping(
    camera: Camera, centre_px: np.ndarray, size_px: tuple[int, int], spacing_mm: tuple[float, float]
) -> GridMapping:
    scale = np.array(spacing_mm) / camera.pixel_spacing_mm
    offset = np.asarray(centre_px, float) - scale * (np.array(size_px) - 1) / 2
    return GridMapping(tuple(scale.tolist()), tuple(offset.tolist()))


def _resample(image: np.ndarray, mapping: GridMapping, size_px: tuple[int, int], outside: float) -> np.ndarray:
    """`resample`, without arithmetic where both grids are the same."""
    drift = np.abs([*mapping.offset, *((np.array(mapping.scale) - 1) * size_px)]).max()
    if image.shape == size_px[::-1] and drift < _SAME_GRID_TOLERANCE_PX:
        return np.array(image, dtype=np.float32)
    return resample(image, mapping, size_px, outside)


def _border_value(pixels: np.ndarray) -> float:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return float(np.percentile(border, _BORDER_PERCENTILE))
