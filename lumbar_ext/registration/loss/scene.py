"""The vertebrae of a problem as seen by its cameras: path lengths, predictions and the loss.

This is the plain way to compute the loss; `block_objective` and `gauss_newton` are faster ways that agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.drr import MeshProjector, drr_from_path_length
from lumbar_ext.registration.loss.tangent import DetectorProjection
from lumbar_ext.registration.problem import BONE_VALUE, POSE_SIZE, RegistrationProblem, VertebraStart
from lumbar_ext.registration.terms.contacts import contact_penalty
from lumbar_ext.registration.terms.view_fields import FieldFitter
from lumbar_ext.shape.model.level_shape import SurfaceModes


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
        self._observed = {name: _observed_in(name, problem.vertebrae) for name in cameras}
        self._rendered: dict[bytes, list[dict[str, np.ndarray]]] = {}

    def landmark_offsets_mm(self, name: str, points_mm: np.ndarray, positions_px: np.ndarray) -> np.ndarray:
        """How far world points [..., 3] are seen from where the network saw them, [..., 2]: mm on the detector."""
        spacing_mm = self.problem.landmark_cameras[name].pixel_spacing_mm
        return self.landmark_projections[name].project_mm(points_mm) - positions_px * spacing_mm

    def vertices(self, index: int, parameters: np.ndarray) -> np.ndarray:
        """The rendered vertices [V, 3] float32 of one vertebra in its own frame, from parameters [6 + K]."""
        surface = self.surfaces[index]
        return surface.instance(parameters[POSE_SIZE : POSE_SIZE + surface.n_modes])

    def path_lengths(self, index: int, parameters: np.ndarray) -> dict[str, np.ndarray]:
        """Path length images [rows, columns] mm of one vertebra in every view."""
        pose = self.problem.vertebrae[index].world_from_moved(parameters[:POSE_SIZE])
        vertices, triangles = pose.apply(self.vertices(index, parameters)), self.surfaces[index].triangles
        return {name: projector.path_length(vertices, triangles) for name, projector in self.projectors.items()}

    def all_path_lengths(self, parameters: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """`path_lengths` of every vertebra; those of the last two scenes are kept, a start and an end are asked for often."""
        key = np.concatenate(parameters).tobytes()
        if key not in self._rendered:
            lengths = [self.path_lengths(i, p) for i, p in enumerate(parameters)]
            self._rendered = dict([*self._rendered.items()][-1:]) | {key: lengths}
        return self._rendered[key]

    def predictions(self, parameters: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The DRR of all vertebrae in every view."""
        lengths = self.all_path_lengths(parameters)
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
        lengths = self.all_path_lengths(parameters)
        errors = [{} for _ in lengths]
        for name, view in self.problem.views.items():
            residual = np.abs(drr_from_path_length(sum(own[name] for own in lengths)) - view.image)
            for own, error in zip(lengths, errors, strict=True):
                inside = own[name] > 0
                error[name] = float(residual[inside].mean()) if inside.any() else float("nan")
        return errors

    def regularisation(self, parameters: list[np.ndarray]) -> float:
        """The part of the loss that does not come from pixels: shape prior, landmarks and contacts."""
        problem = self.problem
        total = problem.prior_weight * problem.shape_prior.energy(np.stack([p[POSE_SIZE:] for p in parameters]))
        if problem.landmark_term.weight > 0:
            total += problem.landmark_term.weight * self._landmark_penalty(parameters)
        contact = 0.0 if problem.non_intersection is None else contact_penalty(self, parameters)
        return problem.regularisation * total / len(problem.vertebrae) + contact

    def _landmark_penalty(self, parameters: list[np.ndarray]) -> float:
        """The sum over vertebrae of the mean landmark penalty over the views that see some."""
        points = np.stack(
            [
                start.world_points(p[:POSE_SIZE], start.shape.landmarks(p[POSE_SIZE:]))
                for start, p in zip(self.problem.vertebrae, parameters, strict=True)
            ]
        )
        return sum(
            self.problem.landmark_term.penalty(name, self.landmark_offsets_mm(name, points, positions_px), share)
            for name, (positions_px, share) in self._observed.items()
        )


def _observed_in(name: str, vertebrae: tuple[VertebraStart, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Positions [n, 7, 2] of a view's landmarks, NaN where not seen, and confidence [n, 7] over the views that see some."""
    positions_px, share = (
        np.full((len(vertebrae), len(LANDMARKS), 2), np.nan),
        np.zeros((len(vertebrae), len(LANDMARKS))),
    )
    for i, start in enumerate(vertebrae):
        if name in start.observed:
            positions_px[i] = start.observed[name].positions_px
            share[i] = start.observed[name].confidence / len(start.observed)
    return positions_px, share
