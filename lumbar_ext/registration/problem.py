"""What a registration is given: target images, starts, bounds and penalties, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera, RigidTransform, euler_rotation
from lumbar_ext.registration.terms.shape_prior import ShapePrior
from lumbar_ext.registration.terms.similarity import AbsoluteError, Similarity
from lumbar_ext.registration.terms.view_fields import ViewFields
from lumbar_ext.shape.model.level_shape import LevelShape

POSE_SIZE = 6
"""Pose parameters of a vertebra: tx, ty, tz in mm, lateral, flexion, axial in rad."""

BONE_VALUE = 0.02
"""Target values from here on count as bone when the loss is averaged."""

_LEAST_REGULARISATION = 1e-3
"""Even perfect images leave the prior a little: it decides what no view shows."""


@dataclass(frozen=True)
class ViewTarget:
    """A decomposition image to be explained.

    Args:
        camera: its camera.
        image: float32 [rows, columns] in [0, 1).
        weights: float32 [rows, columns] pixel weights.
    """

    camera: Camera
    image: np.ndarray
    weights: np.ndarray

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
    def normaliser(self) -> float:
        """The sum of weights of bone pixels, which turns a summed penalty into a mean one."""
        return max(float(self.weights[self.image > BONE_VALUE].sum()), 1.0)

    def coarsened(self, stride: int) -> ViewTarget:
        """The view with blocks of `stride` x `stride` pixels averaged into one; the rim is filled with zeros."""
        if stride == 1:
            return self
        rows, columns = (-(-n // stride) * stride for n in self.image.shape)
        spacing = tuple(s * stride for s in self.camera.pixel_spacing_mm)
        centre = np.array([columns - 1, rows - 1]) / 2
        camera = self.camera.resampled(
            size_px=(columns // stride, rows // stride), pixel_spacing_mm=spacing, centre_uv_px=centre
        )
        return ViewTarget(
            camera, _box_average(self.image, rows, columns, stride), _box_average(self.weights, rows, columns, stride)
        )


@dataclass(frozen=True)
class ObservedLandmarks:
    """Where the network saw a vertebra's landmarks in one view.

    Args:
        positions_px: [7, 2] (u, v) in the view's pixels, NaN where not seen.
        confidence: [7].
    """

    positions_px: np.ndarray
    confidence: np.ndarray


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
    """

    level: str
    shape: LevelShape
    world_from_vertebra: RigidTransform
    coefficients: np.ndarray
    observed: dict[str, ObservedLandmarks] = field(default_factory=dict)
    pose: np.ndarray = field(default_factory=lambda: np.zeros(POSE_SIZE))

    def world_from_moved(self, pose: np.ndarray) -> RigidTransform:
        """The pose after pose parameters [6]."""
        return self.world_from_vertebra @ RigidTransform.from_pose(pose)

    def world_points(self, pose: np.ndarray, points_mm: np.ndarray) -> np.ndarray:
        """What `world_from_moved` makes of points [N, 3]; quicker for a few of them."""
        return self.world_from_vertebra.apply(points_mm @ euler_rotation(*pose[3:POSE_SIZE]).T + pose[:3])


@dataclass(frozen=True)
class Bounds:
    """How far parameters may go; the defaults are those of Yu et al. (arXiv 2503.14573)."""

    translation_mm: float = 10.0
    tilt_deg: float = 15.0
    axial_deg: float = 30.0
    shape_sd: float = 3.0

    def __post_init__(self) -> None:
        if not all(limit > 0 for limit in (self.translation_mm, self.tilt_deg, self.axial_deg, self.shape_sd)):
            raise ValueError(f"bounds must be positive, found {self}")

    def limits(self, n_modes: int) -> np.ndarray:
        """The largest absolute value [6 + n_modes] of each parameter."""
        tilt, axial = np.radians([self.tilt_deg, self.axial_deg])
        return np.array([self.translation_mm] * 3 + [tilt, tilt, axial] + [self.shape_sd] * n_modes)


@dataclass(frozen=True)
class LandmarkTerm:
    """Keeps projected model landmarks near the network's: a Huber penalty of the distance over its expected error.

    Args:
        weight: against the mean pixel penalty; 0 switches the term off.
        sigma_mm: for each view, [7] expected error of each landmark type on the detector: about 1.2 times the mean
            errors of the network of Yu et al. (arXiv 2503.14573).
        threshold: distance over sigma from which a landmark counts as an outlier.
    """

    weight: float = 0.0
    sigma_mm: dict[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "ap": (1.8, 1.8, 3.6, 3.6, 1.8, 1.8, 5.3),
            "lat": (2.0, 2.0, 8.0, 8.0, 3.4, 3.4, 7.0),
        }
    )
    threshold: float = 1.5

    def penalty(self, view: str, offset_mm: np.ndarray, confidence: np.ndarray) -> float:
        """The mean penalty over landmarks of their distances [..., 7, 2] from where the network saw them, mm on the
        detector, and with their confidence [..., 7]; the sum over vertebrae.
        """
        scaled = self._scaled(view, offset_mm)
        robust = np.where(scaled <= self.threshold, scaled**2 / 2, self.threshold * (scaled - self.threshold / 2))
        return float(np.nansum(confidence * robust)) / len(LANDMARKS)

    def reweighting(self, view: str, offset_mm: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """The weights [7] with which a sum of squared distances in mm follows `penalty`; NaN for unknown landmarks."""
        robust = np.minimum(self.threshold / np.maximum(self._scaled(view, offset_mm), 1e-9), 1)
        return confidence * robust / np.square(self.sigma_mm[view]) / len(LANDMARKS)

    def _scaled(self, view: str, offset_mm: np.ndarray) -> np.ndarray:
        return np.linalg.norm(offset_mm, axis=-1) / self.sigma_mm[view]


@dataclass(frozen=True)
class NonIntersection:
    """Keeps neighbours out of each other: `weight * sum over vertices inside a neighbour of depth^2 / number of all
    vertices`; see `lumbar_ext.registration.terms.contacts`. `GaussNewton` heeds it in stages that vary everything.

    Args:
        weight: of the mean squared depth in mm^2, against the mean pixel penalty.
        reach_mm: vertices farther from every vertex of the neighbour do not count.
    """

    weight: float = 0.3
    reach_mm: float = 4.0

    def __post_init__(self) -> None:
        if not (self.weight > 0 and self.reach_mm > 0):
            raise ValueError(f"weight and reach_mm must be positive, found {self}")


@dataclass(frozen=True)
class RegistrationProblem:
    """All an optimiser needs.

    The loss is `mean over views of sum_px W penalty(predicted - target) / sum_(bone px) W
    + s (prior_weight mean over vertebrae of b^T P b + landmark term (mean over vertebrae and views))
    + non-intersection`. The images decide the less the worse they are explained: `s` is `regularisation`, which
    `adapted` ties to the pixel penalty.

    Args:
        views: targets by view name.
        vertebrae: the vertebrae to place, cranial to caudal.
        bounds: of poses and coefficients.
        similarity: the pixel penalty.
        prior_weight: of the Mahalanobis shape prior.
        landmark_term: of the network's landmarks.
        landmark_cameras: the cameras in whose pixels observed landmarks are given, those of `views` by default.
        shape_prior: P, how coefficients of the levels depend on each other; independent by default.
        view_fields: gain and background of the images that are fitted along; none by default.
        non_intersection: of neighbours; none by default.
        reference_penalty: the mean pixel penalty at which prior and landmarks have the stated weights; at others they
            weigh as its square, which stands for the variance of the pixels' errors. None for fixed weights.
        regularisation: the factor of prior and landmarks.
    """

    views: dict[str, ViewTarget]
    vertebrae: tuple[VertebraStart, ...]
    bounds: Bounds = field(default_factory=Bounds)
    similarity: Similarity = field(default_factory=AbsoluteError)
    prior_weight: float = 0.0
    landmark_term: LandmarkTerm = field(default_factory=LandmarkTerm)
    landmark_cameras: dict[str, Camera] = field(default_factory=dict)
    shape_prior: ShapePrior = field(default_factory=ShapePrior)
    view_fields: ViewFields | None = None
    non_intersection: NonIntersection | None = None
    reference_penalty: float | None = None
    regularisation: float = 1.0

    def __post_init__(self) -> None:
        if not self.views or not self.vertebrae:
            raise InputError(
                f"a registration needs at least one view and one vertebra, "
                f"found {len(self.views)} and {len(self.vertebrae)}"
            )
        if not self.landmark_cameras:
            object.__setattr__(self, "landmark_cameras", {name: view.camera for name, view in self.views.items()})

    def coarsened(self, stride: int) -> RegistrationProblem:
        """The same problem with every view averaged over blocks of `stride` pixels."""
        return replace(self, views={name: view.coarsened(stride) for name, view in self.views.items()})

    def adapted(self, pixel_penalty: float) -> RegistrationProblem:
        """The same problem with prior and landmarks weighed for images that leave this mean pixel penalty."""
        if self.reference_penalty is None:
            return self
        variance = (pixel_penalty / self.reference_penalty) ** 2
        return replace(self, regularisation=max(variance, _LEAST_REGULARISATION))


def _box_average(image: np.ndarray, rows: int, columns: int, stride: int) -> np.ndarray:
    padded = np.pad(image, ((0, rows - image.shape[0]), (0, columns - image.shape[1])))
    return padded.reshape(rows // stride, stride, columns // stride, stride).mean((1, 3))
