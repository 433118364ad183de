import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks.hrnet import PRESETS, BranchSum, HRNet, HRNetConfig


def test_branches_have_the_documented_shapes():
    config = PRESETS["tiny"]
    branches = HRNet(config).eval()(torch.zeros(2, 1, 64, 96))
    expected = [(2, c, 16 // 2**k, 24 // 2**k) for k, c in enumerate(config.branch_channels())]
    assert [tuple(branch.shape) for branch in branches] == expected


@pytest.mark.parametrize(("preset", "million"), [("w18", 9.56), ("w32", 29.3), ("w48", 65.3)])
def test_sizes_agree_with_published_backbones(preset, million):
    """Parameters of the public HRNetV2 backbones without their classification head, in millions."""
    network = HRNet(PRESETS[preset], in_channels=3)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(million, rel=0.02)


def test_an_exchange_sums_every_branch():
    """With one branch set to zero, the sum is that of the others: the paths are additive before the ReLU."""
    torch.manual_seed(0)
    branch_sum = BranchSum(0, (4, 8)).eval()
    fine, coarse = torch.rand(1, 4, 8, 8), torch.rand(1, 8, 4, 4)
    both = branch_sum([fine, coarse])
    assert torch.allclose(both, torch.relu(fine + branch_sum.paths[1](coarse)))


def test_every_parameter_receives_a_gradient():
    network = HRNet(PRESETS["tiny"])
    sum(branch.square().mean() for branch in network(torch.rand(2, 1, 64, 64))).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_impossible_sizes_are_refused():
    with pytest.raises(InputError, match="positive sizes"):
        HRNetConfig(width=0)
