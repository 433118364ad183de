import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.losses import MultiTaskLoss
from lumbar_ext.losses.multitask_loss import loss_components
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.multitask_targets import encode_target


@pytest.fixture
def target():
    rng = np.random.default_rng(0)
    landmarks = np.array([32, 32]) + rng.uniform(-12, 12, (5, 7, 2))
    return encode_target(torch.from_numpy(rng.uniform(0, 0.9, (64, 64))), landmarks, np.array([1, 0, 1, 0, 0]))[None]


def test_a_perfect_prediction_costs_nothing_but_the_heatmap(target):
    parts = loss_components(target[:, : LUMBAR_PACK.channels], target)
    for name in ("ncc", "l2", "l1", "centre_offset", "landmark_offsets"):
        assert getattr(parts, name).item() == pytest.approx(0, abs=1e-4), name
    assert parts.focal.item() < 0.5


def test_offsets_away_from_the_centres_do_not_count(target):
    packed = target[:, : LUMBAR_PACK.channels].clone()
    packed[:, LUMBAR_PACK["landmark_offsets"]] += 1 - target[:, LUMBAR_PACK["cell_weight"]]
    assert loss_components(packed, target).landmark_offsets.item() == 0


def test_a_masked_landmark_does_not_count(target):
    packed = target[:, : LUMBAR_PACK.channels].clone()
    packed[:, LUMBAR_PACK["landmark_offsets"].start] += 5
    target[:, LUMBAR_PACK["landmark_mask"].start] = 0
    assert loss_components(packed, target).landmark_offsets.item() == 0


def test_the_total_is_the_weighted_sum(target):
    packed = target[:, : LUMBAR_PACK.channels] + 0.1
    loss = MultiTaskLoss(ncc=1, l2=2, l1=6, focal=3, centre_offset=4, landmark_offsets=5)
    total = loss(packed, target).item()
    weighted = sum(loss.weights[name] * value for name, value in loss.latest.items())
    assert total == pytest.approx(weighted, rel=1e-5)


def test_a_weight_of_zero_drops_a_task(target):
    packed = torch.rand(1, LUMBAR_PACK.channels, 16, 16, requires_grad=True)
    MultiTaskLoss(focal=0, centre_offset=0, landmark_offsets=0)(packed, target).backward()
    assert packed.grad[:, :16].abs().max() > 0 and packed.grad[:, 16:].abs().max() == 0


def test_a_target_without_masks_is_refused(target):
    with pytest.raises(InputError, match="target"):
        loss_components(target[:, : LUMBAR_PACK.channels], target[:, : LUMBAR_PACK.channels])
