"""A field over space from two radiographs: CT number and tissue at any point, from what both show where it projects.

Own implementation after what is known of SPIDER (Yu et al., arXiv 2507.04684: one encoder, an implicit decoder that is
taught intensity and structure together) and of pixel-aligned reconstruction (PerX2CT: features of each view where a point
projects). Sizes are chosen for two cores.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lumbar_ext.errors import InputError
from lumbar_ext.networks.hrnet import conv_bn
from lumbar_ext.networks.u_net import UNet

FIELD_VIEWS = 2  # AP, lateral
_WATER = math.log(0.4 / 0.6)  # logit of 0 HU in the window of `transforms.tissue.HU_WINDOW`


class FieldEncoder(UNet):
    """U-Net from half resolution down, shared by the views, with additive skips; and a few features at full resolution.

    Args:
        channels: of the scales 1/2, 1/4, 1/8, 1/16 and 1/32.
        fine_channels: of the features at full resolution.
    """

    def __init__(self, channels: tuple[int, ...], fine_channels: int) -> None:
        super().__init__()
        first = channels[0]
        # the picture and which view it is
        self.fine = nn.Sequential(conv_bn(2, fine_channels), conv_bn(fine_channels, fine_channels))
        self.stem = nn.Sequential(conv_bn(fine_channels, first, stride=2), conv_bn(first, first))
        self.add_scales(channels)

    def forward(self, images: Tensor, views: Tensor) -> list[Tensor]:
        """Features of radiographs.

        Args:
            images: [N, 1, H, W]; H and W multiples of 32.
            views: [N] 0 for AP, 1 for lateral.

        Returns:
            [N, first, H/2, W/2] and [N, fine, H, W].
        """
        told = views.to(images.dtype)[:, None, None, None].expand_as(images)
        planes = torch.cat([images, told], 1)
        fine = self.fine(planes.contiguous(memory_format=torch.channels_last))
        return [self.through_scales(self.stem(fine)), fine]


class FieldNet(nn.Module):
    """Encoder of each radiograph, pixel-aligned features of both and the encoded position, and a perceptron with two heads.

    Args:
        channels: of the encoder's scales, the first those of the sampled features.
        fine_channels: of the features at full resolution.
        hidden: widths of the perceptron's layers, each of which sees the input again.
        octaves: of the position's sines and cosines.
        tissues: classes of the second head.
        guides: numbers that tell how a point lies to the landmarks (`transforms.field_views.FieldViews.guides`); 0 for a
            network that is not told.

    Raises:
        InputError: for counts that are not positive.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (64, 96, 160, 224, 256),
        fine_channels: int = 16,
        hidden: tuple[int, ...] = (256, 256, 128),
        octaves: int = 4,
        tissues: int = 9,
        guides: int = 0,
    ) -> None:
        super().__init__()
        if len(channels) != 5 or min(*channels, fine_channels, *hidden, octaves, tissues) < 1:
            raise InputError(f"expected five channels and positive numbers, found {channels}, {hidden}, {octaves}")
        self.encoder = FieldEncoder(tuple(channels), fine_channels)
        self.octaves, self.guides = octaves, guides
        inputs = FIELD_VIEWS * (channels[0] + fine_channels) + 3 * (1 + 2 * octaves) + guides
        widths = (0, *hidden)
        self.layers = nn.ModuleList(nn.Linear(before + inputs, after) for before, after in pairwise(widths))
        self.intensity = nn.Linear(hidden[-1], 1)
        self.tissue = nn.Linear(hidden[-1], tissues)
        nn.init.constant_(self.intensity.bias, _WATER)  # a field of water to begin with
        if guides:
            for layer in self.layers:  # and one that does not heed them, so that training may begin without any
                nn.init.zeros_(layer.weight[:, -guides:])

    def forward(self, images: Tensor, places: Tensor, positions: Tensor, guides: Tensor) -> Tensor:
        """The field at points.

        Args:
            images: [B, 2, H, W] normalised AP and lateral radiograph.
            places: [B, P, 2, 2] where the points lie in both, see `transforms.field_views.FieldViews.places`.
            positions: [B, P, 3] of the points, see `FieldViews.positions`.
            guides: [B, P, G] see `FieldViews.guides`; a network that is not told heeds none.

        Returns:
            [B, P, 1 + tissues] float32, see `decode`.
        """
        batch = images.shape[0]
        views = torch.arange(FIELD_VIEWS, device=images.device).repeat_interleave(batch)
        # both views at once: batch normalisation is to know them mixed, as its running means do
        planes = self.encoder(images.transpose(0, 1).reshape(FIELD_VIEWS * batch, 1, *images.shape[2:]), views)
        parts = [plane.split(batch) for plane in planes]
        return self.decode([[part[view] for part in parts] for view in range(FIELD_VIEWS)], places, positions, guides)

    def decode(self, features: list[list[Tensor]], places: Tensor, positions: Tensor, guides: Tensor) -> Tensor:
        """The field at points, from the features of both views.

        Args:
            features: by view, what the encoder gives of it.
            places, positions, guides: as in `forward`.

        Returns:
            [B, P, 1 + tissues] float32: CT number as a share of the window in [0, 1], and logits of the tissues.
        """
        parts = [encoded(positions, self.octaves)]
        for view in range(FIELD_VIEWS):
            parts += [sampled(plane, places[:, :, view]) for plane in features[view]]
        if self.guides:
            parts.append(guides)
        inputs = torch.cat(parts, -1)
        hidden = F.relu(self.layers[0](inputs))
        inputs = inputs.to(hidden.dtype)  # under autocast once, not for every layer
        for layer in self.layers[1:]:
            hidden = F.relu(layer(torch.cat([hidden, inputs], -1)))
        share = torch.sigmoid(self.intensity(hidden).float())
        return torch.cat([share, self.tissue(hidden).float()], -1)


def encoded(positions: Tensor, octaves: int) -> Tensor:
    """Positions [..., 3] with their sines and cosines at wavelengths 2, 1, 1/2 ...: [..., 3 (1 + 2 octaves)]."""
    angles = [math.pi * 2.0**octave * positions for octave in range(octaves)]
    return torch.cat([positions, *(wave for angle in angles for wave in (angle.sin(), angle.cos()))], -1)


def sampled(features: Tensor, places: Tensor) -> Tensor:
    """Features [B, C, H, W] read bilinearly at places [B, P, 2]: [B, P, C]; at the edge's value beyond it."""
    read = F.grid_sample(features.float(), places[:, :, None].float(), padding_mode="border", align_corners=False)
    return read[..., 0].transpose(1, 2)
