import numpy as np
import pytest
import torch

from lumbar_ext.geometry import RigidTransform, fit_rigid
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.build import BuildOptions, build_model
from lumbar_ext.shape.quality.measures import (
    _rms_after_alignment,
    best_instance,
    compactness,
    generality,
    specificity,
    symmetric_distance,
)


@pytest.fixture(scope="module")
def model(atlas):
    return build_model(atlas, BuildOptions(n_subjects=30, n_modes=12))


def test_an_instance_is_found_again_in_any_pose(model):
    b = torch.as_tensor(np.random.default_rng(0).uniform(-1.5, 1.5, size=(1, 5, 12)), dtype=torch.float32)
    vertices = RigidTransform.from_euler(0.2, 0.1, -0.3, np.array([5.0, 6, 7])).apply(model(b)[0, 2].numpy())
    for fit, limit_mm in (("correspondence", 0.05), ("surface", 0.3)):
        found = best_instance(model, vertices, 2, 12, fit)
        assert np.linalg.norm(found - vertices, axis=1).mean() < limit_mm
    with pytest.raises(ValueError, match="nearest"):
        best_instance(model, vertices, 2, 12, "nearest")


def test_generality_falls_with_more_modes(model, atlas):
    few, many = (generality(model, atlas.bases_mm[1, 2], 2, modes).mean_mm for modes in (2, 12))
    assert many < few


def test_the_surface_fit_is_no_worse_than_the_fit_of_vertices(model, atlas):
    surface, vertices = (generality(model, atlas.bases_mm[0, 1], 1, 6, fit) for fit in ("surface", "correspondence"))
    assert surface.mean_mm < vertices.mean_mm


def test_compactness_rises_to_one(model):
    cumulative = compactness(model)
    assert (np.diff(cumulative, axis=1) > 0).all()
    assert np.allclose(cumulative[:, -1], 1)


def test_distance_of_shifted_surfaces_is_bounded_by_the_shift(reference):
    surface = reference.surface
    quality = symmetric_distance(surface, surface.with_vertices(surface.vertices_mm + np.array([0, 0, 1.0])))
    assert 0.3 < quality.mean_mm < 1.0


def plate(x_mm, z_mm, step_mm):
    """A square of 12 mm edge made of triangles of one size."""
    ticks = np.arange(0, 12 + step_mm / 2, step_mm)
    n = len(ticks)
    points = np.array([[x_mm + a, b, z_mm] for a in ticks for b in ticks])
    cells = [n * i + j for i in range(n - 1) for j in range(n - 1)]
    return points, np.array([[c, c + n, c + n + 1] for c in cells] + [[c, c + n + 1, c + 1] for c in cells])


def plates(first_z_mm, second_z_mm):
    """A plate of small and one of large triangles, side by side."""
    (fine, fine_triangles), (coarse, coarse_triangles) = plate(0, first_z_mm, 1.0), plate(60, second_z_mm, 4.0)
    return Surface(np.concatenate([fine, coarse]), np.concatenate([fine_triangles, coarse_triangles + len(fine)]))


def test_distance_counts_every_part_by_its_area():
    # Half of the area is 3 mm apart, half 1 mm, though most vertices lie on the first half.
    quality = symmetric_distance(plates(3, 1), plates(0, 0))
    assert quality.mean_mm == pytest.approx(2.0, abs=1e-6)
    assert quality.p95_mm == pytest.approx(3.0, abs=1e-6)


def test_distances_after_alignment_are_those_of_the_best_rigid_motion(model):
    b = torch.as_tensor(np.random.default_rng(1).normal(size=(4, 5, 12)), dtype=torch.float32)
    shapes = model(b)[:, 0].double().numpy()
    shapes -= shapes.mean(axis=1, keepdims=True)
    turned = shapes[2:] @ RigidTransform.from_euler(1.0, 2.0, -0.5, np.zeros(3)).rotation
    found = _rms_after_alignment(shapes[:2], turned)
    for i, j in np.ndindex(2, 2):
        moved = fit_rigid(shapes[i], turned[j]).apply(shapes[i])
        assert found[i, j] == pytest.approx(np.sqrt(((moved - turned[j]) ** 2).sum(axis=1).mean()), rel=1e-6)


def test_specificity_rises_with_the_modes(model, atlas):
    assert specificity(model, atlas, 2, 1) < specificity(model, atlas, 2, 12)
