"""Films that show no lumbar spine, or a part of one, in place of one film of a simulated pair: found rightly, or not found?

    python benchmarks/films_without_spine.py FOLDER --n 6

Of each study in FOLDER (`lumbar-ext simulate`), parts of its own two films take the place of the whole one, each by itself; the
other film and the calibration, cut like the film, stay. "Nothing found" is what a reconstruction is refused for, with the
reason. A level that is found in space is right within 13 mm of the height of the true one (`evaluation.levels`); wrong ones are
the confident spine elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from lumbar_ext.anatomy import LEVELS, SPINE_LEVELS, VIEWS
from lumbar_ext.bundle_paths import MULTITASK, bundle_dir
from lumbar_ext.evaluation.levels import judged
from lumbar_ext.evaluation.truth import study_items
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.landmarks.anchors import TrueAnchors, read_anchors
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.studies.biplanar_study import BiplanarStudy, read_study
from lumbar_ext.studies.study_folder import TruthFolder
from lumbar_ext.transforms.level_naming.joint_levels import LevelAssignment
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.network_bundle import load_locating_networks

_LEAST_PX = 60  # a smaller part is no film
_BLURRED_MM, _NOISE = 40.0, 0.01  # a belly without bones; noise as a share of the range of grey values
_BESIDE = 1.3  # of the distance of neighbouring vertebrae, beyond the outermost centre
_DOUBT = "is no radiograph of a lumbar spine"


def main() -> None:
    """Prints a row for each kind of film and view."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of simulated studies with their truth")
    parser.add_argument("--n", type=int, default=6, help="studies")
    arguments = parser.parse_args()
    networks = load_locating_networks(bundle_dir(MULTITASK))
    rows: dict[tuple[str, str], list[tuple[str, list[str]]]] = {}
    for item in study_items(arguments.folder, arguments.folder)[: arguments.n]:
        films = read_study(item["ap_image"], item["lat_image"], item["calibration"])
        truth = TruthFolder(Path(item["truth_dir"]))
        landmarks_mm = read_landmarks(truth.landmarks).positions_mm
        for view in VIEWS:
            for name, pair in _kinds(films, view, landmarks_mm, read_anchors(truth.anchors)):
                levels = observe_located(*networks, pair).levels
                reason = next(iter(levels.missing.values())) if not levels.best.found else ""
                outcomes = judged(landmarks_mm[:, :2, 2].mean(1), _heights(levels))
                rows.setdefault((name, view), []).append((reason, outcomes))
    print("| film | in place of | pairs | nothing found: no spine / other reasons | right | wrong |")
    print("|---|---|---|---|---|---|")
    for (name, view), found in sorted(rows.items(), key=lambda own: own[0]):
        told = sum(_DOUBT in reason for reason, _ in found)
        refused = sum(bool(reason) for reason, _ in found) - told
        counts = [sum(own.count(kind) for _, own in found) for kind in ("right", "wrong")]
        cells = [name, view, len(found), f"{told} / {refused}", *counts]
        print("| " + " | ".join(map(str, cells)) + " |")


def _heights(levels: LevelAssignment) -> np.ndarray:
    pairs = [levels.best.pairs[SPINE_LEVELS.index(level)] for level in LEVELS]
    return np.array([np.nan if pair is None else pair.point_mm[2] for pair in pairs])


def _kinds(
    films: BiplanarStudy, view: str, landmarks_mm: np.ndarray, anchors: TrueAnchors
) -> Iterator[tuple[str, BiplanarStudy]]:
    """The study with each kind of film in place of a view's."""
    camera, (rows, columns) = films.geometry[view], films[view].pixels.shape
    centres_px = camera.project(landmarks_mm[:, :2].mean(1))
    pitch_px = float(np.nanmean(np.diff(centres_px[:, 1])))
    t12_px, s1_px = camera.project(np.stack([anchors.t12_centre_mm, anchors.s1_mm[0]]))
    left_px, right_px = np.nanmin(centres_px[:, 0]), np.nanmax(centres_px[:, 0])
    windows = {
        "whole": (0, rows, 0, columns),
        "above T12": (0, t12_px[1], 0, columns),
        "L3 to S1": (centres_px[1:3, 1].mean(), rows, 0, columns),
        "pelvis": (s1_px[1] + 0.3 * pitch_px, rows, 0, columns),
        "beside the spine, left": (0, rows, 0, left_px - _BESIDE * pitch_px),
        "beside the spine, right": (0, rows, right_px + _BESIDE * pitch_px, columns),
    }
    for name, window in windows.items():
        top, bottom, left, right = (round(float(edge)) for edge in np.clip(window, 0, [rows, rows, columns, columns]))
        if min(bottom - top, right - left) >= _LEAST_PX:
            yield name, _cut(films, view, (slice(top, bottom), slice(left, right)))
    pixels = films[view].pixels.astype(np.float32)
    noise = np.random.default_rng(0).normal(0, _NOISE * np.ptp(pixels), pixels.shape)
    yield "no bones", _with(films, view, gaussian_filter(pixels, _BLURRED_MM / camera.pixel_spacing_mm[0]) + noise)


def _cut(films: BiplanarStudy, view: str, window: tuple[slice, slice]) -> BiplanarStudy:
    pixels, camera = films[view].pixels[window], films.geometry[view]
    rows, columns = window
    origin_mm = camera.detector_point(np.array([columns.start, rows.start], float))
    cameras = {own: films.geometry[own] for own in VIEWS}
    cameras[view] = camera.replace(detector_origin_mm=origin_mm, size_px=pixels.shape[::-1])
    return replace(_with(films, view, pixels), geometry=BiplanarGeometry(**cameras))


def _with(films: BiplanarStudy, view: str, pixels: np.ndarray) -> BiplanarStudy:
    return replace(films, **{view: replace(films[view], pixels=pixels.astype(np.float32))})


if __name__ == "__main__":
    main()
