"""What a person who moved between the exposures costs, and what `--moved true` brings, on studies of a cohort with known truth.

    lumbar-ext simulate --output_dir COHORT --n 3 --seed 900 --split validation --parameters plain --meshes true
    python benchmarks/moved.py COHORT --n 3 [--films] [--network] [--depth_mm 1 2 3]

Decompositions and landmarks are true: those of the AP film of the study as it is, those of the lateral one of the same bones
after the person moved as a whole and each vertebra by itself. Means over vertebrae of absolute errors: of the surface after
each vertebra was laid on the true one, of height, side and lateral bend against the AP exposure, of front and flexion
against the lateral one; places to each other, less their mean over the spine. With `--films` nobody calibrated the room:
distances are known to 20 mm, cameras are found from the landmarks and refined as `reconstruct AP LAT films OUT` does, the spine
as a whole is laid on the true one, and angles, too, are those of vertebrae to each other.

With `--network` decompositions and landmarks are what the network sees, of the study's own AP film and of a lateral one that
the simulator takes anew of the same person after the movement: bones outside of the lumbar spine and soft tissues move with
the person as a whole. "In the room" is the distance of vertices to the true surfaces as they stand, "found" what the report
says of the movement: by how much the vertebrae moved in height together and each more (mm), and turned about the long axis
(deg); means of absolutes over people and, in brackets, the most. Rows "kept" take people whose movement is no larger than that
of people who stood still for not moved, as `--moved true` does, and say how many these are.
People whose films are refused, as those who moved so far that both films do not name the same vertebrae, are said and left out.
`--depth_mm` follows with other standard deviations of the person's shift to the front and to the side than the one in use.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from registration import Case, model, read_cases
from self_calibration import known_films

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.drr.bone_images import decomposition
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, Camera, RigidTransform, fit_rigid
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.registration import RegistrationConfig, RegistrationInput, register, triangulate_landmarks
from lumbar_ext.registration.lateral_motion import VIEW, motion_about
from lumbar_ext.registration.moved_vertebrae import (
    BESIDE_FOUND_CAMERAS,
    FoundMovement,
    Movement,
    follow_movement,
    found_movement,
)
from lumbar_ext.registration.refined_cameras import FOUND_FROM_FILMS, refine_cameras
from lumbar_ext.registration.result import RegistrationResult, VertebraFit
from lumbar_ext.registration.self_calibration import FilmPrior, self_calibrate
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.imaging.exposure import expose
from lumbar_ext.simulation.imaging.material_paths import ShelledBone, material_paths
from lumbar_ext.simulation.imaging.picture_processing import finish
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.simulated_study import PersonInBeam, person_in_beam
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.studies.biplanar_study import BiplanarStudy, read_study
from lumbar_ext.studies.study_folder import StudyFolder, study_folders
from lumbar_ext.workflow.film_calibration import seen_by_network
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.network_bundle import load_locating_networks

_SIZES = ((0.0, 0.0, 0.0, 0.0), (5.0, 2.0, 1.0, 1.0), (10.0, 5.0, 2.0, 2.0))
"""Standard deviations: person mm and deg, each vertebra mm and deg."""
_EVERY, _LAYINGS = 20, 8
_KNOWN_TO_MM = 20.0
"""Standard deviation of the distances in a room that nobody calibrated: a tape measure's, and where in it people stand."""


def main() -> None:
    """Prints a row for each size of the movements and each way of following them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset_dir")
    parser.add_argument("--n", type=int, default=3, help="studies")
    parser.add_argument("--films", action="store_true", help="cameras are found from the films")
    parser.add_argument("--network", action="store_true", help="what the network sees on the films")
    parser.add_argument("--depth_mm", type=float, nargs="+", help="standard deviations in place of the one in use")
    parser.add_argument("--sizes", type=int, nargs="+", default=[*range(len(_SIZES))], help="rows, from 0 (nothing)")
    arguments = parser.parse_args()
    usual = BESIDE_FOUND_CAMERAS if arguments.films else Movement()
    ways = {f"yes, {depth:g} mm": replace(usual, depth_mm=depth) for depth in arguments.depth_mm or ()}
    ways = ways or {"yes": usual}
    folders = [StudyFolder(path) for path in study_folders(arguments.dataset_dir)][: arguments.n]
    people = list(zip(folders, read_cases(arguments.dataset_dir, arguments.n, False), strict=True))
    names = "surface, mm | in the room, mm | height, mm | side, mm | bend, deg | front, mm | flexion, deg"
    print(f"| moved by | followed | {names} | found: height / each more / turn | s more |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for sizes in (_SIZES[row] for row in arguments.sizes):
        rows = {way: _Row() for way in ("no", *ways)}
        for number, (folder, case) in enumerate(people):
            motions = _drawn(np.random.default_rng([number, 11]), case, sizes)
            prepare = _seen if arguments.network else _moved
            try:
                inputs = prepare(case, motions, folder, arguments.films, number)
            except InputError as error:
                print(f"{folder.path.name}: refused: {error}", flush=True)
                continue
            _follow(inputs, case, motions, ways, arguments.films, rows)
        name = "{:g} mm and {:g} deg, each {:g} mm and {:g} deg".format(*sizes)
        for way, row in rows.items():
            if row.errors:
                print(*row.lines(name, way), sep="\n", flush=True)


@dataclass
class _Row:
    """What one way of following gave: errors [n, 7] of the vertebrae, what was found, and seconds; by person."""

    errors: list[np.ndarray] = field(default_factory=list)
    kept: list[np.ndarray] = field(default_factory=list)
    found: list[FoundMovement] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def lines(self, name: str, way: str) -> list[str]:
        """Of the table: as followed and, of those who were followed, as kept."""
        if not self.found:
            return [f"| {name} | {way} | {_means(self.errors)} | | |"]
        numbers = np.abs([(own.height_mm, own.own_mm, own.turned_deg) for own in self.found])
        pairs = zip(numbers.mean(0), numbers.max(0), strict=True)
        found = " / ".join(f"{mean:.2f} ({most:.2f})" for mean, most in pairs)
        still = f"not moved: {sum(own.is_noise for own in self.found)} of {len(self.found)}"
        return [
            f"| {name} | {way} | {_means(self.errors)} | {found} | {np.median(self.seconds):.1f} |",
            f"| {name} | {way}, kept | {_means(self.kept)} | {still} | |",
        ]


def _means(errors: list[np.ndarray]) -> str:
    return " | ".join(f"{value:.2f}" for value in np.abs(np.concatenate(errors)).mean(0))


def _follow(
    inputs: RegistrationInput,
    case: Case,
    motions: dict[str, RigidTransform],
    ways: dict[str, Movement],
    films: bool,
    rows: dict[str, _Row],
) -> None:
    """Registers a person's films without and with following, and writes what came of it into the rows."""
    config, errors = RegistrationConfig(), _errors_apart if films else _errors
    first = register(inputs, model(), config)
    if films:
        refined = refine_cameras(inputs, model(), config, first, FOUND_FROM_FILMS)
        inputs, first = refined.inputs, refined.result
    rows["no"].errors.append(errors(first, case, motions))
    for way, expected in ways.items():
        started = time.process_time()
        result = follow_movement(inputs, model(), config, first, expected)
        rows[way].seconds.append(time.process_time() - started)
        rows[way].found.append(found_movement(result))
        rows[way].errors.append(errors(result, case, motions))
        rows[way].kept.append((rows["no"] if rows[way].found[-1].is_noise else rows[way]).errors[-1])


def _drawn(rng: np.random.Generator, case: Case, sizes: tuple[float, ...]) -> dict[str, RigidTransform]:
    """The motion of each vertebra about its own middle."""
    levels = [level for level in LEVELS if level in case.surfaces]
    centres = np.stack([case.surfaces[level].vertices_mm.mean(0) for level in levels])
    if not any(sizes):
        return {level: RigidTransform.identity() for level in levels}
    # People sway to the front and to the side as much as anywhere, whatever is expected when they are followed.
    covariance = Movement(*sizes, depth_mm=sizes[0]).covariance(centres)
    numbers = rng.multivariate_normal(np.zeros(6 * len(levels)), covariance).reshape(-1, 6)
    return {level: motion_about(own, middle) for level, own, middle in zip(levels, numbers, centres, strict=True)}


def _moved(
    case: Case, motions: dict[str, RigidTransform], folder: StudyFolder, films: bool, number: int
) -> RegistrationInput:
    """The lateral film after the motions, in true decompositions and landmarks; with cameras found from these for `films`."""
    inputs = case.truth
    camera = inputs.geometry[VIEW]
    bones = [
        Surface(motions[level].apply(case.surfaces[level].vertices_mm), case.surfaces[level].triangles)
        for level in motions
    ]
    seen = ViewLandmarks(camera.project(_after(case, motions)), inputs.landmarks[VIEW].confidence)
    landmarks = {**inputs.landmarks, VIEW: seen}
    images = {**inputs.decompositions, VIEW: decomposition(tuple(bones), camera)}
    geometry = _found(landmarks, inputs.geometry, case, number) if films else inputs.geometry
    found = triangulate_landmarks(geometry, landmarks)
    return replace(inputs, decompositions=images, geometry=geometry, landmarks3d=found, landmarks=landmarks)


def _after(case: Case, motions: dict[str, RigidTransform]) -> np.ndarray:
    """[5, 7, 3] landmarks at the lateral exposure."""
    points = zip(LEVELS, case.landmarks_mm, strict=True)
    return np.stack([motions[level].apply(own) if level in motions else own for level, own in points])


def _seen(
    case: Case, motions: dict[str, RigidTransform], folder: StudyFolder, films: bool, number: int
) -> RegistrationInput:
    """The same as the network sees it, on the study's own AP film and a lateral one taken after the motions."""
    geometry = read_calibration(folder.calibration)
    lateral = Radiograph(
        _lateral_film(case, motions, folder, geometry[VIEW]), folder.picture(VIEW), 16, None, "bone_bright", "user"
    )
    radiographs = {"ap": read_study(*(folder.picture(view) for view in VIEWS), folder.calibration).ap, VIEW: lateral}
    if films:
        priors = _known(geometry, case, number)
        marks = seen_by_network(radiographs, priors, *_networks()).landmarks
        geometry = _found(marks, geometry, case, number)
    observed = observe_located(*_networks(), BiplanarStudy(radiographs["ap"], lateral, geometry))
    landmarks3d = triangulate_landmarks(observed.geometry, observed.landmarks)
    return RegistrationInput(observed.decompositions, observed.geometry, landmarks3d, observed.landmarks)


def _lateral_film(case: Case, motions: dict[str, RigidTransform], folder: StudyFolder, camera: Camera) -> np.ndarray:
    """[rows, columns] bone bright: the person of a study after the motions."""
    spec, person = _person(folder)
    if not np.allclose(person.landmarks_mm[: len(LEVELS)], case.landmarks_mm, atol=0.01):
        raise SystemExit(f"{folder.path}: not the person whom the package simulates today: simulate the cohort again")
    whole = fit_rigid(case.landmarks_mm.reshape(-1, 3), _after(case, motions).reshape(-1, 3))
    bones = [_bone_after(bone, motions.get(bone.name, whole)) for bone in person.scene.bones]
    inclusions = [replace(own, solid=own.solid.moved(whole)) for own in person.scene.inclusions]
    scene = replace(
        person.scene, bones=tuple(bones), trunk=person.scene.trunk.moved(whole), inclusions=tuple(inclusions)
    )
    rng = np.random.default_rng([spec.seed, 17])
    signal = expose(rng, material_paths(rng, scene, camera), camera, person.exposures[VIEW])
    picture = finish(rng, signal, camera, whole.apply(person.landmarks_mm), spec.parameters.appearance)
    pixels = picture.pixels.astype(np.float32)
    return pixels.max() - pixels if picture.inverted else pixels


def _bone_after(bone: ShelledBone, motion: RigidTransform) -> ShelledBone:
    return replace(bone, outer=bone.outer.moved(motion), core=bone.core.moved(motion))


@cache
def _person(folder: StudyFolder) -> tuple[StudySpec, PersonInBeam]:
    """The person of a study of a cohort, as its films were taken of them."""
    meta = folder.truth.read_meta()
    parameters = read_parameters(folder.path.parent / "parameters.json")
    spec = StudySpec(meta["seed"], meta["split"], parameters=parameters)
    return spec, person_in_beam(_population(), spec, spec.generator())


@cache
def _population() -> Population:
    return Population.load(bundle_dir(RECONSTRUCTION) / "models" / "anatomy.pt")


@cache
def _networks() -> tuple:
    return load_locating_networks(bundle_dir(MULTITASK))


def _known(geometry: BiplanarGeometry, case: Case, number: int) -> dict[str, FilmPrior]:
    middle_mm = np.nanmean(case.landmarks_mm[:, :2], (0, 1))
    return known_films(geometry, middle_mm, _KNOWN_TO_MM, np.random.default_rng([number, 13]))


def _found(
    landmarks: Mapping[str, ViewLandmarks], geometry: BiplanarGeometry, case: Case, number: int
) -> BiplanarGeometry:
    """The cameras that these landmarks tell; says how well they fit each other."""
    means = [shape.landmark_mean_mm for shape in level_shapes(model())]
    found = self_calibrate(landmarks, means, _known(geometry, case, number))
    print(f"misfit {found.misfit:.2f}, {found.angle_deg[0]:.1f} deg, {'; '.join(found.doubts)}", flush=True)
    return found.geometry


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
    found[:, 4:] -= found[:, 4:].mean(0)
    return found


def _vertices(surfaces: dict[str, Surface]) -> dict[str, np.ndarray]:
    return {level: surface.vertices_mm for level, surface in surfaces.items()}


def _errors(result: RegistrationResult, case: Case, motions: dict[str, RigidTransform]) -> np.ndarray:
    """[n, 7] of the vertebrae: surface, surface in the room, height, side, lateral bend; front and flexion at the lateral
    exposure.
    """
    fits = result.vertebrae.items()
    found = np.array([_vertebra_errors(fit, case.surfaces[level], motions[level]) for level, fit in fits])
    places = [2, 3, 5]
    found[:, places] -= found[:, places].mean(0)
    return found


def _vertebra_errors(fit: VertebraFit, true: Surface, motion: RigidTransform) -> list[float]:
    points, laid = fit.vertices_mm[::_EVERY], RigidTransform.identity()
    room = float(np.linalg.norm(locate(true, points)[0] - points, axis=1).mean())
    for _ in range(_LAYINGS):
        moved = laid.apply(points)
        nearest = locate(true, moved)[0]
        surface = float(np.linalg.norm(nearest - moved, axis=1).mean())
        laid = fit_rigid(moved, nearest) @ laid
    middle = points.mean(0)
    here, later = laid.apply(middle) - middle, motion.apply(laid.apply(middle)) - middle
    bend, flexion = laid.euler_rad()[0], (motion @ laid).euler_rad()[1]
    return [surface, room, here[2], here[1], float(np.degrees(bend)), later[0], float(np.degrees(flexion))]


if __name__ == "__main__":
    main()
