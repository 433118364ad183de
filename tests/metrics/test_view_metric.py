import numpy as np
import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError

from lumbar_ext.errors import InputError
from lumbar_ext.metrics import ViewMetric, ViewScorer, view_metrics
from lumbar_ext.metrics.view_scores import measure_view
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.multitask_targets import encode_target


def score_view(prediction, target, pixel_spacing_mm):
    return measure_view(prediction, target, pixel_spacing_mm).scores


@pytest.fixture
def target():
    rng = np.random.default_rng(0)
    centres = np.array([60.0, 40.0]) + np.arange(5)[:, None] * [0, 42]
    image = torch.from_numpy(rng.uniform(0, 0.9, (256, 128)))
    return encode_target(image, centres[:, None] + rng.uniform(-15, 15, (5, 7, 2)), np.ones(5))


def test_the_truth_scores_perfectly(target):
    scores = score_view(target[: LUMBAR_PACK.channels], target, 0.834)
    assert (scores.dice, scores.missed, scores.wrong, scores.sdr_2mm) == (1, 0, 0, 1)
    assert scores.landmark_mm < 0.05 and scores.ssim == pytest.approx(1)


def test_an_offset_error_becomes_millimetres_of_its_type(target):
    packed = target[: LUMBAR_PACK.channels].clone()
    packed[LUMBAR_PACK["landmark_offsets"].start + 12] += 1.0  # one cell, 4 px, along u of the spinous process
    scores = score_view(packed, target, 0.5)
    assert scores.spinous_process_mm == pytest.approx(2.0, abs=0.02)
    assert scores.pedicle_mm == pytest.approx(0, abs=0.02)


def test_missed_levels_lower_rate_and_score(target):
    packed = target[: LUMBAR_PACK.channels].clone()
    packed[LUMBAR_PACK["heatmap"].start] = 0
    scores = score_view(packed, target, 0.834)
    assert scores.missed == pytest.approx(0.2) and scores.sdr_6mm == pytest.approx(0.8)
    assert scores.score < score_view(target[: LUMBAR_PACK.channels], target, 0.834).score


def test_metrics_average_over_all_views_of_a_run(target):
    scorer = ViewScorer()
    found = target[: LUMBAR_PACK.channels]
    missed = found.clone()
    missed[LUMBAR_PACK["heatmap"].start] = 0
    batches = [
        {"pred": torch.stack([found, missed]), "view": ["ap", "lat"]},
        {"pred": found[None], "view": ["lat"]},
    ]
    engine = Engine(lambda engine, batch: batch | {"label": target[None].expand(len(batch["view"]), -1, -1, -1)})
    for name, metric in {"score": ViewMetric("score", scorer), **view_metrics(scorer)}.items():
        metric.attach(engine, name)
    engine.run(batches)
    assert engine.state.metrics["missed"] == pytest.approx(0.2 / 3)
    assert engine.state.metrics["ap_missed"] == 0 and engine.state.metrics["lat_missed"] == pytest.approx(0.1)
    assert engine.state.metrics["miscounted"] == pytest.approx(1 / 3)
    assert set(engine.state.metrics) >= {"score", "dice", "landmark_mm", "endplate_mm", "ssim", "wrong"}


def test_errors_of_use():
    with pytest.raises(InputError, match="field"):
        ViewMetric("beauty", ViewScorer())
    with pytest.raises(InputError, match="view"):
        ViewMetric("dice", ViewScorer(), "oblique")
    with pytest.raises(NotComputableError):
        ViewMetric("dice", ViewScorer()).compute()
