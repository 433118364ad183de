import numpy as np
import pytest

from lumbar_ext.drr import MU_BONE_800HU_PER_MM, drr_from_path_length, path_length_from_drr


def test_attenuation_follows_the_hounsfield_definition():
    assert 1000 * (MU_BONE_800HU_PER_MM - 0.0227) / 0.0227 == pytest.approx(800)


def test_half_value_layer_halves_the_rest():
    half_value_mm = np.log(2) / MU_BONE_800HU_PER_MM
    np.testing.assert_allclose(drr_from_path_length(np.array([0, 1, 2, 3]) * half_value_mm), [0, 0.5, 0.75, 0.875])


def test_path_lengths_come_back():
    lengths = np.linspace(0, 200, 50)
    np.testing.assert_allclose(path_length_from_drr(drr_from_path_length(lengths)), lengths, rtol=1e-9)
    assert drr_from_path_length(np.float32([30])).dtype == np.float32


def test_values_no_bone_can_have_are_clipped():
    lengths = path_length_from_drr(np.array([-0.1, 1.0, 1.5]))
    assert lengths[0] == 0 and lengths[1] == lengths[2] == pytest.approx(-np.log(1e-6) / MU_BONE_800HU_PER_MM)
