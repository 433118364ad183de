"""High-resolution encoder (HRNet): parallel branches at 1/4, 1/8, 1/16 and 1/32 of the image that exchange features.

Own implementation after Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation" (CVPR
2019) and the HRNetV2 variant; every branch keeps its resolution, and each module ends with a full exchange (sum of
resampled branches). Written so that `torch.jit.script` accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lumbar_ext.errors import InputError

BOTTLENECK_EXPANSION = 4  # He et al. 2016


@dataclass(frozen=True)
class HRNetConfig:
    """Size of one encoder.

    Args:
        width: channels C of the 1/4 branch; the others have 2C, 4C and 8C.
        stem_channels: channels of the second of the two stride-2 stem convolutions.
        first_channels: channels of the first one, which runs at half the image's resolution and so costs most per
        channel.
        bottleneck_channels: inner channels of the stage-1 bottlenecks (their output is four times that).
        bottlenecks: number of stage-1 bottlenecks.
        modules: exchange modules in stages 2, 3 and 4.
        blocks: residual blocks per branch of a module.
    """

    width: int
    stem_channels: int = 64
    first_channels: int = 64
    bottleneck_channels: int = 64
    bottlenecks: int = 4
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4

    def __post_init__(self) -> None:
        channels = (self.width, self.stem_channels, self.first_channels, self.bottleneck_channels)
        sizes = (*channels, self.bottlenecks, self.blocks, *self.modules)
        if len(self.modules) != 3 or min(sizes) < 1:
            raise InputError(f"HRNetConfig needs three module counts and positive sizes, found {self}")

    def branch_channels(self) -> tuple[int, int, int, int]:
        """Channels of the 1/4, 1/8, 1/16 and 1/32 branches."""
        return (self.width, 2 * self.width, 4 * self.width, 8 * self.width)


PRESETS: dict[str, HRNetConfig] = {
    "tiny": HRNetConfig(8, 8, 8, bottleneck_channels=4, bottlenecks=1, modules=(1, 1, 1), blocks=1),
    "w18_small": HRNetConfig(18, 32, 16, bottleneck_channels=16, bottlenecks=1, modules=(1, 1, 1), blocks=2),
    "w32_narrow": HRNetConfig(32, 32, 16, bottleneck_channels=16, bottlenecks=1, modules=(1, 1, 1), blocks=2),
    "w18_small_v2": HRNetConfig(18, bottlenecks=2, modules=(1, 3, 2), blocks=2),
    "w18": HRNetConfig(18),
    "w32": HRNetConfig(32),
    "w48": HRNetConfig(48),
}


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution without bias, batch normalisation and, if asked, ReLU; spatial size is divided by `stride`."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with an identity shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(channels, channels), conv_bn(channels, channels, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as the input [B, channels, h, w]."""
        return torch.relu(x + self.body(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut that is projected where the channel count changes."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        outputs = inner * BOTTLENECK_EXPANSION
        self.body = nn.Sequential(
            conv_bn(inputs, inner, kernel=1), conv_bn(inner, inner), conv_bn(inner, outputs, kernel=1, relu=False)
        )
        self.shortcut = nn.Identity() if inputs == outputs else conv_bn(inputs, outputs, kernel=1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """From [B, inputs, h, w] to [B, 4 inner, h, w]."""
        return torch.relu(self.shortcut(x) + self.body(x))


def _resample(source: int, target: int, channels: tuple[int, ...]) -> nn.Module:
    """The path that carries branch `source` to the resolution and channels of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=float(2 ** (source - target)), mode="nearest")
        return nn.Sequential(conv_bn(channels[source], channels[target], kernel=1, relu=False), up)
    steps = target - source
    downs = [conv_bn(channels[source], channels[source], stride=2) for _ in range(steps - 1)]
    return nn.Sequential(*downs, conv_bn(channels[source], channels[target], stride=2, relu=False))


class BranchSum(nn.Module):
    """One output branch of an exchange: the sum of all branches brought to its resolution."""

    def __init__(self, target: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(_resample(source, target, channels) for source in range(len(channels)))

    def forward(self, branches: list[Tensor]) -> Tensor:
        """The sum at the target's resolution of all branches."""
        total = torch.zeros(1, dtype=branches[0].dtype, device=branches[0].device)
        for index, path in enumerate(self.paths):
            carried = path(branches[index])
            total = carried if index == 0 else total + carried
        return torch.relu(total)


class ExchangeModule(nn.Module):
    """Residual blocks on every branch, then the exchange between branches."""

    def __init__(self, channels: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*[BasicBlock(c) for _ in range(blocks)]) for c in channels)
        self.sums = nn.ModuleList(BranchSum(target, channels) for target in range(len(channels)))

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Branches of the same shapes as those given."""
        refined: list[Tensor] = []
        for index, branch in enumerate(self.branches):
            refined.append(branch(branches[index]))
        exchanged: list[Tensor] = []
        for branch_sum in self.sums:
            exchanged.append(branch_sum(refined))
        return exchanged


class HRNet(nn.Module):
    """The encoder: image [B, in_channels, H, W] (H, W multiples of 32) to four branches at 1/4, 1/8, 1/16, 1/32.

    Args:
        config: size of the encoder, see `PRESETS`.
        in_channels: channels of the image.
    """

    def __init__(self, config: HRNetConfig, in_channels: int = 1) -> None:
        super().__init__()
        channels = config.branch_channels()
        self.stem = nn.Sequential(
            conv_bn(in_channels, config.first_channels, stride=2),
            conv_bn(config.first_channels, config.stem_channels, stride=2),
        )
        expanded = config.bottleneck_channels * BOTTLENECK_EXPANSION
        first = [Bottleneck(config.stem_channels, config.bottleneck_channels)]
        rest = [Bottleneck(expanded, config.bottleneck_channels) for _ in range(config.bottlenecks - 1)]
        self.stage1 = nn.Sequential(*first, *rest)
        self.enter = conv_bn(expanded, channels[0])
        # each stage starts by growing one coarser branch from the coarsest one there is
        self.grow2 = conv_bn(expanded, channels[1], stride=2)
        self.grow3 = conv_bn(channels[1], channels[2], stride=2)
        self.grow4 = conv_bn(channels[2], channels[3], stride=2)
        counts = config.modules
        self.stage2 = nn.ModuleList(ExchangeModule(channels[:2], config.blocks) for _ in range(counts[0]))
        self.stage3 = nn.ModuleList(ExchangeModule(channels[:3], config.blocks) for _ in range(counts[1]))
        self.stage4 = nn.ModuleList(ExchangeModule(channels, config.blocks) for _ in range(counts[2]))

    def forward(self, image: Tensor) -> list[Tensor]:
        """The four branches, finest first."""
        quarter = self.stage1(self.stem(image))
        branches = [self.enter(quarter), self.grow2(quarter)]
        for module in self.stage2:
            branches = module(branches)
        branches.append(self.grow3(branches[-1]))
        for module in self.stage3:
            branches = module(branches)
        branches.append(self.grow4(branches[-1]))
        for module in self.stage4:
            branches = module(branches)
        return branches
