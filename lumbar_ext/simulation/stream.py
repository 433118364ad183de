"""Simulated studies as a stream of training samples that never touches the disk.

    views = SimulatedViews("bundles/lumbar_reconstruction/models/anatomy.pt", n_studies=1000, seed=0)
    for batch in DataLoader(views, batch_size=8, num_workers=2): ...

A sample is the same dictionary that `training.view_records.ViewRecord.as_sample` gives for a study that the cohort
command wrote with the same seed. It depends on the seed alone, not on the number of workers or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable
from torch.utils.data import IterableDataset, get_worker_info

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.shape.sources.cohort_file import SPLITS
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.ranges import SimulationParameters
from lumbar_ext.simulation.simulated_study import SimulatedStudy, simulate_study
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.transforms.intensity import UINT16_MAX
from lumbar_ext.transforms.view_truth import truth_on_grid


class SimulatedViews(IterableDataset):
    """Both views of simulated studies, one sample after the other.

    Args:
        anatomy: anatomy file, or a population.
        n_studies: studies of one pass.
        seed: first study; those of epoch e have the seeds `seed + e n_studies` and on, see `set_epoch`.
        split: "train", "validation" or "test".
        transform: applied to each sample; a random one is seeded with the study and the view.
        parameters: ranges, the defaults if omitted.
        views: which views.

    Raises:
        InputError: for an unknown split or view, fewer than one study, or a missing anatomy file.
    """

    def __init__(
        self,
        anatomy: str | Path | Population,
        n_studies: int,
        *,
        seed: int = 0,
        split: str = "train",
        transform: Callable | None = None,
        parameters: SimulationParameters | None = None,
        views: Sequence[str] = VIEWS,
    ) -> None:
        if split not in SPLITS:
            raise InputError(f"split must be one of {SPLITS}, found {split!r}")
        if n_studies < 1:
            raise InputError(f"n_studies must be at least 1, found {n_studies}")
        if not views or not set(views) <= set(VIEWS):
            raise InputError(f"views must be some of {VIEWS}, found {views!r}")
        self.population = Population.load(anatomy) if isinstance(anatomy, str | Path) else anatomy
        self.n_studies, self.seed, self.split = int(n_studies), int(seed), split
        self.transform, self.parameters, self.views = transform, parameters or SimulationParameters(), tuple(views)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Selects the studies of the next pass; persistent workers keep the epoch they started with."""
        self._epoch = int(epoch)

    def __len__(self) -> int:
        """Samples of one pass over all workers and processes."""
        return self.n_studies * len(self.views)

    def __iter__(self) -> Iterator[Any]:
        part, parts = _share()
        first = self.seed + self._epoch * self.n_studies
        for seed in range(first + part, first + self.n_studies, parts):
            study = simulate_study(self.population, StudySpec(seed, self.split, parameters=self.parameters))
            for view in self.views:
                yield self._transformed(view_sample(study, view), seed, view)

    def _transformed(self, sample: dict[str, Any], seed: int, view: str) -> Any:
        if self.transform is None:
            return sample
        if isinstance(self.transform, Randomizable):
            own = np.random.SeedSequence([seed, SPLITS.index(self.split), VIEWS.index(view)])
            self.transform.set_random_state(seed=int(own.generate_state(1)[0]))
        return self.transform(sample)


def view_sample(study: SimulatedStudy, view: str) -> dict[str, Any]:
    """One view of a study as `transforms.view_truth.ViewTruth.as_sample` gives it."""
    picture = study.pictures[view]
    pixels = picture.pixels.astype(np.float32)
    upright = np.float32(UINT16_MAX) - pixels if picture.inverted else pixels
    landmarks_px = study.truth.geometry[view].project(study.truth.landmarks_mm)
    truth, _ = truth_on_grid(upright, study.truth.decomposition[view], landmarks_px, study.geometry[view], view)
    return truth.as_sample()


def _share() -> tuple[int, int]:
    """Which share of the studies this worker of this process makes, and how many shares there are."""
    worker = get_worker_info()
    index, count = (worker.id, worker.num_workers) if worker else (0, 1)
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
    return rank * count + index, world * count
