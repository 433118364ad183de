"""The pull of the network's landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.geometry import euler_rotation
from lumbar_ext.registration.loss.scene import Scene, SceneState
from lumbar_ext.registration.loss.tangent import DetectorProjection, point_motions, tangent_from_pose
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.targets import VertebraStart
from lumbar_ext.registration.terms.term import ModelSum, PreparedTerm, Term


@dataclass(frozen=True)
class LandmarkTerm(Term):
    """Keeps projected model landmarks near the network's: a Huber penalty of the distance over its expected error.

    Args:
        weight: against the mean pixel penalty; 0 switches the term off.
        sigma_mm: for each view, [7] expected error of each landmark type on the detector: about 1.2 times the mean
            errors of the network of Yu et al. (arXiv 2503.14573).
        threshold: distance over sigma from which a landmark counts as an outlier.
    """

    follows_images: ClassVar[bool] = True

    weight: float = 0.0
    sigma_mm: dict[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "ap": (1.8, 1.8, 3.6, 3.6, 1.8, 1.8, 5.3),
            "lat": (2.0, 2.0, 8.0, 8.0, 3.4, 3.4, 7.0),
        }
    )
    threshold: float = 1.5

    def prepared(self, scene: Scene) -> PreparedLandmarks:
        """See `Term`."""
        return PreparedLandmarks(self, scene)

    def penalty(self, view: str, offset_mm: np.ndarray, weight: np.ndarray) -> float:
        """The mean penalty over landmarks of their distances [..., 7, 2] from where the network saw them, mm on the
        detector, and with their weights [..., 7]; the sum over vertebrae.
        """
        scaled = self._scaled(view, offset_mm)
        robust = np.where(scaled <= self.threshold, scaled**2 / 2, self.threshold * (scaled - self.threshold / 2))
        return float(np.nansum(weight * robust)) / len(LANDMARKS)

    def reweighting(self, view: str, offset_mm: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The weights [7] with which a sum of squared distances in mm follows `penalty`; NaN for unknown landmarks."""
        robust = np.minimum(self.threshold / np.maximum(self._scaled(view, offset_mm), 1e-9), 1)
        return weight * robust / np.square(self.sigma_mm[view]) / len(LANDMARKS)

    def _scaled(self, view: str, offset_mm: np.ndarray) -> np.ndarray:
        return np.linalg.norm(offset_mm, axis=-1) / self.sigma_mm[view]


class PreparedLandmarks(PreparedTerm):
    """`weight * mean over vertebrae of the mean penalty over the views that see some of its landmarks`.

    Args:
        term: the settings.
        scene: the scene.
    """

    def __init__(self, term: LandmarkTerm, scene: Scene) -> None:
        self._term, self._scene = term, scene
        self._cameras = scene.landmark_cameras
        self._projections = {name: DetectorProjection(camera) for name, camera in self._cameras.items()}
        self._observed = {name: _observed_in(name, scene.vertebrae) for name in self._cameras}

    def value(self, state: SceneState) -> float:
        """See `PreparedTerm`."""
        if self._term.weight == 0:
            return 0.0
        vertebrae = self._scene.vertebrae
        points = np.stack(
            [
                start.world_points(p[:POSE_SIZE], start.shape.landmarks(p[POSE_SIZE:]))
                for start, p in zip(vertebrae, state.parameters, strict=True)
            ]
        )
        total = sum(
            self._term.penalty(name, self._offsets_mm(name, _seen_in(name, vertebrae, points), positions_px), share)
            for name, (positions_px, share) in self._observed.items()
        )
        return self._term.weight * total / len(vertebrae)

    def add_to(self, model: ModelSum, state: SceneState, factor: float = 1.0) -> None:
        """Adds the derivatives; each landmark is reweighted for the Huber penalty."""
        if self._term.weight == 0:
            return
        model.loss += factor * self.value(state)
        for i, (start, p) in enumerate(zip(self._scene.vertebrae, state.parameters, strict=True)):
            if start.observed:
                hessian = None if model.hessian is None else model.hessian[i, :, i]
                self._add_vertebra(start, p, model.gradient[i], hessian, factor)

    def _add_vertebra(
        self,
        start: VertebraStart,
        parameters: np.ndarray,
        gradient: np.ndarray,
        hessian: np.ndarray | None,
        factor: float,
    ) -> None:
        shape, n_modes = start.shape, len(gradient) - POSE_SIZE
        points = shape.landmarks(parameters[POSE_SIZE:])
        motion = point_motions(points, shape.landmark_modes_mm[:n_modes])
        motion[..., :POSE_SIZE] = motion[..., :POSE_SIZE] @ tangent_from_pose(parameters[:POSE_SIZE])
        rotation = start.world_from_vertebra.rotation @ euler_rotation(*parameters[3:POSE_SIZE])
        world, world_motion = start.world_points(parameters[:POSE_SIZE], points), rotation @ motion
        share = factor * self._term.weight / len(start.observed) / len(self._scene.vertebrae)
        for name, observed in start.observed.items():
            own, own_motion = world, world_motion
            if name in start.motions:
                own, own_motion = start.motions[name].apply(world), start.motions[name].rotation @ world_motion
            offset = self._offsets_mm(name, own, observed.positions_px)
            seen = np.isfinite(offset).all(-1)
            weight = np.repeat(share * self._term.reweighting(name, offset, observed.weight)[seen], 2)
            design = (self._projections[name].derivative(own)[seen] @ own_motion[seen]).reshape(len(weight), -1)
            gradient += (weight * offset[seen].ravel()) @ design
            if hessian is not None:
                hessian += (weight[:, None] * design).T @ design

    def _offsets_mm(self, name: str, points_mm: np.ndarray, positions_px: np.ndarray) -> np.ndarray:
        """How far world points [..., 3] are seen from where the network saw them, [..., 2]: mm on the detector."""
        return self._projections[name].project_mm(points_mm) - positions_px * self._cameras[name].pixel_spacing_mm


def _seen_in(view: str, vertebrae: tuple[VertebraStart, ...], points_mm: np.ndarray) -> np.ndarray:
    """World points [n, 7, 3] as a view shows them."""
    if not any(view in start.motions for start in vertebrae):
        return points_mm
    items = zip(vertebrae, points_mm, strict=True)
    return np.stack([start.motions[view].apply(own) if view in start.motions else own for start, own in items])


def _observed_in(name: str, vertebrae: tuple[VertebraStart, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Positions [n, 7, 2] of a view's landmarks, NaN where not seen, and weights [n, 7] over the views that see some."""
    positions_px = np.full((len(vertebrae), len(LANDMARKS), 2), np.nan)
    share = np.zeros((len(vertebrae), len(LANDMARKS)))
    for i, start in enumerate(vertebrae):
        if name in start.observed:
            positions_px[i] = start.observed[name].positions_px
            share[i] = start.observed[name].weight / len(start.observed)
    return positions_px, share
