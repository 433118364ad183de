"""Small weight files: half precision, and parts where a transfer limits the size of a file.

lumbar-ext pack-weights --weights runs/model.pt --output out/model.pt [--part_mb 15]
lumbar-ext join-weights --parts out --output models/model.pt
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import refuse_same_file
from lumbar_ext.training.handlers.checkpoint import read_checkpoint, write_checkpoint

_MB = 1e6  # bytes


def half_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating point tensors as float16, which a float32 network loads as they are.

    Raises:
        InputError: for a value beyond float16's range.
    """
    halved = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    for name, value in halved.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f"{name}: holds values beyond 65504 or not finite, which float16 cannot store")
    return halved


def pack_weights(weights: str, output: str, part_mb: float = 0.0) -> None:
    """Writes weights in half precision.

    Args:
        weights: a state dictionary's file.
        output: the file; with parts, `<name>.0`, `<name>.1` ... instead.
        part_mb: largest part in megabytes; 0 writes one file.

    Raises:
        InputError: when the weights cannot be read or stored so, or would be written over themselves.
    """
    refuse_same_file(weights, output)
    state = half_precision(read_checkpoint(weights))
    groups = _parts(state, part_mb * _MB) if part_mb > 0 else [state]
    paths = [Path(output)] if part_mb <= 0 else [Path(f"{output}.{k}") for k in range(len(groups))]
    for path, group in zip(paths, groups, strict=True):
        write_checkpoint(path, group)
        print(f"{path}: {path.stat().st_size / _MB:.1f} MB")


def _parts(state: dict[str, Tensor], largest_bytes: float) -> list[dict[str, Tensor]]:
    """The entries in order, as many a part as fit; room is left for what a file adds to each tensor."""
    parts: list[dict[str, Tensor]] = [{}]
    used = 0.0
    for name, value in state.items():
        size = value.numel() * value.element_size() + 512
        if parts[-1] and used + size > largest_bytes:
            parts.append({})
            used = 0.0
        parts[-1][name] = value
        used += size
    return parts


def join_weights(parts: str, output: str) -> None:
    """Joins the parts that `pack_weights` wrote into one file.

    Args:
        parts: folder with `*.pt.0`, `*.pt.1` ...
        output: the file.

    Raises:
        InputError: when a part is missing.
    """
    found = sorted(Path(parts).glob("*.pt.[0-9]*"), key=lambda path: int(path.suffix[1:]))
    if not found or [int(path.suffix[1:]) for path in found] != list(range(len(found))):
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(f"{parts}: expected parts .pt.0, .pt.1 ... without a gap, found {names}")
    state: dict[str, Tensor] = {}
    for path in found:
        state |= read_checkpoint(path)
    write_checkpoint(output, state)
    print(f"{output}: {len(state)} tensors of {len(found)} parts")
