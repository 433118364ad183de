import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform, fit_rigid
from lumbar_ext.shape.model.alignment import (
    align_from_starts,
    axis_starts,
    flexion_starts,
    generalized_procrustes,
    trimmed_icp,
)


def test_icp_recovers_a_small_motion(reference, vertebra):
    motion = RigidTransform.from_euler(0.1, -0.15, 0.1, np.array([3.0, -2, 4]))
    target = vertebra.with_vertices(motion.apply(vertebra.vertices_mm))
    start = RigidTransform.identity()
    found = trimmed_icp(reference.surface, target, start).target_from_source
    world = fit_rigid(vertebra.vertices_mm, target.vertices_mm)
    reference_pose = trimmed_icp(reference.surface, vertebra, start).target_from_source
    difference = found.inverse() @ world @ reference_pose
    assert difference.angle_rad() < 0.01
    assert np.linalg.norm(difference.translation_mm) < 0.3


def test_any_orientation_is_found_from_the_axis_starts(reference, vertebra):
    motion = RigidTransform.from_euler(2.0, -0.8, 2.5, np.array([100.0, 50, -30]))
    target = vertebra.with_vertices(motion.apply(vertebra.vertices_mm))
    found = align_from_starts(reference.surface, target, axis_starts())
    assert found.residual_mm < 1.0
    difference = found.target_from_source.inverse() @ motion
    assert difference.angle_rad() < 0.05


def test_a_cut_target_does_not_pull(reference, vertebra):
    is_cut = vertebra.vertices_mm[:, 1] > 30
    shifted = vertebra.vertices_mm.copy()
    shifted[is_cut] += [0, -8, 0]
    found = align_from_starts(reference.surface, vertebra.with_vertices(shifted), flexion_starts(), is_cut=is_cut)
    whole = align_from_starts(reference.surface, vertebra, flexion_starts())
    difference = found.target_from_source.inverse() @ whole.target_from_source
    assert np.linalg.norm(difference.translation_mm) < 0.6


def test_axis_starts_are_the_24_rotations_of_a_cube():
    starts = axis_starts()
    assert len(starts) == 24
    assert all(np.linalg.det(s) == pytest.approx(1) for s in starts)


def test_procrustes_removes_rigid_motion_and_keeps_size():
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(40, 3)) * 20
    scales = [0.9, 1.0, 1.1]
    moved = [
        RigidTransform.from_euler(*rng.normal(scale=0.3, size=3), rng.normal(size=3) * 9).apply(s * shape)
        for s in scales
    ]
    aligned = generalized_procrustes(np.stack(moved)).shapes_mm
    for scale, result in zip(scales, aligned, strict=True):
        assert np.allclose((result - result.mean(0)) / scale, aligned[1] - aligned[1].mean(0), atol=1e-3)


def test_no_starts_are_refused(reference):
    with pytest.raises(ValueError, match="at least one"):
        align_from_starts(reference.surface, reference.surface, [])
