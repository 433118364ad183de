"""Curvature from keypoints: known curves, and the shipped statistics."""

import json

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import euler_rotation
from lumbar_ext.simulation.posture.posture_statistics import (
    build_posture_statistics,
    load_posture_statistics,
    relative_angles_rad,
)


def keypoints(step_rad):
    """T12 .. L5 on a circle in the sagittal plane with `step_rad` between neighbours; pedicles beside and behind."""
    tilt = step_rad * np.arange(-3, 3)
    chords = np.stack([np.sin(tilt), np.zeros(6), np.cos(tilt)], axis=1)
    bodies = -np.cumsum(35 * chords, axis=0)
    left, right = ([body + np.array([-20, side * 12, 5]) for body in bodies[1:]] for side in (1, -1))
    return bodies, np.array(left), np.array(right)


def test_a_straight_spine_has_no_relative_angles():
    assert np.allclose(relative_angles_rad(*keypoints(0.0)), 0, atol=1e-12)


def test_a_circular_spine_has_equal_flexion_at_every_level():
    angles = relative_angles_rad(*keypoints(0.12))
    assert np.allclose(angles[:, 1], 0.12, atol=5e-3)
    assert np.allclose(angles[:, [0, 2]], 0, atol=1e-9)


def test_turned_pedicles_are_axial_rotation():
    bodies, left, right = keypoints(0.0)
    turn = euler_rotation(0, 0, 0.2)
    middle = (left[2] + right[2]) / 2
    left[2], right[2] = (middle + turn @ (point - middle) for point in (left[2], right[2]))
    angles = relative_angles_rad(bodies, left, right)
    assert np.allclose(angles[:, 2], [0, 0.2, -0.2, 0], atol=1e-9)


def test_shipped_statistics_are_symmetric_and_lordotic():
    statistics = load_posture_statistics()
    assert statistics.n_scans > 1000
    assert np.allclose(statistics.mean_rad[:, [0, 2]], 0, atol=1e-4)
    assert np.all(np.diff(statistics.mean_rad[:, 1]) > 0)
    assert np.linalg.eigvalsh(statistics.covariance_rad2).min() > 0


def test_samples_have_the_mean_and_the_scale_of_the_statistics():
    statistics, rng = load_posture_statistics(), np.random.default_rng(0)
    samples = np.array([statistics.sample(rng, scale=(1.0, 1.0, 0.5)) for _ in range(800)])
    deviation = np.sqrt(np.diag(statistics.covariance_rad2)).reshape(4, 3)
    assert np.allclose(samples.mean(0), statistics.mean_rad, atol=0.012)
    assert np.allclose(samples.std(0) / deviation, [1, 1, 0.5], rtol=0.15)


def test_statistics_are_rebuilt_from_keypoint_files(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(60):
        (tmp_path / f"{index}.json").write_text(json.dumps(document(0.1 + 0.02 * rng.standard_normal())))
    built = build_posture_statistics(tmp_path)
    assert built.n_scans == 60
    assert np.allclose(built.mean_rad[:, 1], 0.1, atol=0.01)


def test_too_few_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least 50"):
        build_posture_statistics(tmp_path)


def document(step_rad):
    """A keypoint file in DICOM world coordinates (X left, Y back, Z up)."""
    bodies, left, right = keypoints(step_rad)
    entries = [
        ({"spine_level": level, "keypoint_type": "body"}, body)
        for level, body in zip(("T12", "L1", "L2", "L3", "L4", "L5"), bodies, strict=True)
    ]
    entries += [({"keypoint_type": "left"}, point) for point in left]
    entries += [({"keypoint_type": "right"}, point) for point in right]
    return [{"coordinates": {"world_space": [p[1], -p[0], p[2]]}, "type": kind} for kind, p in entries]
