"""Speed of the simulator: CPU and wall seconds of each stage of a study, and studies a second from a DataLoader.

python -m benchmarks.simulation [--n 20] [--workers 2] [--anatomy FILE]
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch.utils.data import DataLoader

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.simulation import simulated_study as study_module
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.cohort import DEFAULT_ANATOMY
from lumbar_ext.simulation.simulated_study import simulate_study
from lumbar_ext.simulation.stream import SimulatedViews, view_sample
from lumbar_ext.simulation.study_spec import StudySpec

# Stages by the function of `simulation.simulated_study` that does them.
STAGES = {
    "assemble_skeleton": "skeleton",
    "posed_skeleton": "posture",
    "assemble_scene": "scene",
    "material_paths": "path lengths, both views",
    "expose": "beam, scatter, noise, both views",
    "finish": "picture, both views",
    "bone_images": "truth images, both views",
}


def main(n: int = 20, workers: int = 2, anatomy: str = str(DEFAULT_ANATOMY)) -> None:
    """Prints the tables.

    Args:
        n: studies a measurement.
        workers: processes of the DataLoader.
        anatomy: anatomy file.
    """
    population = Population.load(anatomy)
    for view in VIEWS:
        view_sample(simulate_study(population, StudySpec(0)), view)
    print(f"one process, medians of {n} studies (pairs of 512 x 512 pixels), no disk")
    print(f"{'stage':36}{'CPU ms':>9}{'wall ms':>9}")
    for name, (cpu, wall) in _stage_times(population, n).items():
        print(f"{name:36}{1000 * cpu:9.1f}{1000 * wall:9.1f}")
    samples = SimulatedViews(population, n_studies=max(n, 4 * workers), seed=1000)
    loader = DataLoader(samples, batch_size=None, num_workers=workers, multiprocessing_context="fork")
    stream = iter(loader)
    for _ in range(2 * workers):
        next(stream)
    started = time.perf_counter()
    count = sum(1 for _ in stream)
    elapsed = time.perf_counter() - started
    print(f"DataLoader, {workers} workers: {count / len(VIEWS) / elapsed:.2f} studies/s (wall)")


def _stage_times(population: Population, n: int) -> dict[str, tuple[float, float]]:
    """Median CPU and wall seconds by stage, and of the whole."""
    spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in range(1, n + 1):
        own: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
        with _timed_stages(own):
            start = _now()
            study = simulate_study(population, StudySpec(seed))
            middle = _now()
            for view in VIEWS:
                view_sample(study, view)
            end = _now()
        own["rest"] = middle - start - sum(own.values())
        own["network grid, both views"] = end - middle
        own["study"] = end - start
        for name, seconds in own.items():
            spent[name].append(tuple(seconds))
    return {name: tuple(np.median(values, axis=0)) for name, values in spent.items()}


def _now() -> np.ndarray:
    return np.array([time.process_time(), time.perf_counter()])


@contextmanager
def _timed_stages(own: dict[str, np.ndarray]) -> Iterator[None]:
    """Adds the seconds of each stage's function to `own` while the block runs."""
    originals = {name: getattr(study_module, name) for name in STAGES}

    def timed(name: str):
        def call(*args, **kwargs):
            start = _now()
            result = originals[name](*args, **kwargs)
            own[STAGES[name]] = own[STAGES[name]] + _now() - start
            return result

        return call

    for name in STAGES:
        setattr(study_module, name, timed(name))
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(study_module, name, function)


if __name__ == "__main__":
    import fire

    fire.Fire(main)
