import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.losses import SpineLoss
from lumbar_ext.losses.spine_loss import heatmap_loss, laplace_loss, spine_loss_components
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.transforms.spine_targets import SpinePoints, encode_spine_target
from tests.spine_points import spine_points


def batch(points=None):
    decomposition = torch.rand(384, 256, generator=torch.Generator().manual_seed(0))
    return encode_spine_target(decomposition, points or spine_points(), torch.ones(384, 256, dtype=torch.bool))[None]


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(2, 4, 3, 2, generator=generator, dtype=torch.double, requires_grad=True)
    log_b = torch.randn(2, 2, 3, 2, generator=generator, dtype=torch.double, requires_grad=True)
    targets = torch.randn(2, 4, 3, 2, generator=generator, dtype=torch.double)
    weights = torch.rand(2, 2, 3, 2, generator=generator, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda o, s: laplace_loss(o, s, targets, weights), (offsets, log_b))


def test_the_best_scale_is_half_the_mean_error():
    rng = np.random.default_rng(0)
    errors = torch.from_numpy(rng.normal(0, 1.3, (1, 2, 200, 200)))
    candidates = torch.linspace(-2, 2, 401, dtype=torch.double)
    ones = torch.ones(1, 1, 200, 200, dtype=torch.double)
    losses = [laplace_loss(errors, s * ones, torch.zeros_like(errors), ones) for s in candidates]
    best = candidates[int(np.argmin(losses))].exp().item()
    assert best == pytest.approx(errors.square().sum(1).sqrt().mean().item() / 2, rel=0.02)


def test_unknown_points_have_no_gradient():
    offsets = torch.randn(1, 2, 4, 4, requires_grad=True)
    laplace_loss(offsets, torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)).backward()
    assert offsets.grad.abs().max() == 0


def test_the_heatmap_loss_is_least_at_the_expected_target():
    """A cell that is 0.8 in one of four pictures and 0 in the others is best predicted as 0.2."""
    targets = torch.tensor([0.8, 0.0, 0.0, 0.0]).reshape(4, 1, 1, 1)
    guesses = torch.linspace(0.01, 0.99, 99)
    losses = [heatmap_loss(torch.full((4, 1, 1, 1), g.item()), targets, torch.ones(4, 1, 1, 1)) for g in guesses]
    assert guesses[int(np.argmin(losses))].item() == pytest.approx(0.2, abs=0.011)


def test_the_true_maps_have_no_image_and_no_offset_error():
    target = batch()
    packed = target[:, : SPINE_PACK.channels]
    parts = spine_loss_components(packed, target)
    assert parts.l1 == parts.l2 == parts.blurred_l2 == 0
    # e / b of the distance that keeps the gradient finite
    assert max(parts.centre, parts.landmarks, parts.s1) < 0.011


def test_channels_of_unknown_vertebrae_do_not_matter():
    target = batch(SpinePoints.of_lumbar(spine_points().landmarks_px[1:6]))
    packed = target[:, : SPINE_PACK.channels].clone()
    before = SpineLoss()(packed, target)
    packed[:, SPINE_PACK["heatmap"]][:, [0, 6, 7]] = 0.9
    packed[:, SPINE_PACK["s1_offsets"]] += 5
    assert torch.equal(SpineLoss()(packed, target), before)
    assert target[:, SPINE_PACK["heatmap_weight"]][:, 1:6].min() == 1


def test_it_trains_and_says_its_terms():
    target = batch()
    packed = torch.full((1, SPINE_PACK.channels, 48, 32), 0.1, requires_grad=True)
    loss = SpineLoss()
    loss(packed, target).backward()
    assert torch.isfinite(packed.grad).all() and packed.grad.abs().sum() > 0
    assert set(loss.latest) == {"l1", "l2", "blurred_l2", "heatmap", "centre", "landmarks", "s1"}


def test_a_target_without_weights_is_refused():
    with pytest.raises(InputError, match="target"):
        SpineLoss()(torch.zeros(1, SPINE_PACK.channels, 4, 4), torch.zeros(1, SPINE_PACK.channels, 4, 4))
