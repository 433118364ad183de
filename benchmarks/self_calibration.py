"""What finding the cameras from the films themselves costs, on studies of a cohort with known truth.

    lumbar-ext simulate --output_dir COHORT --n 12 --seed 0 --split validation
    python benchmarks/self_calibration.py COHORT --n 12 --known_to_mm 20 [--network] [--marker_mm 100] [--lat_mm 1500 850]
    python benchmarks/self_calibration.py COHORT --n 12 --reconstruct

With `--network` the landmarks are those that the network sees on the films, as `lumbar-ext calibrate-films` takes them. Else
they are the true ones with normal errors of the standard deviations that the adjustment expects of marks (`SpinePrior.seen_mm`,
halved in variance by the two axes). Distances are stated with errors of `--known_to_mm`, or not at all where that is 0. With
`--marker_mm` a marker of that length lies within 40 mm (standard deviation) of the middle of the spine, any way round,
and its ends are marked on both films with errors of 0.5 mm on the detector. Then the true pixels are triangulated
with the cameras that were found, so that what differs from the truth was added by them alone. `--ap_mm` and `--lat_mm` place
the tube and detector of a view at other distances (not with `--network`: no film is made anew).

With `--reconstruct` the whole job is done twice, with the calibration file and with the word `films` in its place and these
distances, as a user would: what is compared are the angles that are reported, with each other and with those of the true meshes
(which the cohort needs: `--meshes true`), and the processor time.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from lumbar_ext import reconstruct
from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.evaluation.measurement_errors import measure_meshes, signed_error, true_meshes
from lumbar_ext.geometry import BiplanarGeometry, Camera, fit_rigid
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.anchors import read_anchors
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.landmarks.triangulated import ViewLandmarks, triangulate_landmarks
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.registration.self_calibration import FilmPrior, Marker, SpinePrior, geometry_angle_deg, self_calibrate
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.studies.study_folder import StudyFolder, study_folders
from lumbar_ext.workflow.film_calibration import FROM_FILMS, seen_by_network
from lumbar_ext.workflow.network_bundle import load_locating_networks

_SHARE = 1 / 1.2 / np.sqrt(2)
"""`seen_mm` is 1.2 times the network's mean errors, over both axes."""
_ANGLES = ("lordosis_l1_l5", "lordosis_l1_s1", "cobb")
"""Reported values that are compared (`docs/measurements.md`)."""


def main() -> None:
    """Prints the errors of each study and their means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset_dir")
    parser.add_argument("--n", type=int, default=12, help="studies")
    parser.add_argument("--known_to_mm", type=float, default=20.0, help="standard deviation of the distances")
    parser.add_argument("--network", action="store_true", help="landmarks as the network sees them")
    parser.add_argument(
        "--reconstruct", action="store_true", help="angles that are reported, with and without calibration"
    )
    parser.add_argument("--marker_mm", type=float, help="length of a marker")
    for view in VIEWS:
        parser.add_argument(
            f"--{view}_mm", type=float, nargs=2, help="to the detector, to the person: a room to stand in"
        )
    arguments = parser.parse_args()
    if arguments.reconstruct:
        _compare_reconstructions(arguments.dataset_dir, arguments.n, arguments.known_to_mm)
        return
    model = VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt")
    means, rng, rows = [shape.landmark_mean_mm for shape in level_shapes(model)], np.random.default_rng(0), []
    print(
        "| study | angle, deg | length, mm | neighbours: mm | deg | lordosis, deg | Cobb, deg | known to, % | s | said |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for folder in [StudyFolder(path) for path in study_folders(arguments.dataset_dir)][: arguments.n]:
        geometry, truth = read_calibration(folder.calibration), read_landmarks(folder.truth.landmarks)
        middle_mm = truth.positions_mm[:, :2].mean((0, 1))
        rooms = {"ap": arguments.ap_mm, "lat": arguments.lat_mm}
        geometry = BiplanarGeometry(**{view: _placed(geometry[view], middle_mm, rooms[view]) for view in VIEWS})
        seen_px = {view: geometry[view].project(truth.positions_mm) for view in VIEWS}
        exact = {view: ViewLandmarks(seen_px[view], np.ones((len(LEVELS), 7))) for view in VIEWS}
        films = known_films(geometry, middle_mm, arguments.known_to_mm, rng)
        marker = arguments.marker_mm and _marker(geometry, middle_mm, arguments.marker_mm, rng)
        started = time.process_time()
        seen = _by_network(folder, films) if arguments.network else _marked(exact, geometry, rng)
        found = self_calibrate(seen, means, films, marker=marker)
        seconds = time.process_time() - started
        again = triangulate_landmarks(found.geometry, exact).positions_mm
        rows.append([found.angle_deg[0] - geometry_angle_deg(geometry), *differences(again, truth.positions_mm, means)])
        rows[-1].append(100 * found.size_sd)
        cells = [*(f"{value:.2f}" for value in rows[-1]), f"{seconds:.1f}", "; ".join(found.doubts)]
        print(f"| {folder.path.name} | {' | '.join(cells)} |", flush=True)
    print(f"| mean of absolutes | {' | '.join(f'{value:.2f}' for value in np.abs(rows).mean(0))} | | |")


def _compare_reconstructions(dataset_dir: str, n: int, known_to_mm: float) -> None:
    """Prints a row for each study, and means of absolutes."""
    rng, rows = np.random.default_rng(0), []
    titles = [
        f"{name}, deg: by calibration less true | by films less true | films less calibration" for name in _ANGLES
    ]
    print(f"| study | {' | '.join(titles)} | s | s more |")
    print("|---" * (3 * len(_ANGLES) + 3) + "|")
    for folder in [StudyFolder(path) for path in study_folders(dataset_dir)][:n]:
        geometry, landmarks = read_calibration(folder.calibration), read_landmarks(folder.truth.landmarks)
        films = known_films(geometry, landmarks.positions_mm[:, :2].mean((0, 1)), known_to_mm, rng)
        pictures = [folder.picture(view) for view in VIEWS]
        true = measure_meshes(true_meshes(folder.truth.path), read_anchors(folder.truth.anchors)).found
        true = {name: float(value) for (_, name), value in true.items() if name in _ANGLES}
        stated, seconds = _reported(pictures, folder.calibration, {})
        found, longer = _reported(pictures, FROM_FILMS, _options(films, known_to_mm))
        cells = []
        for name in _ANGLES:
            pairs = ((stated, true), (found, true), (found, stated))
            cells += [signed_error(name, own.get(name), other.get(name)) for own, other in pairs]
        rows.append([np.nan if value is None else value for value in (*cells, seconds, longer - seconds)])
        print(f"| {folder.path.name} | {' | '.join(f'{value:.2f}' for value in rows[-1])} |", flush=True)
    means = [*np.nanmean(np.abs(rows)[:, :-2], axis=0), *np.median(np.array(rows)[:, -2:], axis=0)]
    print(f"| mean of absolutes, median of s | {' | '.join(f'{value:.2f}' for value in means)} |")


def _options(films: dict[str, FilmPrior], known_to_mm: float) -> dict[str, float | bool]:
    """The options of `reconstruct` that say what is known of two films."""
    if not known_to_mm:
        raise SystemExit("--reconstruct: state distances, expected --known_to_mm above 0")
    distances = {f"{view}_detector_mm": film.source_detector_mm[0] for view, film in films.items()}
    distances |= {f"{view}_person_mm": film.source_person_mm[0] for view, film in films.items()}
    sides = {"posteroanterior": films["ap"].reversed_beam, "lateral_from_right": films["lat"].reversed_beam}
    return {"known_to_mm": known_to_mm, "pixel_spacing_mm": films["ap"].pixel_spacing_mm[0], **distances, **sides}


def _reported(pictures: list[Path], calibration: Path | str, options: dict) -> tuple[dict[str, float], float]:
    """Angles of a reconstruction, those that could be measured, and the processor seconds that it took."""
    started = time.process_time()
    result = reconstruct(*pictures, calibration, **options)
    seconds = time.process_time() - started
    angles = {own.id: own.value for own in result.measurements if own.id in _ANGLES and own.value is not None}
    return angles, seconds


def _placed(camera: Camera, middle_mm: np.ndarray, room_mm: list[float] | None) -> Camera:
    """The view from other distances to the detector and to the person, whom the central ray meets; or as it is."""
    if room_mm is None:
        return camera
    detector, person = room_mm
    to_source = -camera.normal * np.sign(camera.source_distance_mm)
    across_mm = (np.array(camera.size_px) - 1) / 2 * camera.pixel_spacing_mm @ np.stack([camera.u_axis, camera.v_axis])
    source = middle_mm + person * to_source
    return camera.replace(source_mm=source, detector_origin_mm=source - detector * to_source - across_mm)


def _marked(
    exact: dict[str, ViewLandmarks], geometry: BiplanarGeometry, rng: np.random.Generator
) -> dict[str, ViewLandmarks]:
    """Marks with the errors of a network."""
    return {
        view: ViewLandmarks(
            own.positions_px
            + rng.normal(0, 1, own.positions_px.shape)
            * (_SHARE * np.array(SpinePrior().seen_mm[view]))[:, None]
            / geometry[view].pixel_spacing_mm,
            own.confidence,
        )
        for view, own in exact.items()
    }


def _by_network(folder: StudyFolder, films: dict[str, FilmPrior]) -> dict[str, ViewLandmarks]:
    radiographs = {view: read_radiograph(folder.picture(view)) for view in VIEWS}
    return seen_by_network(radiographs, films, *load_locating_networks(bundle_dir(MULTITASK))).landmarks


def known_films(
    geometry: BiplanarGeometry, middle_mm: np.ndarray, known_to_mm: float, rng: np.random.Generator
) -> dict[str, FilmPrior]:
    """What somebody with a tape measure knows."""
    films = {}
    for view, axis in (("ap", 0), ("lat", 1)):
        camera = geometry[view]
        detector, person = abs(camera.source_distance_mm), abs(float((middle_mm - camera.source_mm) @ camera.normal))
        reversed_beam = bool(camera.central_direction[axis] > 0)
        if not known_to_mm:
            films[view] = FilmPrior(camera.size_px, camera.pixel_spacing_mm, reversed_beam=reversed_beam)
            continue
        stated = [(value + rng.normal(0, known_to_mm), known_to_mm) for value in (detector, person)]
        films[view] = FilmPrior(camera.size_px, camera.pixel_spacing_mm, *stated, reversed_beam=reversed_beam)
    return films


def _marker(geometry: BiplanarGeometry, middle_mm: np.ndarray, length_mm: float, rng: np.random.Generator) -> Marker:
    """A marker near the spine, as somebody marks it."""
    way = rng.normal(0, 1, 3)
    start = middle_mm + rng.normal(0, 40, 3)
    ends = np.array([start, start + length_mm * way / np.linalg.norm(way)])
    marked = {
        view: geometry[view].project(ends) + rng.normal(0, 0.5, (2, 2)) / geometry[view].pixel_spacing_mm
        for view in VIEWS
    }
    return Marker(length_mm, marked)


def differences(found_mm: np.ndarray, true_mm: np.ndarray, means: list[np.ndarray]) -> list[float]:
    """Length from L1 to L5, relative places and turns of neighbours, lordosis and Cobb angle: found less true."""
    poses = [[fit_rigid(mean, own) for mean, own in zip(means, points, strict=True)] for points in (found_mm, true_mm)]
    lengths = [np.linalg.norm(own[0].translation_mm - own[-1].translation_mm) for own in poses]
    steps = [[a.inverse() @ b for a, b in pairwise(own)] for own in poses]
    shifts = [np.linalg.norm(a.translation_mm - b.translation_mm) for a, b in zip(*steps, strict=True)]
    turns = [np.degrees((a.inverse() @ b).angle_rad()) for a, b in zip(*steps, strict=True)]
    ends = [np.degrees((own[0].inverse() @ own[-1]).euler_rad()) for own in poses]
    return [lengths[0] - lengths[1], np.mean(shifts), np.mean(turns), ends[0][1] - ends[1][1], ends[0][0] - ends[1][0]]


if __name__ == "__main__":
    main()
