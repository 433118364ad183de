from dataclasses import replace

import pytest

from lumbar_ext.registration.config import (
    CONFIGS,
    RegistrationConfig,
    bobyqa_config,
    gauss_newton_config,
    paper_config,
    registration_config,
)
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.search.bobyqa import BobyqaBlocks, BobyqaJoint
from lumbar_ext.registration.search.gauss_newton import GaussNewton
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import AbsoluteError


def test_the_papers_registration_is_the_paper_to_the_letter():
    config = paper_config()
    assert config.optimiser == BobyqaJoint()
    assert (config.optimiser.stride, config.optimiser.mesh_vertices) == (1, None), "full resolution, full meshes"
    assert config.terms == (ImageTerm(AbsoluteError()),), "no prior, no landmarks, no contacts"
    assert config.n_modes == 14 and config.free_form is None and config.bounds == Bounds()
    assert config.landmark_weights.k > 0 and paper_config(weighted=False).landmark_weights.k == 0


def test_blocks_are_the_quicker_variant_under_its_own_name():
    config = bobyqa_config()
    assert isinstance(config.optimiser, BobyqaBlocks) and config.shape_prior == ShapePriorTerm(4e-5)
    assert replace(config, optimiser=BobyqaJoint(), shape_prior=None) == paper_config()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_registration_is_chosen_by_its_name(name):
    assert registration_config(name) == CONFIGS[name]()
    assert registration_config(name, n_modes=5).n_modes == 5


def test_options_of_a_bundle_reach_the_registration():
    assert registration_config(keep_apart=True).non_intersection is not None
    assert registration_config(keep_apart=False).non_intersection is None
    assert registration_config("bobyqa", prior_weight=0.1).shape_prior.weight == 0.1
    assert registration_config(BobyqaBlocks()).optimiser == BobyqaBlocks()
    with pytest.raises(ValueError, match="optimiser is 'gradient', expected one of gauss_newton, bobyqa, paper"):
        registration_config("gradient")
    with pytest.raises(ValueError, match="has no prior"):
        registration_config("paper", prior_weight=0.1)


def test_the_default_is_the_recommended_one():
    assert RegistrationConfig() == gauss_newton_config()
    assert isinstance(RegistrationConfig().optimiser, GaussNewton) and RegistrationConfig().n_modes is None


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        RegistrationConfig(n_modes=-1)
    with pytest.raises(ValueError, match="weight must not be negative"):
        ShapePriorTerm(-1)
