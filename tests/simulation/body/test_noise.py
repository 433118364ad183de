"""Random fields: unit variance, zero mean, smooth below a cell and independent beyond a few."""

import numpy as np
import pytest

from lumbar_ext.simulation.body.noise import smooth_noise, waves


@pytest.mark.parametrize("cell", [4.0, 10.0])
def test_fields_have_unit_variance_and_the_length_of_the_cell(cell):
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, (128, 96), cell) for _ in range(40)])
    assert fields.shape == (40, 128, 96)
    assert np.isclose(fields.std(), 1.0, atol=0.05)
    assert abs(fields.mean()) < 0.05

    def correlation(shift):
        return (fields[:, shift:] * fields[:, :-shift]).mean()

    assert correlation(1) > 0.9
    assert abs(correlation(round(5 * cell))) < 0.1


def test_waves_have_unit_variance():
    rng = np.random.default_rng(0)
    points = rng.uniform(-200, 200, (4000, 3))
    values = np.concatenate([waves(rng, points, (8.0, 40.0)) for _ in range(10)])
    assert np.isclose(values.std(), 1.0, atol=0.05)
    assert abs(values.mean()) < 0.03
