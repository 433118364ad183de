import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.shape.population.variation import PARAMETERS
from lumbar_ext.shape.population.widening import Amplitudes, Widening, draw_build, draw_parameters


@pytest.fixture(scope="module")
def widening(atlas):
    return Widening(atlas)


def test_parameters_have_unit_variance_and_the_stated_correlations():
    rng = np.random.default_rng(0)
    draws = np.stack([draw_parameters(rng) for _ in range(4000)])
    names = [p.name for p in PARAMETERS]
    assert np.allclose(draws.std(axis=0), 1.0, atol=0.06)
    width = names.index("body_width_mm")
    assert np.corrcoef(draws[:, width, 0], draws[:, width, 3])[0, 1] == pytest.approx(0.7, abs=0.04)
    left, right = names.index("left_transverse_length_mm"), names.index("right_transverse_length_mm")
    assert np.corrcoef(draws[:, left, 2], draws[:, right, 2])[0, 1] == pytest.approx(0.6, abs=0.05)


def test_men_have_larger_vertebrae_and_levels_share_size():
    rng = np.random.default_rng(0)
    builds = [draw_build(rng) for _ in range(4000)]
    sizes = np.stack([b.log_size for b in builds])
    male = np.array([b.sex == "male" for b in builds])
    assert sizes[male].mean() - sizes[~male].mean() == pytest.approx(0.094, abs=0.01)
    assert np.corrcoef(sizes[male, 0], sizes[male, 4])[0, 1] == pytest.approx(0.87, abs=0.05)


def test_the_residual_is_smooth_and_of_the_asked_size(atlas):
    widening = Widening(atlas, Amplitudes(residual_mm=(0.4, 0.4)))
    rng = np.random.default_rng(0)
    fields = np.stack([widening.residual(rng) for _ in range(60)])
    assert fields.std() == pytest.approx(0.4, rel=0.05)
    edges = atlas.reference.surface.to_trimesh().edges_unique
    jumps = np.linalg.norm(np.diff(fields[:, 2][:, edges], axis=2)[:, :, 0], axis=2)
    assert jumps.mean() < 0.3


def test_subjects_are_watertight_in_vertebra_frames_and_deterministic(widening, atlas):
    draw = [widening.training_subject(np.random.default_rng(7), atlas.means_mm, np.zeros(5)) for _ in range(2)]
    assert np.array_equal(draw[0], draw[1])
    for level in range(len(LEVELS)):
        surface = atlas.reference.surface.with_vertices(draw[0][level])
        assert surface.is_watertight and surface.volume_mm3 > 0
        landmarks = atlas.reference.landmarks_mm(draw[0][level])
        assert np.allclose(landmarks[0] + landmarks[1], 0, atol=1e-3)


def test_without_amplitudes_the_base_comes_back(atlas):
    still = Widening(atlas, Amplitudes(real=0.0, parametric=0.0, residual_mm=(0.0, 0.0)))
    subject = still.training_subject(np.random.default_rng(0), atlas.means_mm, np.full(5, np.log(1.1)))
    assert np.allclose(subject, 1.1 * atlas.means_mm, atol=1e-3)
