"""Random change of place: rotation, scale, shift, crop and (AP only) mirror in ONE resampling of image and label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP
from lumbar_ext.geometry.camera import Camera

_SIDES = np.array([1.0, -1.0, 1.0])  # left and right exchanged


@dataclass(frozen=True)
class PlanarWarp:
    """An affine map of the image plane: `source_px = matrix @ output_px + offset_px`; size (rows, columns)."""

    matrix: np.ndarray
    offset_px: np.ndarray
    size_px: tuple[int, int]

    def apply_to_points(self, source_uv_px: np.ndarray) -> np.ndarray:
        """Positions [..., 2] (u, v) of source pixels in the output image."""
        return (np.asarray(source_uv_px, float) - self.offset_px) @ np.linalg.inv(self.matrix).T

    def apply_to_images(self, source: Tensor) -> Tensor:
        """Bilinear resampling of [C, H, W]; zero outside the source."""
        rows, columns = self.size_px
        height, width = source.shape[-2:]
        # grid_sample's own coordinates: -1 and 1 are the outer borders of the first and last pixel
        to_unit = np.array([2 / width, 2 / height])
        along_u, along_v = (self.matrix * to_unit[:, None]).T.astype(np.float32)
        start = ((self.offset_px + 0.5) * to_unit - 1).astype(np.float32)
        line = start + np.arange(columns, dtype=np.float32)[:, None] * along_u
        grid = line[None] + np.arange(rows, dtype=np.float32)[:, None, None] * along_v
        grid = torch.from_numpy(grid)[None]
        return F.grid_sample(source[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]

    def apply_to_camera(self, camera: Camera) -> Camera:
        """The camera of the output image, for that of the source.

        Raises:
            InputError: if the output's axes would not be orthogonal: a rotation of pixels that are not square.
        """
        du, dv = camera.pixel_spacing_mm
        steps_mm = self.matrix.T @ np.stack([du * camera.u_axis, dv * camera.v_axis])
        spacing_mm = np.linalg.norm(steps_mm, axis=1)
        u_axis, v_axis = steps_mm / spacing_mm[:, None]
        return camera.replace(
            detector_origin_mm=camera.detector_point(self.offset_px),
            u_axis=u_axis,
            v_axis=v_axis,
            pixel_spacing_mm=tuple(spacing_mm),
            size_px=self.size_px[::-1],
        )


def of_mirrored_person(camera: Camera) -> Camera:
    """The camera that sees the person mirrored left to right as `camera` sees the person: the room reflected at Y = 0."""
    return camera.replace(
        source_mm=_SIDES * camera.source_mm,
        detector_origin_mm=_SIDES * camera.detector_origin_mm,
        u_axis=_SIDES * camera.u_axis,
        v_axis=_SIDES * camera.v_axis,
    )


def planar_warp(
    source_centre_px: np.ndarray,
    size_px: tuple[int, int],
    *,
    rotation_rad: float = 0.0,
    scale: float = 1.0,
    mirrored: bool = False,
) -> PlanarWarp:
    """The warp that takes `source_centre_px` (u, v) to the output's centre; `scale` magnifies, a mirror flips u."""
    cos, sin = np.cos(rotation_rad), np.sin(rotation_rad)
    matrix = np.array([[cos, -sin], [sin, cos]]) / scale
    if mirrored:
        matrix = matrix @ np.diag([-1.0, 1.0])
    output_centre = np.array([(size_px[1] - 1) / 2, (size_px[0] - 1) / 2])
    return PlanarWarp(matrix, np.asarray(source_centre_px, float) - matrix @ output_centre, size_px)


class RandViewWarpd(Randomizable, MapTransform):
    """Warps image, decomposition and landmarks of one view together, and its `Camera` in the entry `camera`, if any.

    Only AP views are mirrored; their left and right landmarks then swap, and the camera is that of the mirrored person. A
    mirrored lateral view would face the other way, which the canonical orientation excludes.

    Args:
        keys: image and decomposition, both [1, H, W] float tensors.
        size_px: (rows, columns) of the result, multiples of 32.
        rotation_deg: largest rotation either way.
        scale: smallest and largest magnification.
        shift_px: largest shift of the centre along each axis.
        mirror_probability: for AP views.
        focus: "image" keeps the image centre at the centre; "spine" takes the mean of the landmarks (for crops).
    """

    def __init__(
        self,
        keys: tuple[str, str] = ("image", "decomposition"),
        *,
        size_px: tuple[int, int] = (512, 512),
        rotation_deg: float = 10.0,
        scale: tuple[float, float] = (0.85, 1.15),
        shift_px: float = 30.0,
        mirror_probability: float = 0.5,
        focus: str = "image",
    ) -> None:
        MapTransform.__init__(self, keys)
        self.size_px = (int(size_px[0]), int(size_px[1]))
        self.rotation_rad = np.deg2rad(rotation_deg)
        self.scale = (float(scale[0]), float(scale[1]))
        self.shift_px = float(shift_px)
        self.mirror_probability = mirror_probability
        self.focus = focus

    def _centre(self, data: Mapping[Hashable, Any]) -> np.ndarray:
        height, width = data[self.keys[0]].shape[-2:]
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        present = np.asarray(data["present"], bool)
        if self.focus == "spine" and present.any():
            centre = np.nanmean(np.asarray(data["landmarks_px"], float)[present].reshape(-1, 2), axis=0)
        return centre

    def _draw(self, data: Mapping[Hashable, Any]) -> tuple[PlanarWarp, bool]:
        rotation = self.R.uniform(-self.rotation_rad, self.rotation_rad)
        scale = np.exp(self.R.uniform(*np.log(self.scale)))
        shift = self.R.uniform(-self.shift_px, self.shift_px, size=2)
        mirrored = bool(data["view"] == "ap" and self.R.uniform() < self.mirror_probability)
        centre = self._centre(data) + shift
        warp = planar_warp(centre, self.size_px, rotation_rad=rotation, scale=scale, mirrored=mirrored)
        return warp, mirrored

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary with image, decomposition, landmarks and camera moved."""
        result = dict(data)
        warp, mirrored = self._draw(result)
        stacked = torch.cat([torch.as_tensor(result[key]).float() for key in self.keys])
        warped = warp.apply_to_images(stacked)
        for index, key in enumerate(self.keys):
            result[key] = warped[index : index + 1]
        landmarks = warp.apply_to_points(result["landmarks_px"])
        if mirrored:
            landmarks = landmarks[:, list(LEFT_RIGHT_SWAP)]
        result["landmarks_px"] = landmarks
        if "camera" in result:
            camera = warp.apply_to_camera(result["camera"])
            result["camera"] = of_mirrored_person(camera) if mirrored else camera
        return result
