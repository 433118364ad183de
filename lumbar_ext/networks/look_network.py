"""The second look: a small U-Net that sees a radiograph beside the DRR of the current meshes and corrects that DRR.

Odd (L1, L3, L5) and even (L2, L4) levels are two pictures, so that neighbours, which overlap in a projection, stay apart
and the error of one does not pull the other. The network answers with both pictures corrected, and with how sure it is of
each pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lumbar_ext.errors import InputError
from lumbar_ext.networks.hrnet import conv_bn
from lumbar_ext.networks.u_net import UNet

LOOK_STRIDE = 16
"""Rows and columns of an input must be multiples of this."""
INPUT_PLANES = 4
"""Radiograph, DRR of the odd levels, DRR of the even levels, view (0 AP, 1 lateral) in every pixel."""
OUTPUT_PLANES = 4
"""Corrected odd and even DRR, logarithm of the expected absolute error of each."""
LOOK_GROUPS = 2  # odd and even levels
_FOLD = 2  # pixels of a side that become channels, before the first convolution
_MEDIAN_ERROR = 0.02
"""The expected absolute error that an untrained network states."""
_LOG_RANGE = 4.0
"""Largest factor, as a logarithm, by which a stated error differs from `_MEDIAN_ERROR`."""


class SecondLookNet(UNet):
    """U-Net at half resolution with additive skips; its last layers start at zero: untrained, it changes nothing.

    Args:
        channels: of the four scales 1/2, 1/4, 1/8 and 1/16.

    Raises:
        InputError: unless there are four positive channel counts.
    """

    def __init__(self, channels: tuple[int, int, int, int] = (32, 64, 128, 192)) -> None:
        super().__init__()
        if len(channels) != 4 or min(channels) < 1:
            raise InputError(f"channels: expected four positive numbers, found {channels}")
        first = channels[0]
        self.fold = nn.PixelUnshuffle(_FOLD)
        self.stem = nn.Sequential(conv_bn(INPUT_PLANES * _FOLD**2, first), conv_bn(first, first))
        self.add_scales(channels)
        self.correction = nn.Conv2d(first, LOOK_GROUPS * _FOLD**2, 3, padding=1)
        self.error = nn.Sequential(conv_bn(first, 16), nn.Conv2d(16, LOOK_GROUPS * _FOLD**2, 1))
        self.unfold = nn.PixelShuffle(_FOLD)
        # TorchScript knows attributes, not the constants of a file
        self.log_range, self.log_median = _LOG_RANGE, math.log(_MEDIAN_ERROR)
        for last in (self.correction, self.error[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, planes: Tensor) -> Tensor:
        """Corrected pictures and their expected errors.

        Args:
            planes: [B, 4, H, W], see `INPUT_PLANES`; H and W multiples of `LOOK_STRIDE`.

        Returns:
            [B, 4, H, W] float32, see `OUTPUT_PLANES`. The pictures are not clipped. What is stated of their error is
            learnt beside them and never changes them: its gradient ends at the features.
        """
        features = self.through_scales(self.stem(self.fold(planes)))
        corrected = planes[:, 1:3].float() + self.unfold(self.correction(features)).float()
        sureness = self.unfold(self.error(features.detach())).float().clamp(-self.log_range, self.log_range)
        return torch.cat([corrected, sureness + self.log_median], 1)
