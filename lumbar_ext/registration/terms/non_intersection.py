"""Neighbouring vertebrae must not run into each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lumbar_ext.registration.loss.scene import Scene, SceneState
from lumbar_ext.registration.loss.tangent import point_motions, tangent_from_pose
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.terms.contacts import Contact, contacts
from lumbar_ext.registration.terms.term import ModelSum, PreparedTerm, Term


@dataclass(frozen=True)
class NonIntersection(Term):
    """Keeps neighbours out of each other: `weight * sum over vertices inside a neighbour of depth^2 / number of all
    vertices`; see `lumbar_ext.registration.terms.contacts`. The depths enter as least squares, so Gauss-Newton follows them
    exactly as pixels.

    Args:
        weight: of the mean squared depth in mm^2, against the mean pixel penalty.
        reach_mm: vertices farther from every vertex of the neighbour do not count.
    """

    late: ClassVar[bool] = True

    weight: float = 0.8
    reach_mm: float = 4.0

    def __post_init__(self) -> None:
        if not (self.weight > 0 and self.reach_mm > 0):
            raise ValueError(f"weight and reach_mm must be positive, found {self}")

    def prepared(self, scene: Scene) -> PreparedContacts:
        """See `Term`."""
        return PreparedContacts(self, scene)


class PreparedContacts(PreparedTerm):
    """The contacts of a scene.

    Args:
        term: the settings.
        scene: the scene.
    """

    def __init__(self, term: NonIntersection, scene: Scene) -> None:
        self._scene, self._reach_mm = scene, term.reach_mm
        self._share = term.weight / sum(len(surface.mean_mm) for surface in scene.surfaces)

    def value(self, state: SceneState) -> float:
        """See `PreparedTerm`."""
        return self._penalty(self._contacts(state))

    def add_to(self, model: ModelSum, state: SceneState, factor: float = 1.0) -> None:
        """See `PreparedTerm`."""
        found = self._contacts(state)
        model.loss += factor * self._penalty(found)
        factor = 2 * factor * self._share
        sides = [((c.intruder, c.vertices, -1), (c.host, c.nearest, 1)) for c in found]
        pulls: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for contact, both in zip(found, sides, strict=True):
            for i, vertices, sign in both:
                pull = sign * factor * contact.depth_mm[:, None] * contact.normals
                pulls.setdefault(i, []).append((vertices, pull))
        for i, own in pulls.items():
            vertices, pull = (np.concatenate(parts) for parts in zip(*own, strict=True))
            model.gradient[i] += self._gradient(state, i, vertices, pull, model.n_modes)
        if model.hessian is None:
            return
        for contact, both in zip(found, sides, strict=True):
            designs = {
                i: sign * self._normal_motions(state, i, vertices, contact.normals, model.n_modes)
                for i, vertices, sign in both
            }
            for i, design in designs.items():
                for j, other in designs.items():
                    model.hessian[i, :, j] += factor * design.T @ other

    def _contacts(self, state: SceneState) -> list[Contact]:
        triangles = [surface.triangles for surface in self._scene.surfaces]
        return state.once(self, lambda: contacts(triangles, state.world_mm, self._reach_mm, self._scene.run))

    def _penalty(self, found: list[Contact]) -> float:
        return self._share * sum(float(np.square(contact.depth_mm).sum()) for contact in found)

    def _gradient(
        self, state: SceneState, index: int, vertices: np.ndarray, pull: np.ndarray, n_modes: int
    ) -> np.ndarray:
        """[6 + n_modes] the derivative by the parameters of a vertebra of what has the derivative `pull` [N, 3], world, by
        its vertices [N].
        """
        surface, pose = self._scene.surfaces[index], state.parameters[index][:POSE_SIZE]
        own = pull @ state.rotations[index]
        wrench = np.concatenate([own.sum(0), np.cross(state.vertices_mm[index][vertices], own).sum(0)])
        model = own.ravel() @ surface.modes_by_vertex_mm[vertices].reshape(own.size, -1)
        free_form = surface.fields_by_vertex_mm[vertices].T @ own
        shape = np.concatenate([model, free_form.ravel()])[:n_modes]
        return np.concatenate([wrench @ tangent_from_pose(pose), shape])

    def _normal_motions(
        self, state: SceneState, index: int, vertices: np.ndarray, normals: np.ndarray, n_modes: int
    ) -> np.ndarray:
        """How far vertices [N] of a vertebra move along world normals [N, 3] with its parameters: [N, 6 + n_modes]."""
        surface, pose = self._scene.surfaces[index], state.parameters[index][:POSE_SIZE]
        own = normals @ state.rotations[index]
        points = state.vertices_mm[index][vertices].astype(np.float64)
        rigid = np.einsum("na,nak->nk", own, point_motions(points, np.zeros((0, len(points), 3))))
        model = np.einsum("na,nak->nk", own, surface.modes_by_vertex_mm[vertices])
        free_form = surface.fields_by_vertex_mm[vertices][:, :, None] * own[:, None, :]
        shape = np.concatenate([model, free_form.reshape(len(points), -1)], axis=1)[:, :n_modes]
        return np.concatenate([rigid @ tangent_from_pose(pose), shape], axis=1)
