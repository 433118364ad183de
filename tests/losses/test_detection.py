import math

import pytest
import torch

from lumbar_ext.losses.detection import focal_loss, masked_l1


def test_focal_loss_by_hand():
    """Positive p=0.8: 0.2^2 ln 0.8; gt 0.5, p=0.4: 0.5^4 0.4^2 ln 0.6; gt 0, p=0.1: 0.1^2 ln 0.9; one positive."""
    expected = -(0.04 * math.log(0.8) + 0.0625 * 0.16 * math.log(0.6) + 0.01 * math.log(0.9))
    found = focal_loss(torch.tensor([0.8, 0.4, 0.1]), torch.tensor([1.0, 0.5, 0.0]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_is_per_positive():
    p, target = torch.tensor([0.6, 0.2]), torch.tensor([1.0, 0.0])
    assert focal_loss(p.repeat(3), target.repeat(3)).item() == pytest.approx(focal_loss(p, target).item(), rel=1e-6)


def test_focal_loss_without_positives_stays_finite():
    assert focal_loss(torch.tensor([0.5]), torch.tensor([0.0])).item() == pytest.approx(0.25 * math.log(2), rel=1e-5)
    assert torch.isfinite(focal_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])))


def test_cells_beside_a_peak_cost_less():
    """The nearer a cell's target is to 1, the less a high probability there costs (the term the paper leaves out)."""
    costs = [focal_loss(torch.tensor([0.5]), torch.tensor([t])).item() for t in (0.0, 0.5, 0.9)]
    assert costs == sorted(costs, reverse=True)


def test_masked_l1_counts_only_weighted_cells():
    prediction = torch.tensor([1.0, 5.0, 9.0, 7.0]).reshape(1, 1, 2, 2)
    weight = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    assert masked_l1(prediction, torch.zeros_like(prediction), weight).item() == pytest.approx(3)


def test_masked_l1_without_weight_has_zero_gradient():
    prediction = torch.rand(1, 2, 3, 3, requires_grad=True)
    masked_l1(prediction, torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3)).backward()
    assert prediction.grad.abs().max() == 0


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(1, 2, 3, 3, dtype=torch.float64, generator=generator).mul(0.8).add(0.1).requires_grad_()
    target = torch.rand(1, 2, 3, 3, dtype=torch.float64, generator=generator)
    target[0, :, 1, 1] = 1
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, target), p)
    assert torch.autograd.gradcheck(lambda x: masked_l1(x, target, target[:, :1]), p)
