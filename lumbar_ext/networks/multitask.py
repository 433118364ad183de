"""The multi-task network: one radiograph in, decomposition DRR and landmark maps out, in one packed tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lumbar_ext.errors import InputError
from lumbar_ext.networks.fusion import TwinDecoder
from lumbar_ext.networks.hrnet import PRESETS, HRNet, conv_bn
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK

TASKS = ("both", "decomposition", "landmarks")
# sigmoid(-2.19) = 0.1, the usual start of a centre heatmap (few positives): the focal loss starts small
HEATMAP_BIAS = -2.19


class LumbarMultitaskNet(nn.Module):
    """HRNet encoder, two decoding paths with feature fusion, and four heads (Yu et al., arXiv 2503.14573, sec. 2.2).

    Both views share the weights. `forward` takes the normalised, bone-bright radiograph [B, 1, H, W] (H and W
    multiples of 32) and returns the packed tensor [B, 37, H/4, W/4] of `lumbar_ext.networks.lumbar_packing`, float32. The
    decomposition channels are linear (the decoder clamps them), the heatmaps are probabilities, offsets are in cells.

    Args:
        preset: name of the encoder in `hrnet.PRESETS`.
        decoder_channels: channels of both decoding paths.
        ffm: False removes the exchange between the paths (ablation).
        tasks: "both", or one of "decomposition" and "landmarks"; the channels of the task left out are zero.

    Raises:
        InputError: for an unknown preset or task.
    """

    def __init__(
        self, preset: str = "w18_small", decoder_channels: int = 48, ffm: bool = True, tasks: str = "both"
    ) -> None:
        super().__init__()
        if preset not in PRESETS:
            raise InputError(f"preset: expected one of {sorted(PRESETS)}, found {preset!r}")
        if tasks not in TASKS:
            raise InputError(f"tasks: expected one of {TASKS}, found {tasks!r}")
        config = PRESETS[preset]
        width = decoder_channels
        self.keeps_decomposition = tasks != "landmarks"
        self.keeps_landmarks = tasks != "decomposition"
        self.encoder = HRNet(config)
        self.decoder = TwinDecoder(config.branch_channels(), width, ffm=ffm and tasks == "both")
        pixels = LUMBAR_PACK.count("decomposition")
        # the full-resolution image as 16 channels at 1/4: the detail that the stem's strides lose
        self.image_blocks = nn.PixelUnshuffle(LUMBAR_PACK.stride)
        self.decomposition_head = nn.Sequential(
            conv_bn(width + pixels, width), conv_bn(width, width), nn.Conv2d(width, pixels, 1)
        )
        self.landmark_trunk = conv_bn(width, width)
        self.heatmap_head = nn.Sequential(conv_bn(width, width), nn.Conv2d(width, LUMBAR_PACK.count("heatmap"), 1))
        offsets = LUMBAR_PACK.count("centre_offset") + LUMBAR_PACK.count("landmark_offsets")
        self.offset_head = nn.Sequential(conv_bn(width, width), nn.Conv2d(width, offsets, 1))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for head in (self.decomposition_head, self.heatmap_head, self.offset_head):
            nn.init.normal_(head[-1].weight, std=0.01)
            nn.init.zeros_(head[-1].bias)
        nn.init.constant_(self.heatmap_head[-1].bias, HEATMAP_BIAS)

    def forward(self, image: Tensor) -> Tensor:
        """The packed tensor [B, 37, H/4, W/4] of an image [B, 1, H, W]."""
        branches = self.encoder(image)
        decomposition, landmarks = self.decoder(branches)
        blocks = self.image_blocks(image).to(decomposition.dtype)
        pixels = self.decomposition_head(torch.cat([decomposition, blocks], 1)).float()
        trunk = self.landmark_trunk(landmarks)
        heatmap = torch.sigmoid(self.heatmap_head(trunk).float())
        offsets = self.offset_head(trunk).float()
        if not self.keeps_decomposition:
            pixels = torch.zeros_like(pixels)
        if not self.keeps_landmarks:
            heatmap, offsets = torch.zeros_like(heatmap), torch.zeros_like(offsets)
        return torch.cat([pixels, heatmap, offsets], 1)
