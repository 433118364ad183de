"""Surface errors of shapes whose distances are known."""

import math

import numpy as np
import pytest
import trimesh

from lumbar_ext.evaluation.surfaces.surface_error import SurfaceError, surface_error
from lumbar_ext.mesh.surface import Surface


def sphere(radius_mm=20.0, shift_mm=0.0):
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius_mm)
    return Surface(np.asarray(mesh.vertices) + np.array([shift_mm, 0, 0]), np.asarray(mesh.faces))


def test_a_sphere_around_another_is_the_difference_of_radii_away():
    numbers = surface_error(sphere(21.0), sphere(20.0)).numbers
    for name in ("mean_mm", "symmetric_mm", "percentile95_mm", "hausdorff_mm"):
        assert numbers[name] == pytest.approx(1.0, abs=0.03)
    assert numbers["dice"] == pytest.approx(2 * 20**3 / (20**3 + 21**3), abs=0.01)


def test_a_shifted_sphere_is_half_the_shift_away_on_average():
    """The distance along the normal is the shift times the cosine, whose mean magnitude on a sphere is one half."""
    numbers = surface_error(sphere(shift_mm=1.0), sphere()).numbers
    assert numbers["mean_mm"] == pytest.approx(0.5, abs=0.02)
    assert numbers["hausdorff_mm"] == pytest.approx(1.0, abs=0.02)
    assert numbers["percentile95_mm"] == pytest.approx(0.95, abs=0.02)


def test_the_mean_is_that_of_the_reconstruction_to_the_truth():
    """Half of the true sphere is missing from the reconstruction: only the other direction notices."""
    whole = sphere()
    half = Surface(whole.vertices_mm, whole.triangles[(whole.vertices_mm[whole.triangles][..., 2] >= 0).all(1)])
    kept = np.unique(half.triangles)
    half = Surface(whole.vertices_mm[kept], np.searchsorted(kept, half.triangles))
    numbers = surface_error(half, whole).numbers
    assert numbers["mean_mm"] < 1e-6 < 1 < numbers["symmetric_mm"]


def test_regions_are_measured_apart():
    """A sphere that grew along x: its poles there moved, its equator stayed."""
    truth = sphere()
    grown = truth.with_vertices(truth.vertices_mm * [1.1, 1, 1])
    regions = np.where(np.abs(truth.vertices_mm[:, 0]) > 15, 0, 1)
    regions[np.abs(truth.vertices_mm[:, 0]) < 3] = 2
    regions[:3] = 3, 4, 5
    numbers = surface_error(grown, truth, regions).numbers
    assert numbers["body_mm"] > 1 > 0.1 > numbers["articular_mm"]


def test_a_missing_vertebra_has_no_error():
    error = SurfaceError("study", "radiographs", "ours", "L3")
    assert error.missing and math.isnan(error.hausdorff_mm)
