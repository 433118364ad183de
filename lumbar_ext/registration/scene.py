"""The vertebrae of a problem as seen by its cameras: path lengths, predictions and the loss.

This is the plain way to compute the loss; `block_objective` and `gauss_newton` are faster ways that agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MeshProjector, drr_from_path_length
from lumbar_ext.registration.level_shape import SurfaceModes
from lumbar_ext.registration.problem import BONE_VALUE, POSE_SIZE, ObservedLandmarks, RegistrationProblem
from lumbar_ext.registration.tangent import DetectorProjection
from lumbar_ext.registration.view_fields import FieldFitter


@dataclass(frozen=True)
class SceneLoss:
    """The loss and what it is made of.

    Args:
        total: the number that is minimised.
        per_view: weighted mean pixel penalty of each view.
    """

    total: float
    per_view: dict[str, float]


class Scene:
    """A problem at one image and mesh resolution.

    Args:
        problem: targets at the wanted image resolution.
        surfaces: for each vertebra what is rendered, the full surfaces by default. They may be coarser and have fewer
            modes; coefficients beyond those must then be zero.
    """

    def __init__(self, problem: RegistrationProblem, surfaces: tuple[SurfaceModes, ...] | None = None) -> None:
        self.problem = problem
        self.surfaces = surfaces or tuple(start.shape.surface for start in problem.vertebrae)
        self.projectors = {name: MeshProjector(view.camera) for name, view in problem.views.items()}
        cameras = problem.landmark_cameras
        self.landmark_projections = {name: DetectorProjection(camera) for name, camera in cameras.items()}

    def landmark_offsets_mm(self, name: str, points_mm: np.ndarray, observed: ObservedLandmarks) -> np.ndarray:
        """How far world points [7, 3] are seen from where the network saw them: [7, 2] mm on the detector of a view."""
        spacing_mm = self.problem.landmark_cameras[name].pixel_spacing_mm
        return self.landmark_projections[name].project_mm(points_mm) - observed.positions_px * spacing_mm

    def vertices(self, index: int, parameters: np.ndarray) -> np.ndarray:
        """The rendered vertices [V, 3] float32 of one vertebra in its own frame, from parameters [6 + K]."""
        surface = self.surfaces[index]
        return surface.instance(parameters[POSE_SIZE : POSE_SIZE + surface.n_modes])

    def path_lengths(self, index: int, parameters: np.ndarray) -> dict[str, np.ndarray]:
        """Path length images [rows, columns] mm of one vertebra in every view."""
        pose = self.problem.vertebrae[index].world_from_moved(parameters[:POSE_SIZE])
        vertices, triangles = pose.apply(self.vertices(index, parameters)), self.surfaces[index].triangles
        return {name: projector.path_length(vertices, triangles) for name, projector in self.projectors.items()}

    def predictions(self, parameters: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The DRR of all vertebrae in every view."""
        lengths = [self.path_lengths(i, p) for i, p in enumerate(parameters)]
        return {name: drr_from_path_length(sum(view[name] for view in lengths)) for name in self.projectors}

    def loss(self, parameters: list[np.ndarray]) -> SceneLoss:
        """The loss of parameters, a list of [6 + K] arrays; the reference that faster ways must agree with."""
        per_view, fields_penalty = {}, 0.0
        for name, prediction in self.predictions(parameters).items():
            view = self.problem.views[name]
            if self.problem.view_fields is not None:
                fitted = self.field_fitter(name).fit(prediction)
                prediction = fitted.gain * prediction + fitted.background
                fields_penalty += fitted.penalty
            penalties = view.weights * self.problem.similarity.penalty(prediction - view.image)
            per_view[name] = float(penalties.sum(dtype=np.float64)) / view.normaliser
        total = (sum(per_view.values()) + fields_penalty) / len(per_view) + self.regularisation(parameters)
        return SceneLoss(total, per_view)

    def field_fitter(self, name: str) -> FieldFitter:
        """Fits the gain and background of a view; the problem must have `view_fields`."""
        problem, view = self.problem, self.problem.views[name]
        return FieldFitter(
            problem.view_fields, view.image, view.weights / view.normaliser, problem.similarity, BONE_VALUE
        )

    def silhouette_errors(self, parameters: list[np.ndarray]) -> list[dict[str, float]]:
        """For every vertebra, the mean absolute pixel error over its silhouette in each view (NaN when not in the
        image).
        """
        lengths = [self.path_lengths(i, p) for i, p in enumerate(parameters)]
        errors = [{} for _ in lengths]
        for name, view in self.problem.views.items():
            residual = np.abs(drr_from_path_length(sum(own[name] for own in lengths)) - view.image)
            for own, error in zip(lengths, errors, strict=True):
                inside = own[name] > 0
                error[name] = float(residual[inside].mean()) if inside.any() else float("nan")
        return errors

    def regularisation(self, parameters: list[np.ndarray]) -> float:
        """The part of the loss that does not come from pixels: shape prior and landmarks."""
        problem = self.problem
        total = problem.prior_weight * problem.shape_prior.energy(np.stack([p[POSE_SIZE:] for p in parameters]))
        if problem.landmark_term.weight > 0:
            total += problem.landmark_term.weight * sum(self._landmark_penalty(i, p) for i, p in enumerate(parameters))
        return problem.regularisation * total / len(problem.vertebrae)

    def _landmark_penalty(self, index: int, parameters: np.ndarray) -> float:
        start, term = self.problem.vertebrae[index], self.problem.landmark_term
        if not start.observed:
            return 0.0
        points = start.world_from_moved(parameters[:POSE_SIZE]).apply(start.shape.landmarks(parameters[POSE_SIZE:]))
        total = 0.0
        for name, observed in start.observed.items():
            total += term.penalty(name, self.landmark_offsets_mm(name, points, observed), observed.confidence)
        return total / len(start.observed)
