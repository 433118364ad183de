"""Two decoding paths, decomposition and landmarks, that exchange features at three scales (Yu et al., sec. 2.2).

A feature fusion module (FFM) sums both paths, refines the sum, and hands it back to each path beside the path's own
features. The upsampled result meets the encoder branch of that resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lumbar_ext.networks.hrnet import conv_bn


class FeatureFusion(nn.Module):
    """f = convs(d + l); d' = conv(cat(f, d)); l' = conv(cat(f, l)). All tensors [B, channels, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(conv_bn(channels, channels), conv_bn(channels, channels))
        self.to_decomposition = conv_bn(2 * channels, channels)
        self.to_landmarks = conv_bn(2 * channels, channels)

    def forward(self, decomposition: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Both paths, refined with what the other one knows."""
        fused = self.shared(decomposition + landmarks)
        return (
            self.to_decomposition(torch.cat([fused, decomposition], 1)),
            self.to_landmarks(torch.cat([fused, landmarks], 1)),
        )


class SeparatePaths(nn.Module):
    """The ablation of `FeatureFusion`: the same depth, without any exchange between the tasks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_decomposition = nn.Sequential(conv_bn(channels, channels), conv_bn(channels, channels))
        self.to_landmarks = nn.Sequential(conv_bn(channels, channels), conv_bn(channels, channels))

    def forward(self, decomposition: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Both paths, each refined alone."""
        return self.to_decomposition(decomposition), self.to_landmarks(landmarks)


class TwinDecoder(nn.Module):
    """Both decoding paths from 1/32 to 1/4, with an FFM at 1/32, 1/16 and 1/8.

    Args:
        branch_channels: channels of the encoder's branches at 1/4, 1/8, 1/16, 1/32.
        channels: channels of both paths at every scale.
        ffm: False replaces the fusion modules by separate convolutions (ablation).
    """

    def __init__(self, branch_channels: tuple[int, ...], channels: int, ffm: bool = True) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(conv_bn(c, channels, kernel=1) for c in branch_channels)
        block = FeatureFusion if ffm else SeparatePaths
        self.fusions = nn.ModuleList(block(channels) for _ in range(len(branch_channels) - 1))
        self.up = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, branches: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Both paths' features [B, channels, H/4, W/4] from the four branches of the encoder."""
        skips: list[Tensor] = []
        for index, lateral in enumerate(self.laterals):
            skips.append(lateral(branches[index]))
        decomposition = skips[-1]
        landmarks = skips[-1]
        for index, fusion in enumerate(self.fusions):
            skip = skips[len(skips) - 2 - index]
            decomposition, landmarks = fusion(decomposition, landmarks)
            decomposition = self.up(decomposition) + skip
            landmarks = self.up(landmarks) + skip
        return decomposition, landmarks
