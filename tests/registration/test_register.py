from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, PROCESS_LANDMARKS, VIEWS
from lumbar_ext.drr import drr_from_path_length, path_length
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.initial_pose import initial_poses
from lumbar_ext.registration.register import GroupDecomposition, RegistrationInput, build_problem, register
from lumbar_ext.registration.search.gauss_newton import GaussNewton, GaussNewtonStage, Varying

QUICK = RegistrationConfig(
    optimiser=GaussNewton(
        (GaussNewtonStage(4, None, Varying.POSE, 6, 0.05), GaussNewtonStage(4, None, Varying.MODEL, 12, 0.01))
    ),
    free_form=None,
)


@pytest.fixture
def inputs(truth, geometry):
    return RegistrationInput(truth.images, geometry, triangulate_landmarks(geometry, truth.landmarks), truth.landmarks)


def without_level(inputs, index):
    present = inputs.landmarks3d.present.copy()
    present[index] = False
    return replace(inputs, landmarks3d=replace(inputs.landmarks3d, present=present))


def test_walks_from_images_and_landmarks_to_meshes(inputs, toy_model, vertex_errors):
    result = register(inputs, toy_model, QUICK)
    assert result.levels == ("L1", "L2", "L3", "L4", "L5") and result.missing_levels == ()
    assert max(vertex_errors(result).values()) < 0.6
    assert result.vertebrae["L1"].vertices_mm.shape == (2562, 3)


def test_default_configuration_is_usable(inputs, toy_model, vertex_errors):
    result = register(without_level(without_level(inputs, 0), 4), toy_model)
    assert result.levels == ("L2", "L3", "L4")
    assert vertex_errors(result)["L3"] < 0.6


def test_a_missing_level_is_skipped_and_reported(inputs, toy_model, vertex_errors):
    result = register(without_level(inputs, 4), toy_model, QUICK)
    assert result.missing_levels == ("L5",) and "L5" not in result.vertebrae
    assert vertex_errors(result)["L2"] < 0.7


def test_a_vertebra_that_starts_outside_an_image_is_left_out(inputs, toy_model):
    points = inputs.landmarks3d.positions_mm.copy()
    points[0] += [0, 0, 900]
    result = register(replace(inputs, landmarks3d=replace(inputs.landmarks3d, positions_mm=points)), toy_model, QUICK)
    assert result.missing_levels == ("L1",)
    with pytest.raises(ValueError, match="outside the images"):
        register(replace(inputs, landmarks3d=replace(inputs.landmarks3d, positions_mm=points + 5000)), toy_model, QUICK)


def test_weights_stand_around_process_landmarks(inputs, shapes):
    poses = initial_poses(inputs.landmarks3d, shapes)
    problem = build_problem(inputs, shapes, poses, QUICK)
    for name in VIEWS:
        u, v = np.rint(inputs.landmarks[name].positions_px[2, PROCESS_LANDMARKS[0]]).astype(int)
        assert problem.targets[name].weights[v, u] > 2.5
        assert problem.targets[name].weights[0, 0] == 1
    assert set(problem.vertebrae[0].observed) == set(VIEWS)


def test_inputs_without_a_view_or_a_vertebra_are_refused(inputs):
    with pytest.raises(ValueError, match="decompositions must hold the views"):
        replace(inputs, decompositions={"ap": inputs.decompositions["ap"]})
    with pytest.raises(ValueError, match="landmarks3d has no vertebra"):
        replace(inputs, landmarks3d=replace(inputs.landmarks3d, present=np.zeros(5, dtype=bool)))


def test_image_that_does_not_fit_its_camera_is_refused(inputs, toy_model):
    small = {name: image[:256] for name, image in inputs.decompositions.items()}
    with pytest.raises(ValueError, match=r"image must be \(512, 512\)"):
        register(replace(inputs, decompositions=small), toy_model, QUICK)


def test_an_earlier_registration_is_gone_on_from(inputs, toy_model, vertex_errors):
    first = register(inputs, toy_model, QUICK)
    again = register(inputs, toy_model, QUICK, start=first)
    assert again.initial_loss == pytest.approx(first.loss, rel=0.02)
    assert max(vertex_errors(again).values()) <= max(vertex_errors(first).values()) + 0.05
    for level, fit in again.vertebrae.items():
        np.testing.assert_allclose(
            (fit.world_from_vertebra @ RigidTransform.from_pose(fit.pose).inverse()).to_matrix(),
            (
                first.vertebrae[level].world_from_vertebra
                @ RigidTransform.from_pose(first.vertebrae[level].pose).inverse()
            ).to_matrix(),
            atol=1e-9,
        )
    with pytest.raises(ValueError, match="shape coefficients, expected"):
        register(inputs, toy_model, replace(QUICK, n_modes=3), start=first)


def test_decompositions_of_groups_of_levels(inputs, toy_model, truth, geometry, vertex_errors):
    def group(view, levels):
        triangles = toy_model.triangles.numpy()
        lengths = [path_length(truth.vertices[LEVELS.index(level)], triangles, geometry[view]) for level in levels]
        return GroupDecomposition(levels, drr_from_path_length(sum(lengths)))

    groups = {view: tuple(group(view, levels) for levels in (("L1", "L3", "L5"), ("L2", "L4"))) for view in VIEWS}
    grouped = without_level(replace(inputs, decompositions=groups), 4)
    result = register(grouped, toy_model, QUICK)
    # L5 is in the image of its group, but not registered.
    assert result.missing_levels == ("L5",) and set(result.loss_per_view) == set(VIEWS)
    assert max(error for level, error in vertex_errors(result).items() if level in ("L1", "L2", "L4")) < 1.0
    with pytest.raises(ValueError, match="share a level"):
        replace(inputs, decompositions={**groups, "ap": (groups["ap"][0], groups["ap"][0])})
    with pytest.raises(ValueError, match="levels of a group"):
        GroupDecomposition(("T12",), np.zeros((4, 4)))


def test_pixels_without_weight_do_not_count(inputs, toy_model, vertex_errors):
    spoilt = {view: image.copy() for view, image in inputs.decompositions.items()}
    blind = {view: np.ones_like(image) for view, image in spoilt.items()}
    spoilt["ap"][240:270, 245:275] = 0.0
    blind["ap"][240:270, 245:275] = 0.0
    hurt, spared = (
        max(
            vertex_errors(
                register(replace(inputs, decompositions=spoilt, pixel_weights=own), toy_model, QUICK)
            ).values()
        )
        for own in ({}, blind)
    )
    assert spared < 0.6 and spared <= hurt
    with pytest.raises(ValueError, match="weights of 0 or more"):
        replace(inputs, pixel_weights={"ap": -np.ones((512, 512))})
