"""What cameras that are stated a little wrong cost, and what refining them brings, on studies of a cohort with known truth.

    lumbar-ext simulate --output_dir COHORT --n 4 --seed 900 --split validation --parameters plain --meshes true
    python benchmarks/cameras.py COHORT --n 4 --errors_mm 0 0.5 1 2 [--network]

Decompositions and landmarks are the true ones, so that all errors are those of the cameras and the registration, or with
`--network` what the network sees on the films. Sources and detectors of both views are stated with errors of that standard
deviation along each axis, and the lateral view turned by 0.3 degrees about each axis for every mm, as the prior of the
refinement has it; two further rows have both distances and both pixel spacings stated wrong, either way. The distance of
vertices to the true surfaces is given in the room, and after the spine as a whole was laid on the true one: where the pair
of cameras stands in the room no film can tell.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from registration import model, read_cases

from lumbar_ext.geometry import BiplanarGeometry, RigidTransform, fit_rigid
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.registration import RegistrationConfig, RegistrationResult, register, triangulate_landmarks
from lumbar_ext.registration.refined_cameras import refine_cameras
from lumbar_ext.simulation.imaging.acquisition import misread, with_calibration_errors

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
    arguments = parser.parse_args()
    cases = list(read_cases(arguments.dataset_dir, arguments.n, arguments.network))
    print("| cameras off by | as stated: in the room / laid on the truth, mm | refined: the same | s more |")
    print("|---|---|---|---|")
    config = RegistrationConfig()
    kinds = {f"{size:g} mm, {_TURN_DEG_PER_MM * size:g} deg": (size, 0, 0) for size in arguments.errors_mm}
    kinds |= {f"{_DISTANCE_MM:g} mm in distances": (0, _DISTANCE_MM, 0)}
    kinds |= {f"{_SPACING_PERCENT:g} % in spacings": (0, 0, _SPACING_PERCENT)}
    for name, sizes in kinds.items():
        stated, refined, seconds = [], [], []
        for number, case in enumerate(cases):
            own = case.network or case.truth
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
