import pytest

from lumbar_ext.registration.config import RegistrationConfig, bobyqa_config, gauss_newton_config
from lumbar_ext.registration.search.bobyqa import BobyqaBlocks, BobyqaJoint
from lumbar_ext.registration.search.gauss_newton import GaussNewton
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import AbsoluteError


def test_the_papers_registration_has_its_parts():
    config = bobyqa_config()
    assert isinstance(config.optimiser, BobyqaBlocks) and isinstance(config.images.similarity, AbsoluteError)
    assert config.n_modes == 14 and config.free_form is None and config.landmark_term is None
    assert isinstance(bobyqa_config(joint=True).optimiser, BobyqaJoint)


def test_the_default_is_the_recommended_one():
    assert RegistrationConfig() == gauss_newton_config()
    assert isinstance(RegistrationConfig().optimiser, GaussNewton) and RegistrationConfig().n_modes is None


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        RegistrationConfig(n_modes=-1)
    with pytest.raises(ValueError, match="weight must not be negative"):
        ShapePriorTerm(-1)
