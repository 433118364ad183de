import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.losses.image_similarity import l1_loss, l2_loss, ncc_loss


def test_ncc_ignores_gain_and_offset():
    image = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert ncc_loss(2.5 * image + 1, image).item() == pytest.approx(0, abs=1e-4)
    assert ncc_loss(-image, image).item() == pytest.approx(2, abs=1e-4)


def test_ncc_by_hand():
    """a = (1, 2, 3), b = (1, 3, 2): centred products sum to 1, both squared norms to 2, so 1 - 1/2."""
    assert ncc_loss(torch.tensor([[1.0, 2, 3]]), torch.tensor([[1.0, 3, 2]])).item() == pytest.approx(0.5, abs=1e-5)


def test_ncc_averages_images_not_pixels():
    """One perfect and one opposite image give 1, however bright each is."""
    image = torch.tensor([[0.0, 1, 2]])
    assert ncc_loss(torch.cat([image, -image]), torch.cat([image, 1000 * image])).item() == pytest.approx(1, abs=1e-3)


def test_ncc_of_a_constant_image_has_a_finite_gradient():
    image = torch.zeros(1, 16, requires_grad=True)
    loss = ncc_loss(image, torch.arange(16.0)[None])
    loss.backward()
    assert loss.item() == pytest.approx(1) and torch.isfinite(image.grad).all()


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 1, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(ncc_loss, (a, b))
    assert torch.autograd.gradcheck(l2_loss, (a, b))
    assert torch.autograd.gradcheck(l1_loss, (a, b))


def test_l1_is_least_at_the_median():
    """Of 0, 0, 1 the median is 0 with a mean distance of 1/3, the mean is 1/3 with 4/9."""
    seen = torch.tensor([[0.0, 0.0, 1.0]])
    assert l1_loss(torch.zeros(1, 3), seen).item() == pytest.approx(1 / 3)
    assert l1_loss(torch.full((1, 3), 1 / 3), seen).item() == pytest.approx(4 / 9)


def test_l2_by_hand_and_shape_errors():
    assert l2_loss(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 1.0])).item() == 2.5
    for loss in (ncc_loss, l2_loss, l1_loss):
        with pytest.raises(InputError, match="shapes differ"):
            loss(torch.zeros(1, 3), torch.zeros(1, 4))
