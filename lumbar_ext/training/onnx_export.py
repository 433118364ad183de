"""The network as an ONNX file, checked against the original.

    lumbar-ext export-onnx --bundle_root bundles/lumbar_multitask --output model.onnx

Needs `onnx`, and `onnxruntime` for the check. TorchScript: `python -m monai.bundle ckpt_export`.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.workflow.network_bundle import load_bundle_network, load_first_generation

OPSET = 17  # of ONNX
TOLERANCE = 1e-3  # largest difference from PyTorch, in units of the output
_SIZE_PX = 64  # of the traced image; axes are dynamic


def export_onnx(network: nn.Module, path: str | Path) -> None:
    """Writes a network in evaluation mode; batch size and image size (multiples of 32) stay free.

    Uses torch's TorchScript-based exporter: it takes a second and needs no further package, the newer one takes minutes.

    Args:
        network: on the CPU, [B, 1, H, W] to one tensor.
        path: the file; input `image`, output `pred`.
    """
    free = {"image": {0: "batch", 2: "rows", 3: "columns"}, "pred": {0: "batch", 2: "cell_rows", 3: "cell_columns"}}
    image = torch.zeros(1, 1, _SIZE_PX, _SIZE_PX)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (image,),
            str(temporary),
            input_names=["image"],
            output_names=["pred"],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )


def onnx_difference(network: nn.Module, path: str | Path, seed: int = 0) -> float:
    """Largest absolute difference of the file's output, by ONNX Runtime, from the network's, on a random pair of images."""
    import onnxruntime

    rng = np.random.default_rng(seed)
    image = rng.uniform(-0.5, 1.5, (2, 1, 2 * _SIZE_PX, 3 * _SIZE_PX)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image})
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)).numpy()
    return float(np.abs(found - expected).max())


def export(bundle_root: str, output: str, weights: str = "", *, first_generation: bool = False) -> None:
    """Exports a bundle's network and prints how far the file's output is from it.

    Args:
        bundle_root: folder of the multi-task bundle.
        output: the ONNX file.
        weights: the bundle's if omitted.
        first_generation: export the former network.

    Raises:
        InputError: when the exported network computes something else.
    """
    # Without them torch fails late, in its own words.
    for package in ("onnx", "onnxruntime"):
        import_module(package)
    load = load_first_generation if first_generation else load_bundle_network
    network = load(bundle_root, weights)
    export_onnx(network, output)
    difference = onnx_difference(network, output)
    if difference > TOLERANCE:
        raise InputError(f"{output}: differs from the network by {difference:.2g}, expected at most {TOLERANCE}")
    print(f"{output}: {Path(output).stat().st_size / 1e6:.1f} MB, largest difference from the network {difference:.1e}")
