import torch

from lumbar_ext.networks.fusion import FeatureFusion, SeparatePaths, TwinDecoder


def gradient_reaches(block, of: int, to: int) -> bool:
    """Whether output `of` of a block depends on its input `to`."""
    inputs = [torch.rand(1, 4, 8, 8, requires_grad=True) for _ in range(2)]
    block.eval()(*inputs)[of].sum().backward()
    gradient = inputs[to].grad
    return gradient is not None and bool(gradient.abs().sum() > 0)


def test_fusion_lets_each_task_see_the_other():
    torch.manual_seed(0)
    assert all(gradient_reaches(FeatureFusion(4), of, to) for of in (0, 1) for to in (0, 1))


def test_separate_paths_do_not_mix():
    torch.manual_seed(0)
    assert [gradient_reaches(SeparatePaths(4), of, to) for of, to in ((0, 0), (0, 1), (1, 0), (1, 1))] == [1, 0, 0, 1]


def test_the_decoder_ends_at_a_quarter_with_equal_channels():
    branches = [torch.rand(1, c, 16 // 2**k, 24 // 2**k) for k, c in enumerate((3, 5, 7, 9))]
    decomposition, landmarks = TwinDecoder((3, 5, 7, 9), channels=6)(branches)
    assert decomposition.shape == landmarks.shape == (1, 6, 16, 24)
