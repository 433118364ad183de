"""The vertebrae of a problem as seen by its cameras: vertices, path lengths, predicted images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from lumbar_ext.drr import MeshProjector, drr_from_path_length
from lumbar_ext.geometry import Camera, euler_rotation
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.targets import VertebraStart, ViewTarget
from lumbar_ext.shape.model.level_shape import SurfaceModes

_KEPT_STATES = 2
"""Where a step begins and where it ends."""


class Scene:
    """Vertebrae and targets at one image and mesh resolution.

    Args:
        targets: images at the wanted resolution, by name.
        vertebrae: cranial to caudal.
        landmark_cameras: by view, the cameras in whose pixels observed landmarks are given.
        surfaces: for each vertebra what is rendered, the full surfaces by default. They may be coarser and have fewer
            modes; coefficients beyond those must then be zero.
        n_modes: coefficients that vary, all by default.
        run: `map`, or that of a pool of threads.
    """

    def __init__(
        self,
        targets: Mapping[str, ViewTarget],
        vertebrae: tuple[VertebraStart, ...],
        landmark_cameras: Mapping[str, Camera],
        surfaces: tuple[SurfaceModes, ...] | None = None,
        n_modes: int | None = None,
        run: Callable = map,
    ) -> None:
        self.targets, self.vertebrae, self.landmark_cameras, self.run = targets, vertebrae, landmark_cameras, run
        self.surfaces = surfaces or tuple(start.shape.surface for start in vertebrae)
        self.n_modes = vertebrae[0].shape.n_modes if n_modes is None else n_modes
        self.projectors = {name: MeshProjector(target.camera) for name, target in targets.items()}
        self.view_of = {name: target.view or name for name, target in targets.items()}
        self.views = tuple(dict.fromkeys(self.view_of.values()))
        self.members = {
            name: tuple(i for i, start in enumerate(vertebrae) if target.shows(start.level))
            for name, target in targets.items()
        }
        self._rendered: dict[bytes, list[dict[str, np.ndarray]]] = {}
        self._states: dict[bytes, SceneState] = {}

    @cached_property
    def normalisers(self) -> dict[str, float]:
        """By target, what turns a summed penalty into its part of the mean one of its view."""
        weights = dict.fromkeys(self.views, 0.0)
        for name, target in self.targets.items():
            weights[self.view_of[name]] += target.bone_weight
        return {name: max(weights[view], 1.0) for name, view in self.view_of.items()}

    def at(self, parameters: list[np.ndarray]) -> SceneState:
        """The scene at parameters, a list of [6 + K] arrays; those asked for last are kept, a step and its end are asked for
        often.
        """
        key = np.concatenate(parameters).tobytes()
        state = self._states.pop(key, None) or SceneState(self, parameters)
        self._states = dict([*self._states.items()][1 - _KEPT_STATES :]) | {key: state}
        return state

    def vertices(self, index: int, parameters: np.ndarray) -> np.ndarray:
        """The rendered vertices [V, 3] float32 of one vertebra in its own frame, from parameters [6 + K]."""
        surface = self.surfaces[index]
        return surface.instance(parameters[POSE_SIZE : POSE_SIZE + surface.n_modes])

    def path_lengths(self, index: int, parameters: np.ndarray) -> dict[str, np.ndarray]:
        """Path length images [rows, columns] mm of one vertebra in the targets that show it."""
        start, triangles = self.vertebrae[index], self.surfaces[index].triangles
        pose = start.world_from_moved(parameters[:POSE_SIZE])
        vertices = pose.apply(self.vertices(index, parameters))
        moved = {view: motion.apply(vertices) for view, motion in start.motions.items()}
        return {
            name: projector.path_length(moved.get(self.view_of[name], vertices), triangles)
            for name, projector in self.projectors.items()
            if index in self.members[name]
        }

    def all_path_lengths(self, parameters: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """`path_lengths` of every vertebra; those of the last two scenes are kept, a start and an end are asked for often."""
        key = np.concatenate(parameters).tobytes()
        if key not in self._rendered:
            lengths = list(self.run(self.path_lengths, range(len(parameters)), parameters))
            self._rendered = dict([*self._rendered.items()][-1:]) | {key: lengths}
        return self._rendered[key]

    def predictions(self, parameters: list[np.ndarray]) -> dict[str, np.ndarray]:
        """By target, the DRR of its vertebrae along the rays of pixel centres.

        Raises:
            ValueError: if a vertex is not finite or not in front of the X-ray source.
        """
        lengths = self.all_path_lengths(parameters)
        return {
            name: drr_from_path_length(sum(lengths[i][name] for i in members)) for name, members in self.members.items()
        }

    def silhouette_errors(self, parameters: list[np.ndarray]) -> list[dict[str, float]]:
        """For every vertebra, the mean absolute pixel error over its silhouette in each view (NaN when not in the
        image).
        """
        lengths, predictions = self.all_path_lengths(parameters), self.predictions(parameters)
        errors = [{} for _ in lengths]
        for name, target in self.targets.items():
            residual = np.abs(predictions[name] - target.image)
            for i in self.members[name]:
                inside = lengths[i][name] > 0
                errors[i][self.view_of[name]] = float(residual[inside].mean()) if inside.any() else float("nan")
        return errors


class SceneState:
    """A scene at some parameters, with what several terms need.

    Args:
        scene: the scene.
        parameters: [6 + K] of every vertebra.

    Attributes:
        vertices_mm: [V, 3] float32 of every vertebra in its own frame.
    """

    def __init__(self, scene: Scene, parameters: list[np.ndarray]) -> None:
        self.scene, self.parameters = scene, parameters
        self._made: dict[Hashable, Any] = {}
        # At once: terms ask for them from the threads that would have to compute them.
        self.vertices_mm = list(scene.run(lambda i: scene.vertices(i, parameters[i]), range(len(parameters))))

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` returns, kept under a key: a term's value and its derivatives need the same pictures and contacts."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def world_mm(self) -> list[np.ndarray]:
        """[V, 3] of every vertebra in the world."""
        items = zip(self.scene.vertebrae, self.parameters, self.vertices_mm, strict=True)
        return [start.world_points(p[:POSE_SIZE], vertices) for start, p, vertices in items]

    @cached_property
    def rotations(self) -> list[np.ndarray]:
        """[3, 3] world from vertebra of every vertebra."""
        items = zip(self.scene.vertebrae, self.parameters, strict=True)
        return [start.world_from_vertebra.rotation @ euler_rotation(*p[3:POSE_SIZE]) for start, p in items]

    def movement_mm(self, other: SceneState) -> float:
        """The largest distance of a vertex from its place in another state of the scene."""
        pairs = zip(self.world_mm, other.world_mm, strict=True)
        return float(np.sqrt(max(np.square(own - theirs).sum(1).max() for own, theirs in pairs)))

    @property
    def coefficients(self) -> np.ndarray:
        """[n, K] shape coefficients of all n vertebrae, in standard deviations."""
        return np.stack([p[POSE_SIZE:] for p in self.parameters])
