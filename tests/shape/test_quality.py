import numpy as np
import pytest
import torch

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.shape.build import BuildOptions, build_model
from lumbar_ext.shape.quality import best_instance, compactness, generality, quality_rows, symmetric_distance


@pytest.fixture(scope="module")
def model(atlas):
    return build_model(atlas, BuildOptions(n_subjects=30, n_modes=12))


def test_an_instance_is_found_again_in_any_pose(model):
    b = torch.as_tensor(np.random.default_rng(0).uniform(-1.5, 1.5, size=(1, 5, 12)), dtype=torch.float32)
    vertices = RigidTransform.from_euler(0.2, 0.1, -0.3, np.array([5.0, 6, 7])).apply(model(b)[0, 2].numpy())
    found = best_instance(model, vertices, 2, 12)
    assert np.linalg.norm(found - vertices, axis=1).mean() < 0.05


def test_generality_falls_with_more_modes(model, atlas):
    few, many = (generality(model, atlas.bases_mm[1, 2], 2, modes).mean_mm for modes in (2, 12))
    assert many < few


def test_compactness_rises_to_one(model):
    cumulative = compactness(model)
    assert (np.diff(cumulative, axis=1) > 0).all()
    assert np.allclose(cumulative[:, -1], 1)


def test_distance_of_shifted_surfaces_is_bounded_by_the_shift(reference):
    surface = reference.surface
    quality = symmetric_distance(surface, surface.with_vertices(surface.vertices_mm + np.array([0, 0, 1.0])))
    assert 0.3 < quality.mean_mm < 1.0


def test_rows_cover_all_levels(model, atlas):
    rows = quality_rows(model, atlas, seed=0)
    assert {r["level"] for r in rows} == {"L1", "L2", "L3", "L4", "L5"}
    assert {r["measure"] for r in rows} == {"compactness", "specificity_rms_mm"}
