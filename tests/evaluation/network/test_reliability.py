import numpy as np
import pytest

from lumbar_ext.evaluation.network.reliability import reliability, save_diagram


def test_bins_by_hand():
    curve = reliability([0.05, 0.05, 0.92, 0.98], [0, 1, 1, 1])
    assert curve.confidence == pytest.approx([0.05, 0.95]) and curve.frequency == pytest.approx([0.5, 1.0])
    assert curve.counts.tolist() == [2, 2] and curve.expected_error == pytest.approx((0.45 + 0.05) / 2)


def test_honest_confidences_have_a_small_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, 20000)
    assert reliability(confidence, rng.uniform(0, 1, 20000) < confidence).expected_error < 0.02


def test_the_diagram_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    curve = reliability([0.1, 0.9], [0, 1])
    save_diagram({"raw": curve, "calibrated": curve}, 4.0, tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"
