"""The subject's own vertebrae, put where both views show them."""

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.registration.own_meshes import SubjectVertebra, register_rigidly
from lumbar_ext.registration.register import RegistrationInput

CT_FROM_WORLD = RigidTransform.from_euler(0.1, -0.3, 0.2, np.array([30.0, -200.0, 900.0]))


@pytest.fixture
def inputs(truth, geometry):
    return RegistrationInput(truth.images, geometry, triangulate_landmarks(geometry, truth.landmarks), truth.landmarks)


@pytest.fixture
def subject(truth, toy_model):
    """The true vertebrae, as a CT scanner with other axes saw them; L2 was not in its field of view."""
    triangles = toy_model.triangles.numpy()
    return {
        level: SubjectVertebra(CT_FROM_WORLD.apply(truth.vertices[i]), triangles, CT_FROM_WORLD.apply(truth.points[i]))
        for i, level in enumerate(LEVELS)
        if level != "L2"
    }


def placement_errors(result, truth):
    found = {level: fit.vertices_mm for level, fit in result.vertebrae.items()}
    return [np.linalg.norm(v - truth.vertices[LEVELS.index(level)], axis=1).mean() for level, v in found.items()]


def test_vertebrae_from_ct_are_placed_and_a_level_without_a_mesh_is_missing(inputs, subject, truth):
    result = register_rigidly(inputs, subject)
    assert result.missing_levels == ("L2",)
    errors = dict(zip(result.levels, placement_errors(result, truth), strict=True))
    assert errors["L4"] < 0.15 and errors["L5"] < 0.15
    # The neighbours of the vertebra that the images show but no mesh explains.
    assert errors["L1"] < 0.5 and errors["L3"] < 0.5


def test_random_starts_end_at_the_same_place(inputs, subject, truth, toy_model):
    own = {
        **subject,
        "L2": SubjectVertebra(
            CT_FROM_WORLD.apply(truth.vertices[1]), toy_model.triangles.numpy(), CT_FROM_WORLD.apply(truth.points[1])
        ),
    }
    rng, ends = np.random.default_rng(0), []
    for _ in range(3):
        offsets = {level: rng.uniform(-1, 1, 6) * [6, 6, 6, 0.12, 0.12, 0.12] for level in LEVELS}
        result = register_rigidly(inputs, own, start_offsets=offsets)
        ends.append([result.vertebrae[level].world_from_vertebra.translation_mm for level in LEVELS])
    assert np.ptp(ends, axis=0).max() < 0.1


def test_landmarks_inside_the_bone_stay_where_they_are(subject, truth):
    shape = subject["L3"].shape()
    pose = CT_FROM_WORLD.inverse() @ subject["L3"].ct_from_vertebra
    np.testing.assert_allclose(pose.apply(shape.landmarks(np.zeros(0))), truth.points[2], atol=1e-3)


def test_levels_must_meet(inputs, subject):
    with pytest.raises(ValueError, match="no level has both a mesh"):
        register_rigidly(inputs, {})
    with pytest.raises(ValueError, match="not finite"):
        SubjectVertebra(np.full((4, 3), np.nan), np.zeros((4, 3), int), np.zeros((7, 3)))
