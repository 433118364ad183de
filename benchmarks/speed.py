"""Where the seconds go, in one run: registration and second looks, the whole command (the first after an installation,
too), the projector and its peers.

    python benchmarks/speed.py [--repeats 3] [--threads 2] [--only registration]

The registration's rows are of the sample study with the network's answers at hand; they also say how far one grey value more or
less moves the meshes. Processor time is that of all threads: the one to trust where other work runs on the machine.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))

import projector
import whole_run

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.registration import GaussNewton, RegistrationConfig, RegistrationResult, register
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.studies.biplanar_study import BiplanarStudy, read_study
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.network_bundle import load_locating_networks
from lumbar_ext.workflow.second_look import LookInput, SecondLook, load_second_look, movement_mm, prepare_looks

BUNDLES = Path(__file__).parents[1] / "bundles"
NETWORKS, RECONSTRUCTION = BUNDLES / "lumbar_multitask", BUNDLES / "lumbar_reconstruction"
_LOOKS = 2


def main(repeats: int = 3, threads: int = 2, only: str = "") -> None:
    """Prints the tables.

    Args:
        repeats: of each measurement; medians count.
        threads: beside one.
        only: "registration" leaves out the whole run and the projector.
    """
    registration(repeats, threads)
    if only != "registration":
        print()
        whole_run.main(repeats=repeats, threads=threads, first=True)
        projector.main(repeats=7, quick=True)


def registration(repeats: int, threads: int) -> None:
    """Prints what the first pass and the second looks cost, and how still they stand."""
    given, disturbed = sample_seen()
    print("| sample study | threads | wall s | processor s | evaluations | ends by |\n|---|---|---|---|---|---|")
    ends = {}
    for count in dict.fromkeys((1, threads)):
        passes(given, count)  # compiled and loaded
        runs = [passes(given, count) for _ in range(repeats)]
        ends[count] = [result for result, *_ in runs[0]]
        for i, name in enumerate(("first pass", *(f"look {n + 1}" for n in range(_LOOKS)))[: len(runs[0])]):
            wall, worked = (np.median([run[i][k] for run in runs]) for k in (1, 2))
            result, before = ends[count][i], 0 if i == 0 else ends[count][i - 1].evaluations
            figures = f"{count} | {wall:.2f} | {worked:.2f} | {result.evaluations - before} | {result.stop_reason}"
            print(f"| {name} | {figures} |", flush=True)
        total = [np.median([sum(part[k] for part in run) for run in runs]) for k in (1, 2)]
        print(f"| all | {count} | {total[0]:.2f} | {total[1]:.2f} | | |", flush=True)
    first, last = (own[-1] for own in (ends[1], ends[threads]))
    print(f"\nOne and {threads} threads differ by {max(movement_mm(first, last).values()):.1g} mm.")
    moved = movement_mm(first, passes(disturbed, 1)[-1][0])
    print(f"One grey value of 65,536 more or less moves vertices by {np.mean(list(moved.values())):.1g} mm on average.")


def passes(given: LookInput, threads: int) -> list[tuple[RegistrationResult, float, float]]:
    """The result of the first pass and of each look, with wall and processor seconds."""
    config = RegistrationConfig(optimiser=GaussNewton(threads=threads))
    looks, done = SecondLook(_network(), looks=_LOOKS), []
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        begin, worked = time.perf_counter(), time.process_time()
        first = register(given.registration, _model(), config)
        for result in looks.passes(given, _model(), config, first):
            now = time.perf_counter(), time.process_time()
            done.append((result, now[0] - begin, now[1] - worked))
            begin, worked = now
    return done


def sample_seen(seed: int = 0) -> tuple[LookInput, LookInput]:
    """What the network makes of the sample study, and of it with one grey value more or less in every pixel."""
    folder = RECONSTRUCTION / "sample"
    study = read_study(*(str(folder / name) for name in ("ap.png", "lat.png", "calibration.json")))
    rng = np.random.default_rng(seed)
    views = {}
    for view in VIEWS:
        pixels = study[view].pixels
        step = (pixels.max() - pixels.min()) / 65_535
        views[view] = replace(
            study[view], pixels=pixels + step * rng.integers(-1, 2, pixels.shape).astype(pixels.dtype)
        )
    return _seen(study), _seen(replace(study, **views))


def _seen(study: BiplanarStudy) -> LookInput:
    observed = observe_located(*load_locating_networks(NETWORKS), study)
    landmarks = triangulate_landmarks(observed.geometry, observed.landmarks)
    by_hand = np.zeros_like(landmarks.confidence, dtype=bool)
    return prepare_looks({"study": study, "observed": observed, "landmarks": landmarks, "by_hand": by_hand})[0]


def _network(_made: list = []) -> torch.nn.Module:  # noqa: B006 - read once a process
    if not _made:
        weights = NETWORKS / "models" / "second_look.pt"
        _made.append(load_second_look(NETWORKS, weights, _LOOKS, torch.device("cpu")).eval())
    return _made[0]


def _model(_made: list = []) -> VertebraShapeModel:  # noqa: B006 - read once a process
    if not _made:
        _made.append(VertebraShapeModel.load(RECONSTRUCTION / "models" / "model.pt"))
    return _made[0]


if __name__ == "__main__":
    import fire

    fire.Fire(main)
