import torch
from torch import nn

from lumbar_ext.training.handlers.precision import Bfloat16Inferer


def test_the_network_computes_in_bfloat16_when_enabled():
    network, image = nn.Conv2d(1, 1, 3), torch.rand(1, 1, 8, 8)
    assert Bfloat16Inferer()(image, network).dtype == torch.bfloat16
    exact = Bfloat16Inferer(enabled=False)(image, network)
    assert torch.equal(exact, network(image))


def test_gradients_reach_float32_weights():
    network = nn.Conv2d(1, 1, 3)
    Bfloat16Inferer()(torch.rand(1, 1, 8, 8), network).float().sum().backward()
    assert network.weight.grad.dtype == torch.float32 and network.weight.grad.abs().sum() > 0
