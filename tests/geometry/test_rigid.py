import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform, euler_rotation, fit_rigid


def random_transform(seed):
    rng = np.random.default_rng(seed)
    return RigidTransform.from_euler(*rng.uniform(-1.2, 1.2, 3), rng.uniform(-50, 50, 3))


def test_products_read_as_names_that_cancel(points_mm):
    world_from_a, a_from_b = random_transform(1), random_transform(2)
    world_from_b = world_from_a @ a_from_b
    np.testing.assert_allclose(world_from_b.apply(points_mm), world_from_a.apply(a_from_b.apply(points_mm)), atol=1e-10)


def test_inverse_undoes(points_mm):
    transform = random_transform(3)
    np.testing.assert_allclose(transform.inverse().apply(transform.apply(points_mm)), points_mm, atol=1e-10)
    np.testing.assert_allclose((transform @ transform.inverse()).to_matrix(), np.eye(4), atol=1e-12)


def test_matrix_acts_on_homogeneous_points(points_mm):
    transform = random_transform(4)
    homogeneous = np.c_[points_mm, np.ones(len(points_mm))]
    np.testing.assert_allclose((homogeneous @ transform.to_matrix().T)[:, :3], transform.apply(points_mm), atol=1e-10)


def test_euler_angles_are_z_after_y_after_x():
    lateral, flexion, axial = 0.3, -0.4, 0.7
    about = [euler_rotation(lateral, 0, 0), euler_rotation(0, flexion, 0), euler_rotation(0, 0, axial)]
    np.testing.assert_allclose(euler_rotation(lateral, flexion, axial), about[2] @ about[1] @ about[0], atol=1e-14)


def test_signs_of_the_three_angles():
    front, left, up = np.eye(3)
    tilt = np.radians(10)
    assert (euler_rotation(0, tilt, 0) @ up)[0] > 0  # flexion leans the top forward
    assert (euler_rotation(0, 0, tilt) @ front)[1] > 0  # axial rotation turns the front to the left
    assert (euler_rotation(tilt, 0, 0) @ left)[2] > 0  # lateral bend about the front lifts the left side


def test_euler_angles_come_back():
    angles = np.random.default_rng(0).uniform(-1.4, 1.4, (20, 3))
    back = np.array([RigidTransform.from_euler(*a).euler_rad() for a in angles])
    np.testing.assert_allclose(back, angles, atol=1e-12)


def test_pose_parameters_are_translation_then_angles():
    pose = np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
    transform = RigidTransform.from_pose(pose)
    np.testing.assert_allclose(transform.translation_mm, pose[:3])
    np.testing.assert_allclose(transform.euler_rad(), pose[3:], atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.5, np.pi - 1e-7])
def test_angle_about_the_own_axis(angle):
    assert RigidTransform.from_euler(0, angle if angle < 1.5 else 0, 0 if angle < 1.5 else angle).angle_rad() == (
        pytest.approx(angle, abs=1e-9)
    )


def test_fit_recovers_a_transform_from_exact_points(points_mm):
    transform = random_transform(5)
    found = fit_rigid(points_mm, transform.apply(points_mm))
    np.testing.assert_allclose(found.to_matrix(), transform.to_matrix(), atol=1e-10)


def test_fit_never_mirrors(points_mm):
    mirrored = points_mm * [1, -1, 1]
    assert np.linalg.det(fit_rigid(points_mm, mirrored).rotation) == pytest.approx(1)


def test_points_of_no_weight_do_not_count(points_mm):
    transform = random_transform(6)
    target = transform.apply(points_mm)
    target[:5] += 100
    found = fit_rigid(points_mm, target, np.r_[np.zeros(5), np.ones(35)])
    np.testing.assert_allclose(found.to_matrix(), transform.to_matrix(), atol=1e-10)


def test_fit_minimises_the_weighted_distance(points_mm):
    rng = np.random.default_rng(7)
    target, weights = points_mm + rng.normal(0, 5, points_mm.shape), rng.uniform(0.1, 3, len(points_mm))

    def cost(transform):
        return weights @ ((transform.apply(points_mm) - target) ** 2).sum(-1)

    best = fit_rigid(points_mm, target, weights)
    for _ in range(20):
        nudge = RigidTransform.from_pose(rng.normal(0, 1e-3, 6))
        assert cost(nudge @ best) >= cost(best)


def test_points_on_one_line_are_refused():
    line = np.arange(5)[:, None] * np.array([1.0, 2, 3])
    with pytest.raises(ValueError, match="on one line"):
        fit_rigid(line, line)
    with pytest.raises(ValueError, match="at least three points"):
        fit_rigid(line, line, [1, 1, 0, 0, 0])
    with pytest.raises(ValueError, match=r"must both be \[N, 3\]"):
        fit_rigid(line, line[:3])


def test_improper_rotations_cannot_exist():
    for rotation in (np.diag([1, 1, -1.0]), 1.01 * np.eye(3), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match=r"orthonormal|not finite"):
            RigidTransform(rotation, np.zeros(3))
    with pytest.raises(ValueError, match=r"needs rotation \[3, 3\]"):
        RigidTransform(np.eye(4), np.zeros(3))


def test_long_products_stay_rotations():
    product = RigidTransform.identity()
    for seed in range(200):
        product = product @ random_transform(seed)
    np.testing.assert_allclose(product.rotation @ product.rotation.T, np.eye(3), atol=1e-12)
