"""The second-generation HRNet-FFM: a crop around the spine in, decomposition and vertebrae from T12 to S1 out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lumbar_ext.anatomy import LANDMARKS, S1_LANDMARKS, SPINE_LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.networks.fusion import FeatureFusion
from lumbar_ext.networks.hrnet import PRESETS, HRNet, conv_bn
from lumbar_ext.networks.spine_packing import SPINE_PACK

# the decomposition path ends at a quarter of the resolution, the landmark path at an eighth
_PIXEL_STRIDE = 4
# sigmoid(-4) = 0.018, about the mean of the heatmap targets
_HEATMAP_BIAS = -4.0


class SpineDecoder(nn.Module):
    """Two decoding paths from 1/32 to 1/8 that meet in an FFM at 1/32, 1/16 and 1/8; the decomposition goes on to 1/4.

    Args:
        branch_channels: channels of the encoder's branches at 1/4, 1/8, 1/16, 1/32.
        channels: channels of both paths at every scale.
    """

    def __init__(self, branch_channels: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(conv_bn(c, channels, kernel=1) for c in branch_channels)
        self.fusions = nn.ModuleList(FeatureFusion(channels) for _ in range(3))
        self.up = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, branches: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Decomposition features [B, channels, H/4, W/4] and landmark features [B, channels, H/8, W/8]."""
        skips: list[Tensor] = []
        for index, lateral in enumerate(self.laterals):
            skips.append(lateral(branches[index]))
        decomposition = skips[3]
        landmarks = skips[3]
        for index, fusion in enumerate(self.fusions):
            if index > 0:
                decomposition = self.up(decomposition) + skips[3 - index]
                landmarks = self.up(landmarks) + skips[3 - index]
            decomposition, landmarks = fusion(decomposition, landmarks)
        return self.up(decomposition) + skips[0], landmarks


class LumbarSpineNet(nn.Module):
    """HRNet encoder, two decoding paths with feature fusion, four heads; both views share the weights.

    `forward` takes the normalised, bone-bright crop [B, 1, H, W] (multiples of 32; trained on 384 x 256 px of 0.834 mm)
    and returns the packed tensor [B, 111, H/8, W/8] of `lumbar_ext.networks.spine_packing`, float32. Against
    `multitask.LumbarMultitaskNet`: T12, L6 and S1 have channels, landmarks are read at an eighth of the resolution
    and by every cell on a vertebra, and each has a scale (its likelihood).

    Args:
        preset: name of the encoder in `hrnet.PRESETS`.
        decoder_channels: channels of both decoding paths.

    Raises:
        InputError: for an unknown preset.
    """

    def __init__(self, preset: str = "w32_narrow", decoder_channels: int = 48) -> None:
        super().__init__()
        if preset not in PRESETS:
            raise InputError(f"preset: expected one of {sorted(PRESETS)}, found {preset!r}")
        config = PRESETS[preset]
        width = decoder_channels
        pixels = _PIXEL_STRIDE * _PIXEL_STRIDE
        self.encoder = HRNet(config)
        self.decoder = SpineDecoder(config.branch_channels(), width)
        # the full-resolution image as 16 channels at 1/4: the detail that the stem's strides lose
        self.image_blocks = nn.PixelUnshuffle(_PIXEL_STRIDE)
        self.decomposition_head = nn.Sequential(
            conv_bn(width + pixels, width), conv_bn(width, width), nn.Conv2d(width, pixels, 1)
        )
        # as the packed tensor has them: 16 channels at 1/4 become 64 at 1/8
        self.to_blocks = nn.Sequential(nn.PixelShuffle(_PIXEL_STRIDE), nn.PixelUnshuffle(SPINE_PACK.stride))
        self.heatmap_head = _head(width, len(SPINE_LEVELS))
        self.vertebra_head = _head(width, 3 + 3 * len(LANDMARKS))
        self.s1_head = _head(width, 3 * len(S1_LANDMARKS))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for head in (self.decomposition_head, self.heatmap_head, self.vertebra_head, self.s1_head):
            nn.init.normal_(head[-1].weight, std=0.01)
            nn.init.zeros_(head[-1].bias)
        nn.init.constant_(self.heatmap_head[-1].bias, _HEATMAP_BIAS)

    def forward(self, image: Tensor) -> Tensor:
        """The packed tensor [B, 111, H/8, W/8] of a crop [B, 1, H, W]."""
        branches = self.encoder(image)
        decomposition, landmarks = self.decoder(branches)
        blocks = self.image_blocks(image).to(decomposition.dtype)
        pixels = self.decomposition_head(torch.cat([decomposition, blocks], 1)).float()
        pixels = self.to_blocks(pixels)
        heatmap = torch.sigmoid(self.heatmap_head(landmarks).float())
        vertebrae = self.vertebra_head(landmarks).float()
        s1 = self.s1_head(landmarks).float()
        return torch.cat([pixels, heatmap, vertebrae, s1], 1)


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_bn(width, width), conv_bn(width, width), nn.Conv2d(width, outputs, 1))
