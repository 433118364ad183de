"""Skeletons around a lumbar subject."""

import numpy as np

from lumbar_ext.simulation.subject import assemble_skeleton


def test_thoracic_vertebrae_shrink_upwards(skeleton):
    heights = [np.ptp(vertebra.solid.vertices_mm[:, 2]) for vertebra in (skeleton.lumbar[0], *skeleton.thoracic)]
    assert len(skeleton.thoracic) == 5
    assert np.all(np.diff(heights) < 0)


def test_thoracic_transverse_processes_are_short(skeleton):
    lumbar, thoracic = (np.abs(v.solid.vertices_mm[:, 1]).max() for v in (skeleton.lumbar[0], skeleton.thoracic[0]))
    assert thoracic < 0.8 * lumbar


def test_the_pelvis_grows_with_the_subject(population):
    sizes = []
    for scale in (0.9, 1.1):
        subject = population.sample(np.random.default_rng(0))
        grown = type(subject)(subject.vertices_mm * scale, subject.landmarks_mm * scale)
        skeleton = assemble_skeleton(np.random.default_rng(1), grown, population.triangles, population.background)
        sizes.append(np.ptp(skeleton.pelvis.vertices_mm, axis=0))
    assert np.allclose(sizes[1] / sizes[0], 1.1 / 0.9, rtol=1e-6)
