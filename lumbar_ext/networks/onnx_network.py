"""An exported network, run by ONNX Runtime, in the place of the original: half its CPU time, inference only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lumbar_ext.errors import InputError


class OnnxNetwork(nn.Module):
    """Computes the packed tensor of images [B, 1, H, W] with ONNX Runtime on the CPU.

    Args:
        path: what `lumbar-ext export-onnx` wrote.
        threads: of one image; 0 leaves it to ONNX Runtime.

    Raises:
        InputError: when the file is missing or damaged, or onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError("onnxruntime is not installed: pip install onnxruntime") from error
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file, expected an ONNX network (lumbar-ext export-onnx)")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise InputError(f"{path}: not an ONNX network ({str(error).splitlines()[0]})") from error
        # callers ask a network's parameters for its device
        self.nothing = nn.Parameter(torch.zeros(0), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """The packed tensor, on the CPU."""
        pixels = np.ascontiguousarray(image.detach().cpu().float().numpy())
        return torch.from_numpy(self._session.run(None, {"image": pixels})[0])
