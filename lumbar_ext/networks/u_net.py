"""Down through the scales and up again with additive skips: what the second look and the field have in common."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lumbar_ext.networks.hrnet import conv_bn


class UNet(nn.Module):
    """A network with the scales of a U-Net; what comes before and after them is the subclass's own.

    The parts are attributes of the network itself, so that weights keep their names.
    """

    def add_scales(self, channels: tuple[int, ...]) -> None:
        """Makes the layers between scales.

        Args:
            channels: of each scale, the finest first; each next one has half the size.
        """
        self.downs = nn.ModuleList(
            nn.Sequential(conv_bn(fine, coarse, stride=2), conv_bn(coarse, coarse))
            for fine, coarse in pairwise(channels)
        )
        pairs = list(pairwise(channels))[::-1]  # coarsest first, the order of the way up
        self.laterals = nn.ModuleList(conv_bn(coarse, fine, kernel=1) for fine, coarse in pairs)
        self.merges = nn.ModuleList(conv_bn(fine, fine) for fine, _ in pairs)
        self.up = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)

    def through_scales(self, features: Tensor) -> Tensor:
        """Features [B, channels[0], H, W] that have seen all scales; H and W multiples of two for each scale below."""
        skips = [features]
        for down in self.downs:
            features = down(features)
            skips.append(features)
        for index, (lateral, merge) in enumerate(zip(self.laterals, self.merges)):  # noqa: B905 (TorchScript)
            features = merge(self.up(lateral(features)) + skips[len(skips) - 2 - index])
        return features
