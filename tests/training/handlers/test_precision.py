import pytest
import torch
from torch import nn

from lumbar_ext.training.handlers import precision
from lumbar_ext.training.handlers.precision import Bfloat16Inferer


@pytest.fixture(params=[True, False], ids=["a device with bfloat16", "one without"])
def has_bfloat16(request, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: request.param)
    return request.param


def test_the_network_computes_in_bfloat16_when_enabled_and_the_device_can(has_bfloat16):
    network, image = nn.Conv2d(1, 1, 3), torch.rand(1, 1, 8, 8)
    assert Bfloat16Inferer()(image, network).dtype == (torch.bfloat16 if has_bfloat16 else torch.float32)
    exact = Bfloat16Inferer(enabled=False)(image, network)
    assert torch.equal(exact, network(image))


def test_gradients_reach_float32_weights(has_bfloat16):
    network = nn.Conv2d(1, 1, 3)
    Bfloat16Inferer()(torch.rand(1, 1, 8, 8), network).float().sum().backward()
    assert network.weight.grad.dtype == torch.float32 and network.weight.grad.abs().sum() > 0
