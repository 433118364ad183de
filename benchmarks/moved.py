"""What a person who moved between the exposures costs, and what `--moved true` brings, on studies of a cohort with known truth.

    lumbar-ext simulate --output_dir COHORT --n 3 --seed 900 --split validation --parameters plain --meshes true
    python benchmarks/moved.py COHORT --n 3 [--films]

Decompositions and landmarks are true: those of the AP film of the study as it is, those of the lateral one of the same bones
after the person moved as a whole and each vertebra by itself. Means over vertebrae of absolute errors: of the surface after
each vertebra was laid on the true one, of height, side and lateral bend against the AP exposure, of front and flexion
against the lateral one; places to each other, less their mean over the spine. With `--films` nobody calibrated the room:
distances are known to 20 mm, cameras are found from the landmarks and refined as `reconstruct AP LAT films OUT` does, the spine
as a whole is laid on the true one, and angles, too, are those of vertebrae to each other.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from registration import Case, model, read_cases
from self_calibration import known_films

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.drr.bone_images import decomposition
from lumbar_ext.geometry import RigidTransform, fit_rigid
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.registration import RegistrationConfig, RegistrationInput, register, triangulate_landmarks
from lumbar_ext.registration.lateral_motion import VIEW, motion_about
from lumbar_ext.registration.moved_vertebrae import BESIDE_FOUND_CAMERAS, Movement, follow_movement
from lumbar_ext.registration.refined_cameras import FOUND_FROM_FILMS, refine_cameras
from lumbar_ext.registration.result import RegistrationResult, VertebraFit
from lumbar_ext.registration.self_calibration import self_calibrate
from lumbar_ext.shape.model.level_shape import level_shapes

_SIZES = ((0.0, 0.0, 0.0, 0.0), (5.0, 2.0, 1.0, 1.0), (10.0, 5.0, 2.0, 2.0))
"""Standard deviations: person mm and deg, each vertebra mm and deg."""
_EVERY, _LAYINGS = 20, 8
_KNOWN_TO_MM = 20.0
"""Standard deviation of the distances in a room that nobody calibrated: a tape measure's, and where in it people stand."""


def main() -> None:
    """Prints two rows for each size of the movements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset_dir")
    parser.add_argument("--n", type=int, default=3, help="studies")
    parser.add_argument("--films", action="store_true", help="cameras are found from the films")
    arguments = parser.parse_args()
    config, cases = RegistrationConfig(), list(read_cases(arguments.dataset_dir, arguments.n, False))
    print(
        "| moved by | followed | surface, mm | height, mm | side, mm | bend, deg | front, mm | flexion, deg | s more |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for sizes in _SIZES:
        rows, seconds = {"no": [], "yes": []}, []
        for number, case in enumerate(cases):
            motions = _drawn(np.random.default_rng([number, 11]), case, sizes)
            inputs, errors = _moved(case, motions), _errors
            if arguments.films:
                inputs, errors = _with_found_cameras(inputs, case, np.random.default_rng([number, 13])), _errors_apart
            result = register(inputs, model(), config)
            if arguments.films:
                refined = refine_cameras(inputs, model(), config, result, FOUND_FROM_FILMS)
                inputs, result = refined.inputs, refined.result
            rows["no"].append(errors(result, case, motions))
            started = time.process_time()
            expected = BESIDE_FOUND_CAMERAS if arguments.films else None
            result = follow_movement(inputs, model(), config, result, expected)
            seconds.append(time.process_time() - started)
            rows["yes"].append(errors(result, case, motions))
        name = "{:g} mm and {:g} deg, each {:g} mm and {:g} deg".format(*sizes)
        for followed, own in rows.items():
            cells = " | ".join(f"{value:.2f}" for value in np.abs(np.concatenate(own)).mean(0))
            print(f"| {name} | {followed} | {cells} | {np.median(seconds):.1f} |", flush=True)


def _drawn(rng: np.random.Generator, case: Case, sizes: tuple[float, ...]) -> dict[str, RigidTransform]:
    """The motion of each vertebra about its own middle."""
    levels = [level for level in LEVELS if level in case.surfaces]
    centres = np.stack([case.surfaces[level].vertices_mm.mean(0) for level in levels])
    if not any(sizes):
        return {level: RigidTransform.identity() for level in levels}
    numbers = rng.multivariate_normal(np.zeros(6 * len(levels)), Movement(*sizes).covariance(centres)).reshape(-1, 6)
    return {level: motion_about(own, middle) for level, own, middle in zip(levels, numbers, centres, strict=True)}


def _moved(case: Case, motions: dict[str, RigidTransform]) -> RegistrationInput:
    """The lateral film after the motions, in true decompositions and landmarks."""
    inputs = case.truth
    camera = inputs.geometry[VIEW]
    bones = [
        Surface(motions[level].apply(case.surfaces[level].vertices_mm), case.surfaces[level].triangles)
        for level in motions
    ]
    points = np.stack(
        [
            motions[level].apply(own) if level in motions else own
            for level, own in zip(LEVELS, case.landmarks_mm, strict=True)
        ]
    )
    seen = ViewLandmarks(camera.project(points), inputs.landmarks[VIEW].confidence)
    landmarks = {**inputs.landmarks, VIEW: seen}
    images = {**inputs.decompositions, VIEW: decomposition(tuple(bones), camera)}
    found = triangulate_landmarks(inputs.geometry, landmarks)
    return replace(inputs, decompositions=images, landmarks3d=found, landmarks=landmarks)


def _with_found_cameras(inputs: RegistrationInput, case: Case, rng: np.random.Generator) -> RegistrationInput:
    """The same films with cameras found from what they show; says how well they fit each other."""
    films = known_films(inputs.geometry, np.nanmean(case.landmarks_mm[:, :2], (0, 1)), _KNOWN_TO_MM, rng)
    means = [shape.landmark_mean_mm for shape in level_shapes(model())]
    found = self_calibrate(inputs.landmarks, means, films)
    print(f"misfit {found.misfit:.2f}, {found.angle_deg[0]:.1f} deg, {'; '.join(found.doubts)}", flush=True)
    return replace(inputs, geometry=found.geometry, landmarks3d=triangulate_landmarks(found.geometry, inputs.landmarks))


def _errors_apart(result: RegistrationResult, case: Case, motions: dict[str, RigidTransform]) -> np.ndarray:
    """`_errors` of a spine that was laid on the true one, angles less their mean, too."""
    levels = [level for level in result.vertebrae if level in case.surfaces]
    own = {level: result.vertebrae[level].vertices_mm for level in levels}
    true = {level: case.surfaces[level] for level in levels}
    laid = fit_rigid(*(np.stack([points[level].mean(0) for level in levels]) for points in (own, _vertices(true))))
    for _ in range(_LAYINGS):
        moved = {level: laid.apply(points[::_EVERY]) for level, points in own.items()}
        nearest = {level: locate(true[level], moved[level])[0] for level in levels}
        laid = fit_rigid(np.concatenate([*moved.values()]), np.concatenate([*nearest.values()])) @ laid
    fits = {level: replace(result.vertebrae[level], vertices_mm=laid.apply(own[level])) for level in levels}
    found = _errors(replace(result, vertebrae=fits), case, motions)
    found[:, 3:] -= found[:, 3:].mean(0)
    return found


def _vertices(surfaces: dict[str, Surface]) -> dict[str, np.ndarray]:
    return {level: surface.vertices_mm for level, surface in surfaces.items()}


def _errors(result: RegistrationResult, case: Case, motions: dict[str, RigidTransform]) -> np.ndarray:
    """[n, 6] of the vertebrae: surface, height, side, lateral bend; front and flexion at the lateral exposure."""
    fits = result.vertebrae.items()
    found = np.array([_vertebra_errors(fit, case.surfaces[level], motions[level]) for level, fit in fits])
    places = [1, 2, 4]
    found[:, places] -= found[:, places].mean(0)
    return found


def _vertebra_errors(fit: VertebraFit, true: Surface, motion: RigidTransform) -> list[float]:
    points, laid = fit.vertices_mm[::_EVERY], RigidTransform.identity()
    for _ in range(_LAYINGS):
        moved = laid.apply(points)
        nearest = locate(true, moved)[0]
        surface = float(np.linalg.norm(nearest - moved, axis=1).mean())
        laid = fit_rigid(moved, nearest) @ laid
    middle = points.mean(0)
    here, later = laid.apply(middle) - middle, motion.apply(laid.apply(middle)) - middle
    bend, flexion = laid.euler_rad()[0], (motion @ laid).euler_rad()[1]
    return [surface, here[2], here[1], float(np.degrees(bend)), later[0], float(np.degrees(flexion))]


if __name__ == "__main__":
    main()
