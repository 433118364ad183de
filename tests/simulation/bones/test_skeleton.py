"""Skeletons around a lumbar subject."""

from dataclasses import replace

import numpy as np

from lumbar_ext.simulation.bones.skeleton import assemble_skeleton


def test_thoracic_vertebrae_shrink_upwards(skeleton):
    first, *heights = [
        np.ptp(vertebra.solid.vertices_mm[:, 2]) for vertebra in (skeleton.lumbar[0], *skeleton.thoracic)
    ]
    assert len(skeleton.thoracic) == 5
    assert np.all(np.diff(heights) < 0)
    # T12 has proportions of its own.
    assert heights[1] < first


def test_the_pelvis_grows_with_the_subject(population):
    sizes = []
    for scale in (0.9, 1.1):
        subject = population.sample(np.random.default_rng(0))
        grown = replace(subject, vertices_mm=subject.vertices_mm * scale, landmarks_mm=subject.landmarks_mm * scale)
        skeleton = assemble_skeleton(np.random.default_rng(1), grown, population.triangles, population.background)
        sizes.append(np.ptp(skeleton.pelvis.vertices_mm, axis=0))
    # Its breadth is drawn by sex, whatever the vertebrae; its irregularities do not grow.
    assert np.allclose((sizes[1] / sizes[0])[[0, 2]], 1.1 / 0.9, rtol=0.03)
    assert np.isclose(sizes[1][1], sizes[0][1], rtol=0.02)


def test_levels_are_named_from_the_top(skeleton):
    assert skeleton.levels == ("L1", "L2", "L3", "L4", "L5")
    assert skeleton.landmarks_mm.shape == (5, 7, 3)
