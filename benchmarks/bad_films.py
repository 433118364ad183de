"""What happens to films that are no usable pair, made from simulated people: refused, told, or neither and at what cost.

    python benchmarks/bad_films.py --n 3

People of the validation split stand before two cone beams of a room of which nothing is known but the pixel spacing. Each kind
of bad input takes the place of one of their two films; the network looks at it, and the cameras are found as
`lumbar-ext reconstruct AP LAT films OUT` finds them. Lengths and angles are those of the true landmarks, as the bad films show
them, triangulated with the cameras that were found; "held" counts lengths within twice the standard deviation that was stated.
The last column is the median gap of the rays where the person's own calibration is given in place of `films`: vertebrae are to
be checked from 3.5 mm on and have failed from 12.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates
from self_calibration import differences

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, LEVELS, VIEWS
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera, RigidTransform
from lumbar_ext.landmarks.triangulated import ViewLandmarks, triangulate_landmarks
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.registration.refined_cameras import moved_camera
from lumbar_ext.registration.self_calibration import FilmPrior, self_calibrate
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.imaging.exposure import expose
from lumbar_ext.simulation.imaging.material_paths import material_paths
from lumbar_ext.simulation.imaging.picture_processing import finish
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.simulated_study import PersonInBeam, person_in_beam
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.workflow.film_calibration import seen_by_network
from lumbar_ext.workflow.network_bundle import load_locating_networks

_CORNER_SHARE = 0.05  # of width and height, by which a photograph moves the corners of a film
_GLARE = 0.5  # of the range of grey values, in the middle of the lamp's reflection
_GLARE_SHARE = 0.15  # of the film's width: radius of the reflection
_BESIDE_SHARE = 0.65  # of the film's width: how far beside its middle the central ray meets its plane, outside the film


@dataclass(frozen=True)
class Film:
    """A picture, the camera that took it, and where it shows the true landmarks [5, 7, 2]."""

    pixels: np.ndarray
    camera: Camera
    landmarks_px: np.ndarray


def main() -> None:
    """Prints a row for each kind of input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=3, help="people")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    arguments = parser.parse_args()
    population = Population.load(bundle_dir(RECONSTRUCTION) / "models" / "anatomy.pt")
    people = [_person(population, seed) for seed in range(arguments.n + 1)]
    networks, seen = load_locating_networks(bundle_dir(MULTITASK)), {}
    print(
        "| input | refused | told | neither | length, % (held) | neighbours, mm | deg | lordosis, deg | Cobb, deg | gap, mm |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, kind in KINDS.items():
        if arguments.only not in name:
            continue
        outcomes, gaps, words = [], [], set()
        for number in range(arguments.n):
            films = kind(people, number)
            marks = _marks(films, networks, seen)
            own = {view: people[number].geometry[view] for view in VIEWS}
            gaps.append(np.nanmedian(triangulate_landmarks(_Pair(**own), marks).gap_mm))
            outcome, word = _outcome(films, marks, people[number].landmarks_mm)
            outcomes.append(outcome)
            words.add(word)
        print(f"| {name} | {_cells(outcomes)} | {np.median(gaps):.1f} |", flush=True)
        print("   ", *sorted(words), sep="\n    ", flush=True)


@dataclass(frozen=True)
class _Pair:
    """Two cameras that need not be a usable pair."""

    ap: Camera
    lat: Camera

    def __getitem__(self, view: str) -> Camera:
        return {"ap": self.ap, "lat": self.lat}[view]


def _person(population: Population, seed: int) -> PersonInBeam:
    spec = StudySpec(seed, "validation", parameters=read_parameters("plain"))
    person = person_in_beam(population, spec, spec.generator())
    return replace(person, landmarks_mm=person.landmarks_mm[: len(LEVELS)])


def _film(person: PersonInBeam, view: str, camera: Camera | None = None) -> Film:
    """The film of a view, by another camera where one is given."""
    camera, rng = camera or person.geometry[view], np.random.default_rng([person.spec.seed, VIEWS.index(view)])
    signal = expose(rng, material_paths(rng, person.scene, camera, oversampling=2), camera, person.exposures[view])
    picture = finish(rng, signal, camera, person.landmarks_mm, person.spec.parameters.appearance)
    return Film(picture.pixels.astype(np.float32), camera, camera.project(person.landmarks_mm))


def _turned(person: PersonInBeam, angle_deg: float) -> Film:
    """The film that is taken in place of the lateral one by an AP camera turned about the person's long axis."""
    turn = RigidTransform.from_euler(0.0, 0.0, np.radians(angle_deg))
    return _film(person, "ap", moved_camera(person.geometry.ap, turn))


def _beside(person: PersonInBeam, view: str) -> Film:
    """The film of a source that stands so far to the side that its central ray misses the film."""
    camera = person.geometry[view]
    middle = person.landmarks_mm[:, :2].mean((0, 1))
    shift = _BESIDE_SHARE * camera.size_px[0] * camera.pixel_spacing_mm[0] * camera.u_axis
    camera = camera.replace(source_mm=camera.source_mm + shift)
    offset = (camera.project(middle) - camera.centre_px) * camera.pixel_spacing_mm
    return _film(person, view, camera.replace(detector_origin_mm=camera.detector_origin_mm + offset[0] * camera.u_axis))


def _mirrored(film: Film, sides: bool = False) -> Film:
    """The film laid the other way round; an AP film then shows a person whose `sides` are exchanged."""
    order = LEFT_RIGHT_SWAP if sides else slice(None)
    landmarks_px = film.landmarks_px[:, order] * [-1, 1] + [film.pixels.shape[1] - 1, 0]
    return Film(film.pixels[:, ::-1].copy(), film.camera, landmarks_px)


def _photographed(film: Film, seed: int) -> Film:
    """The film as a telephone sees it on a light box, askew and with the reflection of a lamp."""
    rng, (rows, columns) = np.random.default_rng(seed), film.pixels.shape
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [columns - 1, rows - 1]
    moved = corners + rng.uniform(-_CORNER_SHARE, _CORNER_SHARE, (4, 2)) * [columns, rows]
    film_from_photo, photo_from_film = _homography(moved, corners), _homography(corners, moved)
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)
    u, v = np.moveaxis(_mapped(film_from_photo, grid), -1, 0)
    pixels = map_coordinates(film.pixels, [v, u], order=1, mode="nearest")
    lamp = rng.uniform(0.2, 0.8, 2) * [columns, rows]
    distance = np.linalg.norm(grid - lamp, axis=-1) / (_GLARE_SHARE * columns)
    pixels = pixels + _GLARE * np.ptp(film.pixels) * np.exp(-(distance**2) / 2)
    return Film(pixels.astype(np.float32), film.camera, _mapped(photo_from_film, film.landmarks_px))


def _homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[3, 3] that takes four points [4, 2] to four others."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows, dtype=float), target.ravel()), 1.0).reshape(3, 3)


def _mapped(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    mapped = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1) @ homography.T
    return mapped[..., :2] / mapped[..., 2:]


def _pair(ap: Film, lat: Film) -> dict[str, Film]:
    return {"ap": ap, "lat": lat}


Kind = Callable[[list[PersonInBeam], int], dict[str, Film]]
_made: dict[tuple, Film] = {}


def _own(people: list[PersonInBeam], number: int, view: str) -> Film:
    """The person's own film, made once."""
    key = (number, view)
    if key not in _made:
        _made[key] = _film(people[number], view)
    return _made[key]


KINDS: dict[str, Kind] = {
    "a person's own films": lambda p, i: _pair(_own(p, i, "ap"), _own(p, i, "lat")),
    "another AP film in place of the lateral one": lambda p, i: _pair(_own(p, i, "ap"), _turned(p[i], 0.0)),
    "films 20 deg apart": lambda p, i: _pair(_own(p, i, "ap"), _turned(p[i], 20.0)),
    "another person's lateral film": lambda p, i: _pair(_own(p, i, "ap"), _own(p, i + 1, "lat")),
    "mirrored lateral film": lambda p, i: _pair(_own(p, i, "ap"), _mirrored(_own(p, i, "lat"))),
    "mirrored AP film": lambda p, i: _pair(_mirrored(_own(p, i, "ap"), sides=True), _own(p, i, "lat")),
    "photograph of the AP film": lambda p, i: _pair(_photographed(_own(p, i, "ap"), i), _own(p, i, "lat")),
    "photograph of the lateral film": lambda p, i: _pair(_own(p, i, "ap"), _photographed(_own(p, i, "lat"), i)),
    "central ray beside the AP film": lambda p, i: _pair(_beside(p[i], "ap"), _own(p, i, "lat")),
    "central ray beside the lateral film": lambda p, i: _pair(_own(p, i, "ap"), _beside(p[i], "lat")),
}


def _marks(films: Mapping[str, Film], networks: tuple, seen: dict) -> dict[str, ViewLandmarks]:
    """What the network sees on both films; every film is looked at once."""
    todo = {view: film for view, film in films.items() if (view, id(film)) not in seen}
    radiographs = {
        view: Radiograph(film.pixels, Path(view), 16, polarity="bone_bright", polarity_from="user")
        for view, film in todo.items()
    }
    found = seen_by_network(radiographs, {view: _prior(film, view) for view, film in todo.items()}, *networks)
    for view, film in todo.items():
        seen[view, id(film)] = (found.landmarks[view], film)
    return {view: seen[view, id(film)][0] for view, film in films.items()}


def _prior(film: Film, view: str) -> FilmPrior:
    behind = bool(film.camera.central_direction[0] > 0) if view == "ap" else False
    return FilmPrior(film.pixels.shape[::-1], film.camera.pixel_spacing_mm, reversed_beam=behind)


def _outcome(
    films: Mapping[str, Film], marks: Mapping[str, ViewLandmarks], true_mm: np.ndarray
) -> tuple[list[float] | str, str]:
    """The errors, or "refused"; and what was said."""
    means = [shape.landmark_mean_mm for shape in level_shapes(_model())]
    try:
        found = self_calibrate(marks, means, {view: _prior(film, view) for view, film in films.items()})
    except InputError as error:
        return "refused", str(error)
    exact = {view: ViewLandmarks(film.landmarks_px, np.ones((len(LEVELS), 7))) for view, film in films.items()}
    again = triangulate_landmarks(found.geometry, exact).positions_mm
    length_mm, *rest = differences(again, true_mm, means)
    relative = length_mm / np.linalg.norm(true_mm[0, :2].mean(0) - true_mm[-1, :2].mean(0))
    held = abs(relative) <= 2 * found.size_sd
    return [bool(found.doubts), held, 100 * relative, *rest], f"{found.misfit:.2f} sd, {'; '.join(found.doubts)}"


def _cells(outcomes: list[list[float] | str]) -> str:
    told = [own for own in outcomes if own != "refused"]
    counts = [len(outcomes) - len(told), sum(own[0] for own in told), sum(not own[0] for own in told)]
    if not told:
        return f"{' | '.join(map(str, counts))} | | | | |"
    means = np.abs(np.array([own[2:] for own in told], dtype=float)).mean(0)
    held = f"{means[0]:.1f} ({sum(own[1] for own in told)} of {len(told)})"
    return " | ".join([*map(str, counts), held, *(f"{value:.2f}" for value in means[1:])])


@cache
def _model() -> VertebraShapeModel:
    return VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt")


if __name__ == "__main__":
    main()
