"""A small analytic vertebra of capsules and an elliptic cylinder, with one foramen; X front, Y left, Z up, mm."""

import numpy as np
import pytest
from skimage.measure import marching_cubes

from lumbar_ext.mesh.surface import Surface, clean_surface
from lumbar_ext.shape.correspondence.mirror import mirror_map
from lumbar_ext.shape.model.reference import build_reference
from lumbar_ext.shape.population.atlas import Atlas

_CAPSULES = [
    ((-14, 14, 5), (-28, 16, 4), 5.0),
    ((-28, 16, 4), (-34, 42, 5), 4.0),
    ((-28, 16, 2), (-42, 0, -3), 5.0),
    ((-28, 16, 4), (-30, 15, 18), 4.0),
    ((-36, 10, 0), (-40, 13, -20), 4.0),
    ((-42, 0, -3), (-64, 0, -8), 4.5),
]


def vertebra_distance(points_mm):
    """Signed distance (negative inside), approximate for the body."""
    x, y, z = np.moveaxis(points_mm, -1, 0)
    radial = (np.sqrt((x / 17) ** 2 + (y / 24) ** 2) - 1) * 17
    distance = np.maximum(radial, np.abs(z) - 14)
    for start, end, radius in _CAPSULES:
        for side in (1, -1):
            a, b = np.array(start) * [1, side, 1], np.array(end) * [1, side, 1]
            along = np.clip(((points_mm - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
            distance = np.minimum(
                distance, np.linalg.norm(points_mm - a - along[..., None] * (b - a), axis=-1) - radius
            )
    return distance


def vertebra_surface(step_mm=1.25, scale=1.0):
    """The analytic vertebra, scaled, as a closed surface."""
    low, high = np.array([-74.0, -52, -28]), np.array([24.0, 52, 28])
    axes = [np.arange(a, b, step_mm) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    vertices, triangles, _, _ = marching_cubes(-vertebra_distance(grid), 0.0)
    return clean_surface(Surface(scale * (vertices * step_mm + low), triangles))


def small_atlas(reference):
    """An atlas of one analytic vertebra at five sizes, with two smooth deviations and a base per held-out split."""
    base = reference.surface.vertices_mm
    means = np.stack([base * s for s in (0.94, 0.97, 1.0, 1.02, 1.03)])
    fields = np.stack([np.sin(base / 25), np.cos(base[:, [1, 2, 0]] / 20)])
    deviations = np.repeat(fields[:, None], 5, axis=1)
    bases = np.stack([means * [1.05, 1.0, 0.95], means * [0.96, 1.05, 1.0]])
    return Atlas(
        reference=reference,
        means_mm=means,
        deviations_mm=deviations,
        deviation_names=("a", "b"),
        bases_mm=bases,
        base_names=("v", "t"),
        base_splits=("validation", "test"),
        mirror=mirror_map(reference),
        background=None,
    )


@pytest.fixture(scope="session")
def vertebra():
    return vertebra_surface()


@pytest.fixture(scope="session")
def reference(vertebra):
    return build_reference(vertebra, n_vertices=3000)


@pytest.fixture(scope="session")
def atlas(reference):
    return small_atlas(reference)
