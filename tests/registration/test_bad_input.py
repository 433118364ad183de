"""Inputs that cannot be right: a flagged answer inside the bounds, or a clear error; never a hang, never a silent one."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.landmarks.triangulated import ViewLandmarks, triangulate_landmarks
from lumbar_ext.registration.config import RegistrationConfig, bobyqa_config
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.register import RegistrationInput, register
from lumbar_ext.registration.result import StopReason
from lumbar_ext.registration.search.bobyqa import BlockStage, BobyqaBlocks
from lumbar_ext.registration.search.gauss_newton import GaussNewton, GaussNewtonStage, Varying
from lumbar_ext.registration.search.optimiser import start_parameters

COARSE = RegistrationConfig(
    optimiser=GaussNewton(
        (GaussNewtonStage(4, None, Varying.POSE, 6, 0.05), GaussNewtonStage(4, None, Varying.MODEL, 6, 0.02))
    ),
    free_form=None,
)
BLOCKS = replace(bobyqa_config(), optimiser=BobyqaBlocks((BlockStage(4, None, True, 1, 0.5, 0.1, 60),)))


@pytest.fixture
def inputs(truth, geometry):
    return RegistrationInput(truth.images, geometry, triangulate_landmarks(geometry, truth.landmarks), truth.landmarks)


def with_landmarks(inputs, **views):
    landmarks = {**inputs.landmarks, **views}
    return replace(inputs, landmarks=landmarks, landmarks3d=triangulate_landmarks(inputs.geometry, landmarks))


def stays_inside(result, config):
    limits = config.bounds.limits(0)
    for fit in result.vertebrae.values():
        assert np.isfinite(fit.vertices_mm).all()
        assert (np.abs(fit.pose) <= limits).all() and (np.abs(fit.coefficients) <= config.bounds.shape_sd).all()


@pytest.mark.parametrize("config", [COARSE, BLOCKS])
@pytest.mark.parametrize("value", [0.0, 0.999])
def test_blank_and_saturated_decompositions_give_a_bounded_flagged_answer(inputs, toy_model, config, value):
    images = {name: np.full_like(image, value) for name, image in inputs.decompositions.items()}
    result = register(replace(inputs, decompositions=images), toy_model, config)
    stays_inside(result, config)
    assert any("nothing in the decompositions" in text for text in result.warnings)


def in_a_room_stated_larger(inputs, times):
    """The same films, all lengths of their cameras stated so many times too large."""
    cameras = {
        view: inputs.geometry[view].replace(
            source_mm=times * inputs.geometry[view].source_mm,
            detector_origin_mm=times * inputs.geometry[view].detector_origin_mm,
            pixel_spacing_mm=tuple(times * np.array(inputs.geometry[view].pixel_spacing_mm)),
        )
        for view in VIEWS
    }
    geometry = BiplanarGeometry(**cameras)
    return replace(inputs, geometry=geometry, landmarks3d=triangulate_landmarks(geometry, inputs.landmarks))


def test_vertebrae_larger_than_anybodys_are_refused_and_unusual_ones_told(inputs, toy_model):
    """The rays still meet: only the size tells."""
    larger = in_a_room_stated_larger(inputs, 1.6)
    assert np.nanmax(larger.landmarks3d.gap_mm) < 1e-6
    for wrong in (larger, in_a_room_stated_larger(inputs, 0.4)):
        with pytest.raises(InputError, match="as large as people's are on average, expected"):
            register(wrong, toy_model, COARSE)
    (doubt,) = (
        text for text in register(in_a_room_stated_larger(inputs, 1.3), toy_model, COARSE).warnings if "large" in text
    )
    assert "pixel spacing and distances" in doubt
    assert not any("large" in text for text in register(inputs, toy_model, COARSE).warnings)


def test_a_view_without_any_vertebra_is_refused(inputs):
    nothing = ViewLandmarks(np.full((5, 7, 2), np.nan), np.zeros((5, 7)))
    with pytest.raises(ValueError, match="no vertebra"):
        with_landmarks(inputs, lat=nothing)


def test_a_landmark_with_a_gap_of_50_mm_does_not_matter(inputs, toy_model, vertex_errors):
    positions = inputs.landmarks["lat"].positions_px.copy()
    positions[2, 6, 1] += 75
    spoilt = with_landmarks(inputs, lat=ViewLandmarks(positions, np.ones((5, 7))))
    assert spoilt.landmarks3d.gap_mm[2, 6] > 40
    assert vertex_errors(register(spoilt, toy_model, COARSE))["L3"] < 0.8


def test_swapped_sides_in_one_view_are_flagged_or_do_not_matter(inputs, toy_model, vertex_errors):
    positions = inputs.landmarks["ap"].positions_px[:, list(LEFT_RIGHT_SWAP)]
    result = register(with_landmarks(inputs, ap=ViewLandmarks(positions, np.ones((5, 7)))), toy_model, COARSE)
    stays_inside(result, COARSE)
    wrong = [level for level, error in vertex_errors(result).items() if error > 3]
    assert not wrong or result.warnings


def test_values_that_are_not_finite_are_refused(inputs, toy_model):
    image = inputs.decompositions["ap"].copy()
    image[5, 5] = np.nan
    with pytest.raises(ValueError, match="image holds values that are not finite"):
        register(replace(inputs, decompositions={**inputs.decompositions, "ap": image}), toy_model, COARSE)


def test_a_start_beyond_its_bounds_begins_on_them(plain_problem):
    starts = tuple(replace(v, pose=np.full(6, 50.0), coefficients=np.full(8, 9.0)) for v in plain_problem.vertebrae)
    bounds = Bounds(translation_mm=2.0, shape_sd=1.0)
    for parameters in start_parameters(replace(plain_problem, vertebrae=starts, bounds=bounds)):
        np.testing.assert_allclose(parameters, bounds.limits(8))


@pytest.mark.parametrize("config", [COARSE, BLOCKS])
def test_a_time_limit_that_cuts_off_is_told(inputs, toy_model, config):
    result = register(inputs, toy_model, config, max_seconds=1e-3)
    assert result.stop_reason is StopReason.TIME and "cut off by its time limit" in result.warnings[0]
    stays_inside(result, config)
