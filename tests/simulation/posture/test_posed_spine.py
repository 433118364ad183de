"""Postures: stacked without overlap, with lordosis and motion as published."""

from pathlib import Path

import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.bones.skeleton import assemble_skeleton
from lumbar_ext.simulation.posture.posed_spine import posed_landmarks_mm, posed_vertebrae, sample_posture
from lumbar_ext.simulation.study_spec import StudySpec

ANATOMY = Path(__file__).parents[3] / "bundles" / "lumbar_reconstruction" / "models" / "anatomy.pt"


def draw(skeleton, seed, **kwargs):
    return sample_posture(np.random.default_rng(seed), skeleton, StudySpec(seed, **kwargs))


def largest_overlap_mm(posture):
    bodies = [ContactBody(vertebra.solid) for vertebra in posture.skeleton.lumbar]
    poses = posture.world_from_vertebra
    return max(find_contact(bodies[i], bodies[i + 1], poses[i].inverse() @ poses[i + 1]).depth_mm for i in range(4))


def lordosis(skeleton, direction, count=25):
    level = None if direction == "neutral" else 2
    return np.array([draw(skeleton, s, direction=direction, level=level).lordosis_deg for s in range(count)])


def test_equal_seeds_give_equal_postures(skeleton):
    first, second = draw(skeleton, 3), draw(skeleton, 3)
    assert first.direction == second.direction
    for one, other in zip(first.world_from_vertebra, second.world_from_vertebra, strict=True):
        assert np.array_equal(one.to_matrix(), other.to_matrix())


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_do_not_overlap(skeleton, seed):
    assert largest_overlap_mm(draw(skeleton, seed)) == 0


def test_standing_lordosis_is_that_of_adults():
    # 49.8 +- 11.2 deg in 627 standing adults (PMC6680033). Facets limit lordosis, so real shapes are needed.
    population = Population.load(ANATOMY)
    values = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        skeleton = assemble_skeleton(rng, population.sample(rng), population.triangles, population.background)
        posture = sample_posture(rng, skeleton, StudySpec(0, direction="neutral"))
        values.append(posture.lordosis_deg)
        for old, new in zip(skeleton.lumbar, posture.skeleton.lumbar, strict=True):
            assert np.abs(new.solid.vertices_mm - old.solid.vertices_mm).max() < 5
        assert largest_overlap_mm(posture) == 0
    assert abs(np.mean(values) - 49.8) < 9
    assert 5 < np.std(values) < 18


def test_flexion_flattens_and_extension_deepens_the_lordosis(skeleton):
    neutral = lordosis(skeleton, "neutral", 10).mean()
    assert lordosis(skeleton, "flexion", 10).mean() < neutral - 10
    assert lordosis(skeleton, "extension", 10).mean() > neutral + 2


def test_discs_part_the_bodies_by_plausible_heights(skeleton):
    spacing = []
    for seed in range(15):
        origins = np.array([pose.translation_mm for pose in draw(skeleton, seed).world_from_vertebra])
        spacing.append(np.linalg.norm(np.diff(origins, axis=0), axis=1))
    assert 30 < np.mean(spacing) < 42
    assert np.min(spacing) > 24


def test_the_third_lumbar_vertebra_stands_near_the_origin(skeleton):
    for seed in range(10):
        assert np.all(np.abs(draw(skeleton, seed).world_from_vertebra[2].translation_mm) <= [20, 20, 40])


def test_the_spine_runs_upwards_with_the_sacrum_below(skeleton):
    posture = draw(skeleton, 1, direction="neutral")
    poses = [posture.world_from_sacrum, *posture.world_from_vertebra[::-1], *posture.world_from_thoracic]
    assert np.all(np.diff([pose.translation_mm[2] for pose in poses]) > 0)


def test_posed_landmarks_move_with_the_vertebrae(skeleton):
    posture = draw(skeleton, 2)
    landmarks = np.stack([vertebra.landmarks_mm for vertebra in skeleton.lumbar])
    posed = posed_landmarks_mm(posture, landmarks)
    for i, solid in enumerate(posed_vertebrae(posture)):
        back = RigidTransform.inverse(posture.world_from_vertebra[i])
        assert np.allclose(back.apply(posed[i]), landmarks[i], atol=1e-9)
        assert np.allclose(back.apply(solid.vertices_mm), posture.skeleton.lumbar[i].solid.vertices_mm, atol=1e-9)


def test_landmarks_of_another_shape_are_refused(skeleton):
    with pytest.raises(ValueError, match="landmarks_mm"):
        posed_landmarks_mm(draw(skeleton, 0), np.zeros((5, 6, 3)))
