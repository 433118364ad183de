"""bfloat16 forward passes on CPU or GPU; MONAI 1.6's `amp` option always autocasts for CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor

from lumbar_ext.networks.inference import has_bfloat16


class Bfloat16Inferer(SimpleInferer):
    """Runs the network on channels-last input under bfloat16 autocast of the input's own device.

    bfloat16 has float32's range, so no gradient scaling is needed.

    Args:
        enabled: False computes in float32, as devices do that are no faster in bfloat16.
    """

    def __init__(self, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """The network's output for `inputs` [B, C, H, W]."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        enabled = self.enabled and has_bfloat16(inputs.device)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=enabled):
            return network(inputs, *args, **kwargs)
