"""The command that writes a cohort of simulated studies.

    python -m lumbar_ext.simulation.cohort --output_dir DIR --n 100 --seed 0 --split train --workers 2

A run that was interrupted is resumed by the same command.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.parameters import SimulationParameters
from lumbar_ext.simulation.population import Population
from lumbar_ext.simulation.study import SPLITS, simulate_study
from lumbar_ext.simulation.study_files import is_complete, write_study

DEFAULT_ANATOMY = Path("bundles/lumbar_reconstruction/models/anatomy.pt")


@dataclass(frozen=True)
class CohortJob:
    """What all studies of a cohort share.

    Args:
        output_dir: folder of the study folders.
        anatomy: anatomy file.
        split: "train", "validation" or "test".
        size_px: rows and columns of the panel.
        meshes: whether to write meshes.
        inverted_share: share of pictures written with dark bone.
    """

    output_dir: Path
    anatomy: Path
    split: str
    size_px: int
    meshes: bool
    inverted_share: float


def write_cohort(
    output_dir: str,
    n: int = 100,
    seed: int = 0,
    split: str = "train",
    *,
    workers: int = 1,
    meshes: bool | str = False,
    size_px: int = 512,
    inverted_share: float = 0.0,
    anatomy: str = str(DEFAULT_ANATOMY),
) -> None:
    """Writes `n` studies, named by split and seed, skipping those that exist.

    Args:
        output_dir: folder to fill.
        n: number of studies; their seeds are `seed` to `seed + n - 1`.
        seed: first seed.
        split: "train", "validation" or "test"; held-out splits start from real subjects.
        workers: processes.
        meshes: whether to write the vertebrae as STL files.
        size_px: rows and columns of the panel of 427 mm.
        inverted_share: share of pictures written with dark bone, noted in meta.json.
        anatomy: anatomy file.

    Raises:
        InputError: for an unknown split or a missing anatomy file.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {SPLITS}, found {split!r}")
    job = CohortJob(Path(output_dir), Path(anatomy), split, int(size_px), _is_true(meshes), float(inverted_share))
    job.output_dir.mkdir(parents=True, exist_ok=True)
    todo = [s for s in range(seed, seed + n) if not is_complete(study_folder(job, s))]
    started = time.perf_counter()
    for _ in tqdm(_run(job, todo, int(workers)), total=len(todo), desc=f"{split} studies"):
        pass
    elapsed = time.perf_counter() - started
    rate = len(todo) / max(elapsed, 1e-9)
    print(f"{len(todo)} studies written, {n - len(todo)} found, {elapsed:.1f} s, {rate:.2f} studies/s")


def _is_true(value: bool | str) -> bool:
    """A switch of the command line: fire hands `--meshes false` over as text."""
    return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "yes")


def study_folder(job: CohortJob, seed: int) -> Path:
    """Folder of the study of a seed."""
    return job.output_dir / f"{job.split}-{seed:06d}"


def _run(job: CohortJob, seeds: list[int], workers: int) -> Iterator[int]:
    if workers <= 1:
        _prepare(job)
        yield from map(_write_one, seeds)
        return
    # Fork would copy the thread pools of numerical libraries in an undefined state.
    with multiprocessing.get_context("spawn").Pool(workers, initializer=_prepare, initargs=(job,)) as pool:
        yield from pool.imap_unordered(_write_one, seeds)


_state: dict[str, object] = {}


def _prepare(job: CohortJob) -> None:
    """Loads the population once a process."""
    _state.update(job=job, population=Population.load(job.anatomy))


def _write_one(seed: int) -> int:
    job, population = _state["job"], _state["population"]
    parameters = SimulationParameters()
    parameters = replace(parameters, appearance=replace(parameters.appearance, inverted_share=job.inverted_share))
    study = simulate_study(population, seed, job.split, size_px=job.size_px, parameters=parameters)
    write_study(study, study_folder(job, seed), meshes=job.meshes)
    return seed


if __name__ == "__main__":
    import fire

    fire.Fire(write_cohort)
