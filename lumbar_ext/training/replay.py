"""A stream of simulated views, each shown several times under different augmentation before newer ones replace it.

Simulating a view costs many times what augmenting one does. A reservoir of recent views keeps a network busy that learns
faster than views are made, and no view ever returns once it has left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable
from torch.utils.data import IterableDataset, get_worker_info

from lumbar_ext.errors import InputError
from lumbar_ext.training.view_records import ViewRecord, record_of_sample


class ReplayedViews(IterableDataset):
    """Samples drawn from a reservoir that a source of fresh views keeps filling.

    Every worker simulates its own share of the source and has its own reservoir, which outlives an epoch if the loader's
    workers persist.

    Args:
        source: yields samples of one view; when it ends, `set_epoch` asks it for new ones.
        length: samples of one epoch, over all workers and processes.
        reuse: samples given for each fresh view; 1 shows every view once.
        capacity: views that a worker keeps, about 1 MB each at 512 x 512.
        transform: applied to each sample drawn.
        downsample: 2, 4 .. halve the grid.
        seed: of the draws and of a random transform.

    Raises:
        InputError: unless length, reuse and capacity are positive.
    """

    def __init__(
        self,
        source: IterableDataset,
        length: int,
        *,
        reuse: int = 8,
        capacity: int = 256,
        transform: Callable | None = None,
        downsample: int = 1,
        seed: int = 0,
    ) -> None:
        for name, value in (("length", length), ("reuse", reuse), ("capacity", capacity)):
            if value < 1:
                raise InputError(f"{name}: expected 1 or more, found {value}")
        self.source, self.length, self.reuse, self.capacity = source, int(length), int(reuse), int(capacity)
        self.transform, self.downsample, self.seed = transform, downsample, int(seed)
        self._reservoir: list[ViewRecord] = []
        self._samples: Iterator[Any] | None = None

    def __len__(self) -> int:
        """Samples of one epoch of one process, over its workers."""
        return self.length // _world()[1]

    def __iter__(self) -> Iterator[Any]:
        """This worker's share of an epoch; the next epoch goes on where this one ended."""
        if self._samples is None:
            self._samples = self._endless()
        worker = get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        for _ in range(index, len(self), count):
            yield next(self._samples)

    def _endless(self) -> Iterator[Any]:
        rng = np.random.default_rng([self.seed, *_share()])
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=int(rng.integers(2**31)))
        for fresh in self._fresh():
            if len(self._reservoir) < self.capacity:
                self._reservoir.append(fresh)
            else:
                self._reservoir[rng.integers(self.capacity)] = fresh
            # the fresh one is always shown, the others by chance
            for draw in range(self.reuse):
                record = fresh if draw == 0 else self._reservoir[rng.integers(len(self._reservoir))]
                sample = record.as_sample()
                yield self.transform(sample) if self.transform is not None else sample

    def _fresh(self) -> Iterator[ViewRecord]:
        epoch = 0
        while True:
            if epoch > 0:
                self.source.set_epoch(epoch)
            for sample in self.source:
                yield record_of_sample(sample, self.downsample)
            epoch += 1


def _world() -> tuple[int, int]:
    """Rank and number of processes."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)


def _share() -> tuple[int, int]:
    """Rank of the process, and number of the worker within it."""
    worker = get_worker_info()
    return _world()[0], worker.id if worker else 0
