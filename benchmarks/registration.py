"""What the registration costs and what each of its parts brings, on studies of a cohort with known truth.

    lumbar-ext simulate --output_dir COHORT --n 10 --seed 0 --split validation --meshes true
    python benchmarks/registration.py speed --dataset_dir COHORT          # Gauss-Newton, BOBYQA, one and two threads
    python benchmarks/registration.py ablation --dataset_dir COHORT       # what each part brings, truth and network
    python benchmarks/registration.py convergence --dataset_dir COHORT    # starts within +-5 mm and +-8 deg
    python benchmarks/registration.py repeatability --dataset_dir COHORT  # rigid mode from 20 random starts
    python benchmarks/registration.py pixels --dataset_dir COHORT         # finer true decompositions, finer last stages
    python benchmarks/registration.py landmarks --dataset_dir COHORT      # the network's landmarks, pictures; true ones
    python benchmarks/registration.py joint --dataset_dir COHORT          # the paper's joint BOBYQA, to its end: minutes

Settings are chosen on validation studies only: none of these commands is meant for test studies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.drr.bone_images import decomposition
from lumbar_ext.evaluation.network.network_error import ObserveSpoilt
from lumbar_ext.evaluation.truth import ObserveTruth, study_items, true_surfaces
from lumbar_ext.geometry import BiplanarGeometry, RigidTransform
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.registration import (
    GaussNewton,
    Huber,
    ImageTerm,
    LandmarkWeights,
    NonIntersection,
    RegistrationConfig,
    RegistrationInput,
    RegistrationResult,
    ShapePriorTerm,
    ViewFields,
    bobyqa_config,
    paper_config,
    register,
    triangulate_landmarks,
)
from lumbar_ext.registration.free_form import FreeForm
from lumbar_ext.registration.own_meshes import SubjectVertebra, register_rigidly
from lumbar_ext.registration.search.gauss_newton import DEFAULT_STAGES
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.network_bundle import load_locating_networks
from lumbar_ext.workflow.observe import ObservedStudy

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


def ablation(dataset_dir: str, n: int = 10, weights: str | None = None, only: str = "") -> None:
    """Prints the mean error of the default and of the default with one part changed, studies paired.

    Args:
        dataset_dir: a cohort.
        n: studies.
        weights: of the network, those of the bundle when omitted.
        only: rows whose name holds this text; the default is always first.
    """
    cases = list(read_cases(dataset_dir, n, True, weights))
    columns = [f"{kind}: mean ± SD, mm | against the default" for kind in ("truth", "network")]
    print(f"| {len(cases)} studies | {' | '.join(columns)} | median processor s |")
    print("|---|---|---|---|---|---|")
    first = {}
    for name, config in _variants().items():
        if first and only not in name:
            continue
        seconds, cells = [], []
        for kind in ("truth", "network"):
            errors = []
            for case in cases:
                started = time.process_time()
                result = register(getattr(case, kind), model(), config)
                seconds.append(time.process_time() - started)
                errors.append([*errors_mm(case, result).values()])
            means = np.array([np.mean(own) for own in errors])
            cells += [
                _spread([error for own in errors for error in own]),
                _paired(means - first.setdefault(kind, means)),
            ]
        print(f"| {name} | {' | '.join(cells)} | {np.median(seconds):.2f} |", flush=True)


def _variants() -> dict[str, RegistrationConfig]:
    """The rows of the ablation, the default first."""
    default = RegistrationConfig()
    return {
        "default (Gauss-Newton, 64 modes)": default,
        "30 modes": replace(default, n_modes=30),
        "14 modes": replace(default, n_modes=14),
        "no free-form refinement": replace(default, free_form=None),
        "14 modes, no free-form refinement": replace(default, n_modes=14, free_form=None),
        "free-form fields of 8 mm, 120 of them": replace(default, free_form=FreeForm(n_fields=120, length_mm=8.0)),
        "free-form fields of 6 mm, 200 of them": replace(default, free_form=FreeForm(n_fields=200, length_mm=6.0)),
        "gain": replace(default, images=ImageTerm(Huber(), ViewFields())),
        "gain and background": replace(default, images=ImageTerm(Huber(), ViewFields(background_orders=(2, 3)))),
        "neighbours kept apart": replace(default, non_intersection=NonIntersection()),
        "levels independent": replace(default, shape_prior=ShapePriorTerm()),
        "prior of fixed weight": replace(default, reference_penalty=None),
        "Huber 0.03": replace(default, images=ImageTerm(Huber(0.03))),
        "no landmark weights": replace(default, landmark_weights=LandmarkWeights(k=0)),
        "landmark weights k = 6": replace(default, landmark_weights=LandmarkWeights(k=6)),
        "BOBYQA in blocks, absolute error, 14 modes": bobyqa_config(weighted=False),
        "BOBYQA in blocks, landmark-weighted, 14 modes": bobyqa_config(),
        "BOBYQA in blocks, landmark-weighted, 30 modes": bobyqa_config(n_modes=30),
        "BOBYQA in blocks, landmark-weighted, 64 modes": bobyqa_config(n_modes=64),
    }


def speed(dataset_dir: str, n: int = 5) -> None:
    """Prints median seconds, evaluations and errors of the optimisers, and what the number of threads changes."""
    cases = list(read_cases(dataset_dir, n, False))
    first = register(cases[0].truth, model(), RegistrationConfig()).seconds
    rows = {
        "Gauss-Newton, 1 thread": RegistrationConfig(optimiser=GaussNewton(threads=1)),
        "Gauss-Newton, 2 threads": RegistrationConfig(optimiser=GaussNewton(threads=2)),
        "BOBYQA in blocks (the paper's objective)": bobyqa_config(),
    }
    print("| five vertebrae, true decompositions | median s | best s | processor s | evaluations | mean error, mm |")
    print("|---|---|---|---|---|---|")
    found = {}
    for name, config in rows.items():
        worked = time.process_time()
        results = found[name] = [register(case.truth, model(), config) for case in cases]
        worked = (time.process_time() - worked) / len(cases)
        error = np.mean([e for c, r in zip(cases, results, strict=True) for e in errors_mm(c, r).values()])
        seconds = [result.seconds for result in results]
        evaluations = np.median([result.evaluations for result in results])
        figures = f"{np.median(seconds):.2f} | {min(seconds):.2f} | {worked:.2f} | {evaluations:.0f} | {error:.2f}"
        print(f"| {name} | {figures} |", flush=True)
    print(f"| Gauss-Newton, first of this process | {first:.2f} | | | | |")
    print(f"\nOne and two threads differ by {_largest_difference_mm(*list(found.values())[:2]):.1g} mm at most.")


def pixels(dataset_dir: str, n: int = 12) -> None:
    """Prints what true decompositions of finer pixels, registered to finer blocks of them, bring.

    Args:
        dataset_dir: a cohort.
        n: studies.
    """
    cases = list(read_cases(dataset_dir, n, False))
    print("| pixels of the true decomposition, mm | of the last stage, mm | mean ± SD, mm | median processor s |")
    print("|---|---|---|---|")
    for finer, block in ((1, 2), (1, 1), (2, 2)):
        last = replace(DEFAULT_STAGES[-1], block=block)
        coarse = tuple(replace(stage, block=stage.block * finer) for stage in DEFAULT_STAGES[:-1])
        config = RegistrationConfig(optimiser=GaussNewton(stages=(*coarse, last)))
        errors, seconds = [], []
        for case in cases:
            inputs = case.truth if finer == 1 else _finer(case, finer)
            started = time.process_time()
            result = register(inputs, model(), config)
            seconds.append(time.process_time() - started)
            errors += errors_mm(case, result).values()
        edge = 0.834 / finer
        print(f"| {edge:.3f} | {edge * block:.3f} | {_spread(errors)} | {np.median(seconds):.1f} |", flush=True)


def _finer(case: Case, times: int) -> RegistrationInput:
    """The true input on a grid of pixels that are smaller so many times, rendered from the true surfaces."""
    inputs, images, landmarks, cameras = case.truth, {}, {}, {}
    bones = tuple(case.surfaces.get(level) for level in LEVELS)
    for view, image in inputs.decompositions.items():
        old = inputs.geometry[view]
        columns, rows = (size * times for size in old.size_px)
        spacing = tuple(own / times for own in old.pixel_spacing_mm)
        cameras[view] = old.resampled(size_px=(columns, rows), pixel_spacing_mm=spacing)
        images[view] = decomposition(bones, cameras[view])
        blocks = images[view].reshape(rows // times, times, columns // times, times).mean((1, 3))
        assert np.abs(blocks - image).mean() < 0.01 * image[image > 0].mean(), "the finer picture lies elsewhere"
        seen = inputs.landmarks[view]
        landmarks[view] = replace(seen, positions_px=cameras[view].project(old.detector_point(seen.positions_px)))
    geometry = BiplanarGeometry(**cameras)
    return replace(
        inputs,
        decompositions=images,
        geometry=geometry,
        landmarks=landmarks,
        landmarks3d=triangulate_landmarks(geometry, landmarks),
    )


def _largest_difference_mm(first: list[RegistrationResult], second: list[RegistrationResult]) -> float:
    """The largest distance of corresponding vertices."""
    return max(
        float(np.linalg.norm(fit.vertices_mm - other.vertebrae[level].vertices_mm, axis=1).max())
        for one, other in zip(first, second, strict=True)
        for level, fit in one.vertebrae.items()
    )


def joint(dataset_dir: str, max_evaluations: int = 60_000) -> None:
    """Runs the paper's joint BOBYQA (100 parameters) on one study to its end and prints what it took.

    Args:
        dataset_dir: a cohort; its first study counts.
        max_evaluations: a limit that should not be what ends the search.
    """
    (case,) = read_cases(dataset_dir, 1, False)
    paper = paper_config()
    paper = replace(paper, optimiser=replace(paper.optimiser, max_evaluations=max_evaluations))
    print("| one study, true decompositions | ends by | evaluations | wall s | processor s | mean error, mm |")
    print("|---|---|---|---|---|---|")
    for name, config in {
        "joint BOBYQA (the paper)": paper,
        "BOBYQA in blocks": bobyqa_config(),
        "Gauss-Newton (default)": RegistrationConfig(),
    }.items():
        worked = time.process_time()
        result = register(case.truth, model(), config)
        worked = time.process_time() - worked
        error = np.mean(list(errors_mm(case, result).values()))
        figures = f"{result.evaluations} | {result.seconds:.1f} | {worked:.1f} | {error:.2f}"
        print(f"| {name} | {result.stop_reason} | {figures} |", flush=True)


def convergence(dataset_dir: str, n: int = 10, starts: int = 2, seed: int = 0, network: bool = False) -> None:
    """Prints how many vertebrae are found from starts within +-5 mm and +-8 deg, whether failures are flagged, and how far
    apart the ends of one vertebra are: a spread that an interval would have to know of.

    Args:
        dataset_dir: a cohort.
        n: studies.
        starts: of each.
        seed: of the starts.
        network: whether to register what the network sees in place of the truth.
    """
    rng, errors, flagged, spread_mm = np.random.default_rng(seed), [], [], []
    for case in read_cases(dataset_dir, n, network):
        results = [register(_shifted(case, rng, network), model(), RegistrationConfig()) for _ in range(starts)]
        for result in results:
            own = errors_mm(case, result)
            errors += own.values()
            flagged += [bool(result.vertebrae[level].warnings) for level in own]
        for level in set.intersection(*(set(result.vertebrae) for result in results)):
            ends = np.stack([result.vertebrae[level].vertices_mm for result in results])
            spread_mm.append(np.linalg.norm(ends - ends.mean(0), axis=-1).mean())
    errors, flagged = np.array(errors), np.array(flagged)
    failed = errors >= 1
    print(
        "| vertebrae | below 1 mm | failures | of them flagged | flagged though below 1 mm | median error, mm | "
        "from the mean of the ends: median, 95 %, most, mm |"
    )
    print("|---|---|---|---|---|---|---|")
    counts = f"{failed.sum()} | {(failed & flagged).sum()} | {(~failed & flagged).sum()}"
    apart = " / ".join(f"{np.percentile(spread_mm, share):.3f}" for share in (50, 95, 100))
    print(f"| {len(errors)} | {(~failed).mean():.1%} | {counts} | {np.median(errors):.2f} | {apart} |")


def landmarks(dataset_dir: str, n: int = 12) -> None:
    """Prints what better landmarks, or better decompositions, would bring to the first registration: the network's against true
    ones.

    Args:
        dataset_dir: a cohort.
        n: studies.
    """
    cases = list(read_cases(dataset_dir, n, True))
    print("| decompositions | landmarks | mean ± SD, mm | against the first row |")
    print("|---|---|---|---|")
    first = None
    for name, decompositions, marks in (
        ("the network's | the network's", "network", "network"),
        ("the network's | true", "network", "truth"),
        ("true | the network's", "truth", "network"),
        ("true | true", "truth", "truth"),
    ):
        errors = []
        for case in cases:
            shown, known = getattr(case, decompositions), getattr(case, marks)
            errors.append(
                [*errors_mm(case, register(_with_landmarks(shown, known), model(), RegistrationConfig())).values()]
            )
        means = np.array([np.mean(own) for own in errors])
        first = means if first is None else first
        pooled = [error for own in errors for error in own]
        print(f"| {name} | {_spread(pooled)} | {_paired(means - first)} |", flush=True)


def _with_landmarks(inputs: RegistrationInput, known: RegistrationInput) -> RegistrationInput:
    """The input with the landmarks of another of the same study, in its own pixels."""
    seen = {}
    for view, own in known.landmarks.items():
        on_detector = known.geometry[view].detector_point(own.positions_px)
        seen[view] = replace(own, positions_px=inputs.geometry[view].project(on_detector))
    return replace(inputs, landmarks=seen, landmarks3d=triangulate_landmarks(inputs.geometry, seen))


def repeatability(dataset_dir: str, n: int = 1, starts: int = 20, seed: int = 0) -> None:
    """Prints the spread and the error of rigid registrations from random starts within the bounds (10 mm, 15 deg).

    Args:
        dataset_dir: a cohort.
        n: studies.
        starts: of each study and kind of decomposition.
        seed: of the starts, and of the errors that spoil the truth.
    """
    print(
        f"| {starts} starts, {n} stud{'ies' if n > 1 else 'y'} | SD: mean (largest) | distance to the truth: mean (largest) |"
    )
    print("|---|---|---|")
    for name, inputs_of in {
        "true decompositions": lambda study, _: study.truth,
        "truth with measured network errors": lambda study, _: study.spoilt(seed),
        "the same, new errors for every start": lambda study, start: study.spoilt(seed + start),
        "the network's own decompositions": lambda study, _: study.network,
    }.items():
        rng, spreads, errors = np.random.default_rng(seed), [], []
        for study in read_rigid_studies(dataset_dir, n):
            found = [_rigid_poses(study, inputs_of(study, start), rng) for start in range(starts)]
            for level, true in study.poses.items():
                offsets = [true.inverse() @ poses[level] for poses in found if level in poses]
                places = np.stack([offset.translation_mm for offset in offsets])
                turns = np.degrees([offset.euler_rad() for offset in offsets])
                spreads.append((places.std(0), turns.std(0)))
                errors.append((np.linalg.norm(places.mean(0)), np.linalg.norm(turns.mean(0))))
        print(f"| {name} | {_mean_and_largest(spreads)} | {_mean_and_largest(errors)} |", flush=True)


def _rigid_poses(study: RigidStudy, inputs: RegistrationInput, rng: np.random.Generator) -> dict[str, RigidTransform]:
    """The poses found from a random start."""
    limits = np.array([10.0] * 3 + [np.radians(15)] * 3)
    offsets = {level: rng.uniform(-limits, limits) for level in study.subject}
    found = register_rigidly(inputs, study.subject, start_offsets=offsets).vertebrae
    return {level: fit.world_from_vertebra for level, fit in found.items()}


def _mean_and_largest(pairs: list[tuple]) -> str:
    """The mean and the largest of values in mm and in degrees."""
    mm, degrees = (np.concatenate([np.atleast_1d(pair[i]) for pair in pairs]) for i in (0, 1))
    return f"{mm.mean():.3f} ({mm.max():.3f}) mm, {degrees.mean():.3f} ({degrees.max():.3f}) deg"


@dataclass(frozen=True)
class RigidStudy:
    """A study with the subject's own vertebrae and their true poses.

    Args:
        item: its files, see `evaluation.truth.study_items`.
        subject: its vertebrae in world mm, so that the true pose moves nothing.
        poses: true pose of the vertebra frame by level.
        truth, network: what a perfect network and ours see.
    """

    item: dict[str, str]
    subject: dict[str, SubjectVertebra]
    poses: dict[str, RigidTransform]
    truth: RegistrationInput
    network: RegistrationInput

    def spoilt(self, seed: int) -> RegistrationInput:
        """The truth with errors of the size of the network's."""
        study = read_study(self.item["ap_image"], self.item["lat_image"], self.item["calibration"])
        data = {"study": study, "truth_dir": self.item["truth_dir"]}
        return _input(ObserveSpoilt(seed)(data)["observed"])


def read_rigid_studies(dataset_dir: str, n: int) -> Iterator[RigidStudy]:
    """The first studies of a cohort."""
    items = study_items(dataset_dir, dataset_dir)
    for item, case in zip(items, read_cases(dataset_dir, n, True), strict=False):
        points = {level: case.landmarks_mm[LEVELS.index(level)] for level in case.surfaces}
        subject = {
            level: SubjectVertebra(surface.vertices_mm, surface.triangles, points[level])
            for level, surface in case.surfaces.items()
        }
        poses = {level: vertebra.ct_from_vertebra for level, vertebra in subject.items()}
        yield RigidStudy(item, subject, poses, case.truth, case.network)


def read_cases(dataset_dir: str, n: int, network: bool, weights: str | None = None) -> Iterator[Case]:
    """The first studies of a cohort, seen by the network with its bundle's weights or others."""
    seen_by = load_locating_networks(BUNDLES / "lumbar_multitask", weights or "") if network else None
    for item in study_items(dataset_dir, dataset_dir)[:n]:
        study = read_study(item["ap_image"], item["lat_image"], item["calibration"])
        truth = ObserveTruth()({"study": study, "truth_dir": item["truth_dir"]})["observed"]
        seen = None if seen_by is None else _input(observe_located(*seen_by, study))
        perfect = _input(truth)
        yield Case(perfect, seen, true_surfaces(item["truth_dir"]), perfect.landmarks3d.positions_mm)


def errors_mm(case: Case, result: RegistrationResult) -> dict[str, float]:
    """By level, the mean distance of reconstructed vertices to the true surface."""
    found = {level: fit.vertices_mm[::_EVERY] for level, fit in result.vertebrae.items() if level in case.surfaces}
    return {
        level: float(np.linalg.norm(locate(case.surfaces[level], points)[0] - points, axis=1).mean())
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


def _shifted(case: Case, rng: np.random.Generator, network: bool = False) -> RegistrationInput:
    """The true input, or the network's, with every vertebra's landmarks in space moved rigidly, which moves its start."""
    from lumbar_ext.shape.model.frame import world_from_vertebra

    inputs = case.network if network else case.truth
    moved = inputs.landmarks3d.positions_mm.copy()
    for level, points in enumerate(inputs.landmarks3d.positions_mm):
        if np.isfinite(points).all():
            pose = world_from_vertebra(points)
            offset = RigidTransform.from_pose(np.r_[rng.uniform(-5, 5, 3), np.radians(rng.uniform(-8, 8, 3))])
            moved[level] = (pose @ offset @ pose.inverse()).apply(points)
    return replace(inputs, landmarks3d=replace(inputs.landmarks3d, positions_mm=moved))


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ± {np.std(values):.2f}"


def _paired(differences: np.ndarray) -> str:
    """Mean and standard error of the differences of studies; nothing for the row they are taken against."""
    if not differences.any():
        return ""
    return f"{differences.mean():+.3f} ± {differences.std(ddof=1) / np.sqrt(len(differences)):.3f}"


COMMANDS: dict[str, Callable] = {
    command.__name__: command for command in (speed, ablation, convergence, repeatability, pixels, landmarks, joint)
}

if __name__ == "__main__":
    import fire

    fire.Fire(COMMANDS)
