"""A small network that finds the lumbar spine on a whole film of any size, seen coarsely."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lumbar_ext.networks.hrnet import HRNet, HRNetConfig, conv_bn

LOCATOR_STRIDE = 4  # pixels of the coarse film a cell
LOCATOR_SPACING_MM = 3.336
"""Pixel spacing of the coarse film: four pixels of the network grid. A cell is 13.3 mm."""
LOCATOR_HEATMAP = slice(0, 1)
LOCATOR_OFFSET = slice(1, 3)
LOCATOR_SCALE = slice(3, 4)
LOCATOR_CHANNELS = 4  # heatmap, offset (u, v), log scale
LOCATOR_HEATMAP_WEIGHT = slice(4, 5)
LOCATOR_OFFSET_WEIGHT = slice(5, 6)
LOCATOR_TARGET_CHANNELS = 6  # the same, with a weight each for heatmap and offset

_CONFIG = HRNetConfig(16, 16, 16, bottleneck_channels=8, bottlenecks=1, modules=(1, 1, 1), blocks=2)
_HEATMAP_BIAS = -4.0  # logit of what most cells are: none of the spine, as in RetinaNet (Lin et al. 2017)


class SpineLocator(nn.Module):
    """Coarse film [B, 1, H, W] (multiples of 32, px of 3.336 mm) to [B, 4, H/4, W/4], float32.

    Channel 0 is the probability that the middle of the lumbar spine (the mean of its vertebrae's centres) lies at a cell; 1
    and 2 are the way to it (u, v) from a cell on the spine, in cells; 3 is the logarithm of that way's scale, as in
    `spine_packing`.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = _CONFIG.branch_channels()
        width = channels[0]
        self.encoder = HRNet(_CONFIG)
        self.laterals = nn.ModuleList(conv_bn(c, width, kernel=1) for c in channels)
        self.up = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)
        self.head = nn.Sequential(conv_bn(width, width), conv_bn(width, width), nn.Conv2d(width, LOCATOR_CHANNELS, 1))
        nn.init.normal_(self.head[-1].weight, std=0.01)
        nn.init.zeros_(self.head[-1].bias)
        with torch.no_grad():
            self.head[-1].bias[LOCATOR_HEATMAP] = _HEATMAP_BIAS

    def forward(self, film: Tensor) -> Tensor:
        """The four channels of a coarse film."""
        branches = self.encoder(film)
        laid: list[Tensor] = []
        for index, lateral in enumerate(self.laterals):
            laid.append(lateral(branches[index]))
        features = laid[3]
        for index in range(3):
            features = self.up(features) + laid[2 - index]
        packed = self.head(features).float()
        return torch.cat([torch.sigmoid(packed[:, :1]), packed[:, 1:]], 1)
