"""What the registration costs and what each of its parts brings, on studies of a cohort with known truth.

    python -m lumbar_ext.simulation.cohort --output_dir COHORT --n 10 --seed 0 --split validation --meshes true
    python benchmarks/registration.py speed --dataset_dir COHORT          # Gauss-Newton, BOBYQA, one and two threads
    python benchmarks/registration.py ablation --dataset_dir COHORT       # what each part brings, truth and network
    python benchmarks/registration.py convergence --dataset_dir COHORT    # starts within +-5 mm and +-8 deg
    python benchmarks/registration.py repeatability --dataset_dir COHORT  # rigid mode from 20 random starts
    python benchmarks/registration.py joint --dataset_dir COHORT          # the paper's joint BOBYQA, to its end: minutes

Settings are chosen on validation studies only: none of these commands is meant for test studies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.truth import ObserveTruth, study_items, true_surfaces
from lumbar_ext.io.study import read_study
from lumbar_ext.registration import (
    GaussNewton,
    Huber,
    LandmarkWeights,
    RegistrationConfig,
    RegistrationInput,
    RegistrationResult,
    ViewFields,
    bobyqa_config,
    register,
    triangulate_landmarks,
)
from lumbar_ext.registration.rigid import SubjectVertebra, register_rigidly
from lumbar_ext.shape.point_distribution import VertebraShapeModel
from lumbar_ext.shape.surface import Surface, locate
from lumbar_ext.workflow.network_bundle import load_bundle_network
from lumbar_ext.workflow.observe import ObservedStudy, observe, to_network_grids

BUNDLES = Path(__file__).parents[1] / "bundles"
_EVERY = 5
"""Every fifth vertex is measured: the mean of 2,000 distances is known to 0.02 mm."""


@dataclass(frozen=True)
class Case:
    """A study with its truth: what a perfect network sees, what ours sees, and the true surfaces."""

    truth: RegistrationInput
    network: RegistrationInput | None
    surfaces: dict[str, Surface]
    landmarks_mm: np.ndarray


def ablation(dataset_dir: str, n: int = 10, network: bool = True) -> None:
    """Prints the mean error of the default and of the default with one part changed.

    Args:
        dataset_dir: a cohort.
        n: studies.
        network: also through the network, not the truth alone.
    """
    default = RegistrationConfig()
    variants = {
        "default (Gauss-Newton, 64 modes)": default,
        "14 modes": replace(default, n_modes=14),
        "no free-form refinement": replace(default, free_form=None),
        "no gain": replace(default, view_fields=None),
        "gain and background": replace(default, view_fields=ViewFields(background_orders=(2, 3))),
        "levels independent": replace(default, level_correlation=0.0),
        "prior of fixed weight": replace(default, reference_penalty=None),
        "Huber 0.03": replace(default, similarity=Huber(0.03)),
        "no landmark weights": replace(default, landmark_weights=LandmarkWeights(k=0)),
        "landmark weights k = 6": replace(default, landmark_weights=LandmarkWeights(k=6)),
        "BOBYQA in blocks, absolute error, 14 modes": bobyqa_config(weighted=False),
        "BOBYQA in blocks, landmark-weighted, 14 modes": bobyqa_config(),
        "BOBYQA in blocks, landmark-weighted, 30 modes": bobyqa_config(n_modes=30),
    }
    cases = list(read_cases(dataset_dir, n, network))
    print("| | truth: mean ± SD, mm | network: mean ± SD, mm | s |\n|---|---|---|---|")
    for name, config in variants.items():
        results = [register(case.truth, model(), config) for case in cases]
        seconds = np.median([result.seconds for result in results])
        cells = [_spread([error for c, r in zip(cases, results, strict=True) for error in errors_mm(c, r).values()])]
        seen = [case for case in cases if case.network is not None]
        pairs = [(case, register(case.network, model(), config)) for case in seen]
        cells.append(_spread([error for case, result in pairs for error in errors_mm(case, result).values()]))
        print(f"| {name} | {cells[0]} | {cells[1]} | {seconds:.2f} |", flush=True)


def speed(dataset_dir: str, n: int = 5) -> None:
    """Prints median seconds, evaluations and errors of the optimisers, cold and warm."""
    cases = list(read_cases(dataset_dir, n, False))
    first = register(cases[0].truth, model(), RegistrationConfig()).seconds
    rows = {
        f"Gauss-Newton, {threads} thread{'s' * (threads > 1)}": RegistrationConfig(
            optimiser=GaussNewton(threads=threads)
        )
        for threads in (1, 2)
    }
    rows["BOBYQA in blocks (the paper's objective)"] = bobyqa_config()
    print(
        "| five vertebrae, true decompositions | median s | best s | evaluations | mean error, mm |\n|---|---|---|---|---|"
    )
    for name, config in rows.items():
        results = [register(case.truth, model(), config) for case in cases]
        error = np.mean([e for c, r in zip(cases, results, strict=True) for e in errors_mm(c, r).values()])
        seconds = [result.seconds for result in results]
        evaluations = np.median([result.evaluations for result in results])
        print(
            f"| {name} | {np.median(seconds):.2f} | {min(seconds):.2f} | {evaluations:.0f} | {error:.2f} |", flush=True
        )
    print(f"| Gauss-Newton, first of this process | {first:.2f} | | | |")


def joint(dataset_dir: str) -> None:
    """Runs the paper's joint BOBYQA on one study to its end and prints what it took."""
    (case,) = read_cases(dataset_dir, 1, False)
    for name, config in (("joint BOBYQA", bobyqa_config(joint=True)), ("Gauss-Newton", RegistrationConfig())):
        result = register(case.truth, model(), config)
        error = np.mean(list(errors_mm(case, result).values()))
        print(f"{name}: {result.stop_reason}, {result.evaluations} evaluations, {result.seconds:.1f} s, {error:.2f} mm")


def convergence(dataset_dir: str, n: int = 10, starts: int = 2, seed: int = 0) -> None:
    """Prints how many vertebrae are found from starts within +-5 mm and +-8 deg, and whether failures are flagged."""
    rng, errors, flagged = np.random.default_rng(seed), [], []
    for case in read_cases(dataset_dir, n, False):
        for _ in range(starts):
            result = register(_shifted(case, rng), model(), RegistrationConfig())
            own = errors_mm(case, result)
            errors += own.values()
            flagged += [bool(result.vertebrae[level].warnings) for level in own]
    errors, flagged = np.array(errors), np.array(flagged)
    failed = errors >= 1
    print(f"{len(errors)} vertebrae, starts within +-5 mm and +-8 deg, true decompositions:")
    print(f"below 1 mm: {(~failed).mean():.1%}; failures: {failed.sum()}, of them flagged: {(failed & flagged).sum()}")
    print(f"flagged though below 1 mm: {(~failed & flagged).sum()}; median error {np.median(errors):.2f} mm")


def repeatability(dataset_dir: str, n: int = 1, starts: int = 20, seed: int = 0) -> None:
    """Prints the spread of rigid registrations from random starts within the bounds (10 mm, 15 deg)."""
    rng, places, angles = np.random.default_rng(seed), [], []
    for case in read_cases(dataset_dir, n, False):
        subject = {
            level: SubjectVertebra(
                case.surfaces[level].vertices_mm, case.surfaces[level].triangles, case.landmarks_mm[i]
            )
            for i, level in enumerate(LEVELS)
            if level in case.surfaces
        }
        limits = np.array([10.0] * 3 + [np.radians(15)] * 3)
        results = [
            register_rigidly(
                case.truth, subject, start_offsets={level: rng.uniform(-limits, limits) for level in subject}
            )
            for _ in range(starts)
        ]
        for level in subject:
            poses = [result.vertebrae[level].world_from_vertebra for result in results]
            places.append(np.stack([pose.translation_mm for pose in poses]).std(0))
            turns = [(poses[0].inverse() @ pose).euler_rad() for pose in poses]
            angles.append(np.degrees(turns).std(0))
    print(f"standard deviation over {starts} starts, mean (largest) over vertebrae and axes: ", end="")
    print(f"{np.mean(places):.3f} ({np.max(places):.3f}) mm, {np.mean(angles):.3f} ({np.max(angles):.3f}) deg")


def read_cases(dataset_dir: str, n: int, network: bool) -> Iterator[Case]:
    """The first studies of a cohort."""
    root = BUNDLES / "lumbar_multitask"
    seen_by = load_bundle_network(root, root / "models" / "model.pt") if network else None
    for item in study_items(dataset_dir, dataset_dir)[:n]:
        study = read_study(item["ap_image"], item["lat_image"], item["calibration"])
        truth = ObserveTruth()({"study": study, "truth_dir": item["truth_dir"]})["observed"]
        seen = None if seen_by is None else _input(observe(seen_by, to_network_grids(study)))
        perfect = _input(truth)
        yield Case(perfect, seen, true_surfaces(item["truth_dir"]), perfect.landmarks3d.points_mm)


def errors_mm(case: Case, result: RegistrationResult) -> dict[str, float]:
    """By level, the mean distance of reconstructed vertices to the true surface."""
    found = {level: fit.vertices_mm[::_EVERY] for level, fit in result.vertebrae.items() if level in case.surfaces}
    return {
        level: float(np.linalg.norm(locate(case.surfaces[level], points).points_mm - points, axis=1).mean())
        for level, points in found.items()
    }


def model(_made: list[VertebraShapeModel] = []) -> VertebraShapeModel:  # noqa: B006 - read once a process
    """The shape model of the bundle."""
    if not _made:
        _made.append(VertebraShapeModel.load(BUNDLES / "lumbar_reconstruction" / "models" / "model.pt"))
    return _made[0]


def _input(observed: ObservedStudy) -> RegistrationInput:
    landmarks = triangulate_landmarks(observed.geometry, observed.landmarks)
    return RegistrationInput(observed.decompositions, observed.geometry, landmarks, observed.landmarks)


def _shifted(case: Case, rng: np.random.Generator) -> RegistrationInput:
    """The true input with every vertebra's landmarks in space moved rigidly, which moves its start."""
    from lumbar_ext.geometry import RigidTransform
    from lumbar_ext.shape.frame import world_from_vertebra

    moved = case.landmarks_mm.copy()
    for level, points in enumerate(case.landmarks_mm):
        if np.isfinite(points).all():
            pose = world_from_vertebra(points)
            offset = RigidTransform.from_pose(np.r_[rng.uniform(-5, 5, 3), np.radians(rng.uniform(-8, 8, 3))])
            moved[level] = (pose @ offset @ pose.inverse()).apply(points)
    return replace(case.truth, landmarks3d=replace(case.truth.landmarks3d, points_mm=moved))


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ± {np.std(values):.2f}" if values else ""


COMMANDS: dict[str, Callable] = {
    command.__name__: command for command in (speed, ablation, convergence, repeatability, joint)
}

if __name__ == "__main__":
    import fire

    fire.Fire(COMMANDS)
