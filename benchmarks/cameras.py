"""What cameras that are stated a little wrong cost, and what refining them brings, on studies of a cohort with known truth.

    lumbar-ext simulate --output_dir COHORT --n 4 --seed 900 --split validation --parameters plain --meshes true
    python benchmarks/cameras.py COHORT --n 4 --errors_mm 0 0.5 1 2 [--network] [--seams_mm 1 2] [--only seam]

Decompositions and landmarks are the true ones, so that all errors are those of the cameras and the registration, or with
`--network` what the network sees on the films. Sources and detectors of both views are stated with errors of that standard
deviation along each axis, and the lateral view turned by 0.3 degrees about each axis for every mm, as the prior of the
refinement has it; two further rows have both distances and both pixel spacings stated wrong, either way. With `--seams_mm`,
which needs `--network`, further rows have films of two exposures that were laid badly: below the middle of L3 as either film
shows it, the picture lies off on the film by so much along its rows and by so much along its columns, either way. The distance
of vertices to the true surfaces is given in the room, and after the spine as a whole was laid on the true one: where the pair
of cameras stands in the room no film can tell.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from registration import BUNDLES, Case, model, read_cases
from scipy.ndimage import shift

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.evaluation.truth import study_items
from lumbar_ext.geometry import BiplanarGeometry, Camera, RigidTransform, fit_rigid
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.registration import (
    RegistrationConfig,
    RegistrationInput,
    RegistrationResult,
    register,
    triangulate_landmarks,
)
from lumbar_ext.registration.refined_cameras import refine_cameras
from lumbar_ext.simulation.imaging.acquisition import misread, with_calibration_errors
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.network_bundle import load_locating_networks

_EVERY = 20
_LAYINGS = 8
_TURN_DEG_PER_MM = 0.3
_DISTANCE_MM, _SPACING_PERCENT = 5.0, 0.5
"""The largest errors of distances and spacings in the simulated people of the training."""


def main() -> None:
    """Prints a row for each size of the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset_dir")
    parser.add_argument("--n", type=int, default=4, help="studies")
    parser.add_argument("--errors_mm", type=float, nargs="+", default=[0.0, 0.5, 1.0, 2.0])
    parser.add_argument("--network", action="store_true", help="what the network sees on the films")
    parser.add_argument("--seams_mm", type=float, nargs="+", default=[], help="rows of films that were stitched badly")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    arguments = parser.parse_args()
    if arguments.seams_mm and not arguments.network:
        parser.error("--seams_mm: needs --network, which looks at the films")
    cases = list(read_cases(arguments.dataset_dir, arguments.n, arguments.network))
    print("| cameras off by | as stated: in the room / laid on the truth, mm | refined: the same | s more |")
    print("|---|---|---|---|")
    config = RegistrationConfig()
    kinds = {f"{size:g} mm, {_TURN_DEG_PER_MM * size:g} deg": (size, 0, 0, 0) for size in arguments.errors_mm}
    kinds |= {f"{_DISTANCE_MM:g} mm in distances": (0, _DISTANCE_MM, 0, 0)}
    kinds |= {f"{_SPACING_PERCENT:g} % in spacings": (0, 0, _SPACING_PERCENT, 0)}
    kinds |= {f"0 mm, a seam of {size:g} mm": (0, 0, 0, size) for size in arguments.seams_mm}
    items = study_items(arguments.dataset_dir, arguments.dataset_dir)
    for name, (*sizes, seam_mm) in kinds.items():
        if arguments.only not in name:
            continue
        stated, refined, seconds = [], [], []
        for number, (case, item) in enumerate(zip(cases, items, strict=False)):
            own = _seen_stitched(item, case, number, seam_mm) if seam_mm else case.network or case.truth
            geometry = _stated(np.random.default_rng([number, 7]), own.geometry, *sizes)
            inputs = replace(own, geometry=geometry, landmarks3d=triangulate_landmarks(geometry, own.landmarks))
            result = register(inputs, model(), config)
            stated.append(_errors_mm(result, case.surfaces))
            started = time.process_time()
            refined.append(_errors_mm(refine_cameras(inputs, model(), config, result).result, case.surfaces))
            seconds.append(time.process_time() - started)
        means = [" / ".join(f"{value:.2f}" for value in np.mean(own, axis=0)) for own in (stated, refined)]
        print(f"| {name} | {means[0]} | {means[1]} | {np.median(seconds):.1f} |", flush=True)


def _stated(
    rng: np.random.Generator, geometry: BiplanarGeometry, noise_mm: float, distance_mm: float, spacing_percent: float
) -> BiplanarGeometry:
    """Wrong by errors of these sizes; those of distances and spacings too large or too small by chance, in each view."""
    noisy = with_calibration_errors(rng, geometry, noise_mm, _TURN_DEG_PER_MM * noise_mm)
    signs = rng.choice([-1.0, 1.0], 2)
    views = zip((noisy.ap, noisy.lat), signs, strict=True)
    return BiplanarGeometry(*(misread(camera, sign * distance_mm, sign * spacing_percent) for camera, sign in views))


def _seen_stitched(item: Mapping[str, str], case: Case, number: int, seam_mm: float) -> RegistrationInput:
    """What the network sees on films whose lower parts lie off by so much along both axes, either way by chance."""
    study = read_study(item["ap_image"], item["lat_image"], item["calibration"])
    signs = np.random.default_rng([number, 19]).choice([-1.0, 1.0], (len(VIEWS), 2))
    middle_mm = np.nanmean(case.landmarks_mm[LEVELS.index("L3"), :2], axis=0)
    films = {
        view: _stitched(study[view], study.geometry[view], middle_mm, seam_mm * sign)
        for view, sign in zip(VIEWS, signs, strict=True)
    }
    observed = observe_located(*load_locating_networks(BUNDLES / "lumbar_multitask"), replace(study, **films))
    landmarks = triangulate_landmarks(observed.geometry, observed.landmarks)
    return RegistrationInput(observed.decompositions, observed.geometry, landmarks, observed.landmarks)


def _stitched(film: Radiograph, camera: Camera, seam_at_mm: np.ndarray, offset_mm: np.ndarray) -> Radiograph:
    """The film with all below a point of the room laid off (right, down) on it."""
    seam = round(float(camera.project(seam_at_mm)[1]))
    right, down = offset_mm / camera.pixel_spacing_mm
    lower = shift(film.pixels, (down, right), order=1, mode="nearest")
    return replace(film, pixels=np.concatenate([film.pixels[:seam], lower[seam:]]))


def _errors_mm(result: RegistrationResult, surfaces: dict[str, Surface]) -> tuple[float, float]:
    """Mean distance of vertices to the true surfaces, in the room and with the whole spine laid on the true one."""
    points = {level: fit.vertices_mm[::_EVERY] for level, fit in result.vertebrae.items() if level in surfaces}
    laid, found = RigidTransform.identity(), []
    for _ in range(_LAYINGS):
        moved = {level: laid.apply(own) for level, own in points.items()}
        nearest = {level: locate(surfaces[level], own)[0] for level, own in moved.items()}
        found.append(np.mean([np.linalg.norm(nearest[level] - moved[level], axis=1).mean() for level in points]))
        laid = fit_rigid(np.concatenate([*moved.values()]), np.concatenate([*nearest.values()])) @ laid
    return float(found[0]), float(found[-1])


if __name__ == "__main__":
    main()
