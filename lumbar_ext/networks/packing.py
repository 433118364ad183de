"""How several maps share ONE tensor, and where its cells lie in the image.

One tensor, because MONAI Deploy and `verify_net_in_out` take a single output. The networks' own layouts are
`lumbar_packing` and `spine_packing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.errors import InputError

Maps = TypeVar("Maps")
Positions = TypeVar("Positions", float, np.ndarray, Tensor)


class Packing(Generic[Maps]):
    """The channels of packed tensors [B, C, H / stride, W / stride].

    First the decomposition, pixel-unshuffled by the stride (`F.pixel_shuffle` restores [B, 1, H, W]), then the other maps of
    an output in their order, then, in a training target, what tells how much each of them counts. `packing["heatmap"]`
    is the slice of channels of a part.

    Cell (column i, row j) covers the image pixels s i .. s i + s - 1, s j .. s j + s - 1, where s is the stride; its centre is
    pixel s i + (s - 1) / 2, s j + (s - 1) / 2.

    Args:
        maps: named tuple of the maps of an output, `decomposition` among them.
        stride: pixels of a cell.
        counts: channels of each other map of an output.
        target_counts: channels of each part that only targets have.
    """

    def __init__(
        self, maps: type[Maps], stride: int, counts: Mapping[str, int], target_counts: Mapping[str, int]
    ) -> None:
        self.maps, self.stride = maps, stride
        self._parts: dict[str, slice] = {}
        end = 0
        for name, count in ({"decomposition": stride**2} | dict(counts) | dict(target_counts)).items():
            self._parts[name] = slice(end, end + count)
            end += count
        self.target_channels = end
        """Channels of a training target."""
        self.channels = end - sum(target_counts.values())
        """Channels of an output."""

    def __getitem__(self, part: str) -> slice:
        """The channels of a part."""
        return self._parts[part]

    def count(self, part: str) -> int:
        """How many channels a part takes."""
        return self._parts[part].stop - self._parts[part].start

    def unpack(self, packed: Tensor) -> Maps:
        """The maps of an output or a target: [B, channels, H / s, W / s] each but `decomposition`, which is [B, 1, H, W].

        Raises:
            InputError: when the tensor does not have four axes or has too few channels.
        """
        if packed.ndim != 4 or packed.shape[1] < self.channels:
            raise InputError(f"packed: expected {self._shape(f'B, >={self.channels}')}, found {tuple(packed.shape)}")
        parts = {name: packed[:, part] for name, part in self._parts.items() if part.stop <= self.channels}
        return self.maps(**parts | {"decomposition": F.pixel_shuffle(parts["decomposition"], self.stride)})

    def one_image(self, packed: Tensor | np.ndarray) -> Tensor:
        """The output for one image [C, H / s, W / s] or [1, C, H / s, W / s], as float32 [1, C, H / s, W / s] on the CPU.

        Raises:
            InputError: for another shape, or more than one image.
        """
        tensor = torch.as_tensor(packed).detach().float().cpu()
        tensor = tensor[None] if tensor.ndim == 3 else tensor
        if tensor.ndim != 4 or tensor.shape[0] != 1 or tensor.shape[1] < self.channels:
            raise InputError(f"packed: expected {self._shape(self.channels)} of one image, found {tuple(tensor.shape)}")
        return tensor

    def check_target(self, target: Tensor) -> None:
        """Raises InputError unless this is a batch of targets [B, C, H / s, W / s] with all their channels."""
        if target.ndim != 4 or target.shape[1] != self.target_channels:
            raise InputError(
                f"target: expected {self._shape(f'B, {self.target_channels}')}, found {tuple(target.shape)}"
            )

    def empty_target(self, height: int, width: int) -> Tensor:
        """A target of zeros [C, H / s, W / s] for an image of the given size in pixels.

        Raises:
            InputError: when a size is no multiple of the stride.
        """
        check_image_size(height, width, self.stride)
        return torch.zeros(self.target_channels, height // self.stride, width // self.stride)

    def cells_from_px(self, px: Positions) -> Positions:
        """Image pixels (u or v) to cell coordinates; whole numbers are cell centres."""
        return (px - (self.stride - 1) / 2) / self.stride

    def px_from_cells(self, cells: Positions) -> Positions:
        """Cell coordinates to image pixels, the inverse of `cells_from_px`."""
        return cells * self.stride + (self.stride - 1) / 2

    def _shape(self, channels: int | str) -> str:
        return f"[{channels}, H/{self.stride}, W/{self.stride}]"


def check_image_size(height: int, width: int, multiple: int = 32) -> None:
    """Raises InputError unless both sizes are positive multiples of `multiple` (the coarsest branch's stride)."""
    if height < multiple or width < multiple or height % multiple or width % multiple:
        raise InputError(f"image size must be multiples of {multiple}, found {height} x {width}")
