"""Errors of a made-up network are measured as they were made, and made again as they were measured."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lumbar_ext.evaluation.network.network_error import ObserveSpoilt, ViewError, spoilt, view_error
from lumbar_ext.transforms.decode import DecodedView

ERROR = ViewError(0.9, 0.02, 0.06, 3.0, (1.0, 1.0, 4.0, 4.0, 2.0, 2.0, 5.0))


def view(rng):
    bones = np.zeros((256, 256), np.float32)
    bones[30:230, 60:200] = gaussian_filter(rng.uniform(0.1, 0.9, (200, 140)), 4) + 0.2
    landmarks = rng.uniform(60, 200, (5, 7, 2))
    return DecodedView(bones, landmarks[:, 0], landmarks, np.ones(5), np.ones(5, bool), np.ones((5, 7)), True)


def test_what_is_spoilt_is_measured_again():
    rng = np.random.default_rng(0)
    true = [view(rng) for _ in range(30)]
    found = view_error(true, [spoilt(own, ERROR, rng) for own in true])
    assert found.gain_mean == pytest.approx(0.9, abs=0.02) and found.pixel_sd == pytest.approx(0.06, rel=0.1)
    assert found.correlation_px == pytest.approx(3.0, rel=0.2)
    # The largest tenth is left out, which takes a fifth of a normal distribution's width.
    np.testing.assert_allclose(found.landmark_sd_px, ERROR.landmark_sd_px, rtol=0.35)
    assert found.landmark_sd_px[6] > found.landmark_sd_px[4] > found.landmark_sd_px[0]


def test_a_study_is_always_spoilt_alike(true_study):
    from lumbar_ext.studies.biplanar_study import read_study

    paths = true_study.inputs("out")
    study = read_study(paths["ap_image"], paths["lat_image"], paths["calibration"])
    data = {"study": study, "truth_dir": str(true_study.folder / "truth")}
    first, second, other = (ObserveSpoilt(seed)(data)["observed"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.decompositions["ap"], second.decompositions["ap"])
    assert np.abs(first.decompositions["ap"] - other.decompositions["ap"]).max() > 0.01
    assert first.decompositions["lat"].max() < 1 and first.decompositions["lat"].min() == 0
