"""What a registration is given: images to be explained, and vertebrae with their starts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lumbar_ext.drr import drr_from_path_length, path_length_from_drr
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera, RigidTransform, euler_rotation
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.shape.model.level_shape import LevelShape

BONE_VALUE = 0.02
"""Target values from here on count as bone when the loss is averaged."""


@dataclass(frozen=True)
class ViewTarget:
    """A decomposition image to be explained: that of all vertebrae, or of a group of them, in one view.

    Args:
        camera: its camera.
        image: float32 [rows, columns] in [0, 1).
        weights: float32 [rows, columns] pixel weights.
        levels: names of the vertebrae that the image shows; None for all of the problem.
        view: name of the view; None where it is the name under which the problem holds the target.
    """

    camera: Camera
    image: np.ndarray
    weights: np.ndarray
    levels: tuple[str, ...] | None = None
    view: str | None = None

    def __post_init__(self) -> None:
        expected = self.camera.size_px[::-1]
        for name in ("image", "weights"):
            value = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if value.shape != expected:
                raise InputError(f"{name} must be {expected} (rows, columns) like its camera, found {value.shape}")
            if not np.isfinite(value).all():
                raise InputError(f"{name} holds values that are not finite")
            object.__setattr__(self, name, value)

    @property
    def bone_weight(self) -> float:
        """The sum of weights of bone pixels, over which a summed penalty becomes a mean one."""
        return float(self.weights[self.image > BONE_VALUE].sum())

    def shows(self, level: str) -> bool:
        """A vertebra of this level is in the image."""
        return self.levels is None or level in self.levels

    def averaged(self, block: int) -> ViewTarget:
        """The target with blocks of `block` x `block` pixels made one, seen by a camera of larger pixels: for predictions
        that are averaged over the area of a pixel. What is averaged is what the picture says of path lengths, which add up,
        so that the true meshes explain it at every resolution. The rim is filled with zeros.
        """
        if block == 1:
            return self
        lengths = block_means(path_length_from_drr(self.image.astype(np.float64)), block)
        image, weights = drr_from_path_length(lengths), block_means(self.weights, block)
        return replace(self, camera=self._larger_pixels(block), image=image, weights=weights)

    def coarsened(self, stride: int) -> ViewTarget:
        """The target with blocks of `stride` x `stride` pixels averaged into one, seen by a camera of larger pixels:
        predictions are sampled at their centres. The rim is filled with zeros.
        """
        if stride == 1:
            return self
        images = (block_means(own, stride) for own in (self.image, self.weights))
        return ViewTarget(self._larger_pixels(stride), *images, self.levels, self.view)

    def _larger_pixels(self, block: int) -> Camera:
        """The camera with pixels of the size of blocks, as many as are needed."""
        rows, columns = (-(-n // block) * block for n in self.image.shape)
        spacing = tuple(s * block for s in self.camera.pixel_spacing_mm)
        centre = np.array([columns - 1, rows - 1]) / 2
        return self.camera.resampled(
            size_px=(columns // block, rows // block), pixel_spacing_mm=spacing, centre_uv_px=centre
        )


@dataclass(frozen=True)
class ObservedLandmarks:
    """Where the network saw a vertebra's landmarks in one view.

    Args:
        positions_px: [7, 2] (u, v) in the view's pixels, NaN where not seen.
        weight: [7] how much each counts, 1 for a landmark that the network is sure of.
    """

    positions_px: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class VertebraStart:
    """One vertebra before registration.

    Args:
        level: its name, "L1" to "L5".
        shape: the shape model of the level.
        world_from_vertebra: initial pose; pose parameters move the vertebra in its own frame before it.
        coefficients: [k] initial shape in SDs, `k <= K`; the others start at zero.
        observed: landmarks by view; may be empty.
        pose: [6] pose parameters to start from, clipped to the bounds, which are about `world_from_vertebra`.
        motions: by view, the motion of the world that takes the vertebra to where it stood when that view was exposed; none for
            views that show it where it is.
    """

    level: str
    shape: LevelShape
    world_from_vertebra: RigidTransform
    coefficients: np.ndarray
    observed: dict[str, ObservedLandmarks] = field(default_factory=dict)
    pose: np.ndarray = field(default_factory=lambda: np.zeros(POSE_SIZE))
    motions: dict[str, RigidTransform] = field(default_factory=dict)

    def world_from_vertebra_in(self, view: str) -> RigidTransform:
        """The initial pose as a view shows it."""
        moved = self.motions.get(view)
        return self.world_from_vertebra if moved is None else moved @ self.world_from_vertebra

    def world_from_moved(self, pose: np.ndarray) -> RigidTransform:
        """The pose after pose parameters [6]."""
        return self.world_from_vertebra @ RigidTransform.from_pose(pose)

    def world_points(self, pose: np.ndarray, points_mm: np.ndarray) -> np.ndarray:
        """What `world_from_moved` makes of points [N, 3]; quicker for a few of them."""
        return self.world_from_vertebra.apply(points_mm @ euler_rotation(*pose[3:POSE_SIZE]).T + pose[:3])


def block_means(image: np.ndarray, block: int) -> np.ndarray:
    """The means of blocks of `block` x `block` pixels of an image [rows, columns], continued by zeros."""
    if block == 1:
        return image
    rows, columns = (-(-n // block) * block for n in image.shape)
    padded = np.pad(image, ((0, rows - image.shape[0]), (0, columns - image.shape[1])))
    return padded.reshape(rows // block, block, columns // block, block).mean((1, 3))
