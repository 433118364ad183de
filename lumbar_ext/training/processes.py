"""Devices, processes and worker processes of a training."""

from __future__ import annotations

import os
import time

import torch
import torch.distributed as dist
from monai.data import DataLoader
from torch.utils.data import Dataset

_PREFETCHED = 4  # batches a worker
_LAST_WORK_S = 1.0  # what a busy machine may take to run a thread of gloo's once


def process_device() -> torch.device:
    """The GPU of this process among those that torchrun started; the CPU where there is none."""
    return torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu")


def device_ids(device: torch.device) -> list[torch.device] | None:
    """What DistributedDataParallel wants to know of a device: nothing of a CPU."""
    return [device] if device.type == "cuda" else None


def start_processes() -> None:
    """Joins the processes that torchrun started, unless that was done."""
    if not dist.is_initialized():
        dist.init_process_group(backend="nccl" if torch.cuda.is_available() else "gloo")


def end_processes() -> None:
    """Leaves the other processes, when all have come as far as this.

    Gloo's threads let go of a collective's tensors after its result is there, and need Python for it. One that comes to it when
    the interpreter is already closing aborts a training that is done (https://github.com/pytorch/pytorch/pull/179291), so they
    are given time.
    """
    dist.barrier()
    dist.destroy_process_group()
    time.sleep(_LAST_WORK_S)


def stream_loader(dataset: Dataset, batch_size: int, num_workers: int, *, pin_memory: bool) -> DataLoader:
    """A loader of views that are simulated while the network trains; its workers outlive an epoch.

    Args:
        dataset: an iterable one.
        batch_size: views of a batch.
        num_workers: processes that simulate; 0 for this one.
        pin_memory: whether batches go to a GPU.
    """
    options = {"multiprocessing_context": "spawn", "prefetch_factor": _PREFETCHED, "persistent_workers": True}
    own = options if num_workers > 0 else {}
    return DataLoader(
        dataset, batch_size=batch_size, num_workers=num_workers, pin_memory=pin_memory, drop_last=True, **own
    )
