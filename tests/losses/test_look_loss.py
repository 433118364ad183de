import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.losses.look_loss import SecondLookLoss, total_of_groups


def prediction(pictures, scale=0.02):
    return torch.cat([pictures, torch.full_like(pictures, scale).log()], 1)


@pytest.fixture
def truth():
    return torch.rand(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))


def test_transmissions_multiply(truth):
    total = total_of_groups(truth)
    torch.testing.assert_close(1 - total[:, 0], (1 - truth[:, 0]) * (1 - truth[:, 1]))


def test_terms_are_those_of_a_constant_error(truth):
    loss = SecondLookLoss()
    loss(prediction(truth + 0.05), truth)
    assert loss.latest["l1"] == pytest.approx(0.05, rel=1e-4)
    assert loss.latest["l2"] == pytest.approx(0.05**2, rel=1e-4)


def test_samples_count_by_their_relative_error(truth):
    """A sample three times as wrong pulls as much on its pictures as the other one does."""
    errors = torch.tensor([0.2, 0.6]).reshape(2, 1, 1, 1)
    pictures = (truth + errors).requires_grad_()
    SecondLookLoss(l2=0, total=0)(prediction(pictures), truth).backward()
    pulls = (pictures.grad * errors).sum((1, 2, 3))
    torch.testing.assert_close(pulls[0], pulls[1])


def test_the_best_statement_is_the_mean_absolute_error(truth):
    wrong = truth + 0.07
    losses = {scale: float(SecondLookLoss()(prediction(wrong, scale), truth)) for scale in (0.035, 0.07, 0.14)}
    assert min(losses, key=losses.get) == 0.07


def test_other_planes_are_refused(truth):
    with pytest.raises(InputError, match="pictures"):
        SecondLookLoss()(truth, truth)
