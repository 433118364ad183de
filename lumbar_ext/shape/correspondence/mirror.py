"""The left-right mirror of a shape, again in correspondence with the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.shape.correspondence.nonrigid import SMOOTH_TARGET_STAGES, NonrigidRegistration
from lumbar_ext.shape.model.reference import Reference

_FLIP = np.array([1.0, -1.0, 1.0])  # left and right exchanged


@dataclass(frozen=True)
class MirrorMap:
    """Each vertex's partner on the other side: a point in a triangle, as remeshing does not keep symmetry.

    Args:
        partners: [V] the points.
    """

    partners: MaterialPoints

    def apply(self, vertices_mm: np.ndarray) -> np.ndarray:
        """The mirror image [..., V, 3] of vertices or of displacements, vertebra frame, mm."""
        vertices = np.asarray(vertices_mm)
        return (self.partners.of(vertices) * _FLIP).astype(vertices.dtype)


def mirror_map(reference: Reference) -> MirrorMap:
    """The mirror map of a reference, from registering it to its own mirror image."""
    surface = reference.surface
    mirrored = Surface(surface.vertices_mm * _FLIP, surface.triangles[:, ::-1])
    registration = NonrigidRegistration(surface, SMOOTH_TARGET_STAGES[:4])
    _, partners = locate(mirrored, registration.register(surface.vertices_mm, mirrored).vertices_mm)
    return MirrorMap(partners)
