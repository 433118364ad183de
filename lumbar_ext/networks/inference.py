"""How networks are asked: without gradients, with the same answer however many processors there are, and how precisely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible_inference() -> Iterator[None]:
    """Inference mode on one thread of the processor; a decorator, too.

    The sums of a convolution are parted among threads, so that its last bits depend on how many there are. A registration
    makes tenths of a millimetre of them (1e-5 in a decomposition moves vertices by 0.1-0.6 mm), and the same radiographs
    would have other meshes on another machine of the same kind.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than in float32: an AVX-512 processor without it takes twice as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512") and _cpu_bfloat16()


def _cpu_bfloat16() -> bool:
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())
