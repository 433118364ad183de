"""The truth of a simulated study, and the study as a perfect network would see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.anchors import read_anchors
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.studies.study_folder import StudyFolder, TruthFolder, study_folders
from lumbar_ext.transforms.canonical import NETWORK_SIZE_PX, CanonicalView, size_on_grid, to_network_grid
from lumbar_ext.transforms.decode import DecodedView, SpineAnchors
from lumbar_ext.workflow.observe import ObservedStudy

_TRUE_SCALE_PX = 0.1  # of the error of a true position, which rounding leaves


def looks_at(inputs: str, looks: int = 1) -> int:
    """Second looks for a kind of input: none where the decompositions are the truth, which leaves nothing to correct."""
    return looks if inputs == "radiographs" else 0


def study_items(
    cohort_dir: str | Path,
    output_dir: str | Path,
    inputs: Sequence[str] = ("",),
    limit: int | None = None,
    every: int = 1,
) -> list[dict[str, str]]:
    """The inputs of every study folder in a cohort, as `workflow.stages.ReadStudy` takes them.

    Args:
        cohort_dir: folder of study folders.
        output_dir: each study's results go to a folder of its name in here.
        inputs: what the registration is given, kept under the same name; each study is listed once for each.
        limit: the first of these studies only.
        every: take one study in so many, for a part of many poses of few people.

    Raises:
        InputError: if there is no study.
    """
    folders = [StudyFolder(folder) for folder in study_folders(cohort_dir)]
    if not folders:
        raise InputError(f"{cohort_dir}: holds no study, expected folders with ap.png, lat.png and calibration.json")
    return [
        {
            "ap_image": str(folder.picture("ap")),
            "lat_image": str(folder.picture("lat")),
            "calibration": str(folder.calibration),
            "truth_dir": str(folder.truth.path),
            "inputs": kind,
            "output_dir": str(Path(output_dir) / folder.path.name),
        }
        for kind in inputs
        for folder in folders[::every][:limit]
    ]


def set_items(
    sets: Mapping[str, str | Path],
    output_dir: str | Path,
    inputs: Sequence[str],
    limit: int | None = None,
    every: int | Mapping[str, int] = 1,
) -> list[dict[str, str]]:
    """`study_items` of several cohorts, each with its name as `set_name`.

    `every` may hold a number for each name, 1 where it holds none.

    Raises:
        InputError: if there is no set, or one holds no study.
    """
    if not sets:
        raise InputError("sets: expected at least one name with its folder of studies, found none")
    items = []
    for name, folder in sets.items():
        step = every.get(name, 1) if isinstance(every, Mapping) else every
        items += [{**item, "set_name": name} for item in study_items(folder, output_dir, inputs, limit, step)]
    return items


def true_surfaces(truth_dir: str | Path) -> dict[str, Surface]:
    """The true mesh of each level from L1 to L5, world mm; a level that is part of the sacrum has none.

    Raises:
        InputError: if there is no mesh.
    """
    paths = {level: TruthFolder(Path(truth_dir)).mesh(level) for level in LEVELS}
    surfaces = {level: Surface(*read_mesh(path)) for level, path in paths.items() if path.is_file()}
    if not surfaces:
        raise InputError(f"{truth_dir}: holds no mesh, expected L1.stl to L5.stl (simulate with --meshes true)")
    return surfaces


class ObserveTruth(Transform):
    """In place of the network: true decompositions and true landmarks of full confidence.

    On the network grid of 427 mm; of films that are larger, the part about the vertebrae.

    Raises:
        InputError: for a decomposition that is neither of its film's size nor of the grid's.
    """

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `observed`."""
        study, truth = data["study"], TruthFolder(Path(data["truth_dir"]))
        pixels = read_landmarks(truth.landmarks).positions_px
        seen = {view: _perfectly_seen(study, view, pixels[view], truth) for view in VIEWS}
        return {**data, "observed": ObservedStudy(*({view: own[k] for view, own in seen.items()} for k in (0, 1)))}


def observer(decompositions_dir: str, observe: Transform) -> Transform:
    """What sees the vertebrae of a study: files of `decompositions_dir` if there is one, else `observe`, a network."""
    return ObserveTruth() if decompositions_dir else observe


def _perfectly_seen(
    study: BiplanarStudy, view: str, original_px: np.ndarray, truth: TruthFolder
) -> tuple[CanonicalView, DecodedView]:
    pixels, camera = study[view].pixels, study.geometry[view]
    fits = max(size_on_grid(camera, view)) <= NETWORK_SIZE_PX
    centre_px = None if fits else np.nanmean(original_px, axis=(0, 1))
    canonical = to_network_grid(pixels, camera, view, centre_px=centre_px)
    path = truth.decomposition(view)
    decomposition, _ = read_nifti_image(path)
    if decomposition.shape != canonical.pixels.shape:
        if decomposition.shape != pixels.shape:
            raise InputError(
                f"{path}: {decomposition.shape} pixels, expected {canonical.pixels.shape} of the network grid or "
                f"{pixels.shape} of the film"
            )
        decomposition = to_network_grid(decomposition, camera, view, centre_px=centre_px).pixels
    landmarks_px = canonical.to_canonical_px(original_px)
    present = np.isfinite(landmarks_px).all((1, 2))
    return canonical, DecodedView(
        decomposition=decomposition,
        centres_px=landmarks_px[:, :2].mean(1),
        landmarks_px=landmarks_px,
        confidence=present.astype(float),
        present=present,
        landmark_confidence=np.repeat(present[:, None], landmarks_px.shape[1], axis=1).astype(float),
        order_consistent=True,
        anchors=_true_anchors(canonical, truth),
    )


def _true_anchors(canonical: CanonicalView, truth: TruthFolder) -> SpineAnchors:
    """T12 and S1 where they are; a sixth lumbar vertebra by its centre."""
    known = read_anchors(truth.anchors)
    if known is None:
        return SpineAnchors.nothing()
    project = canonical.camera.project
    positions_px = project(np.vstack([known.t12_centre_mm, known.s1_mm]))
    sixth_px = np.repeat(project(known.l6_centre_mm)[None], len(LANDMARKS), axis=0)
    scales_px = np.full(len(positions_px), _TRUE_SCALE_PX)
    anchors = replace(SpineAnchors.nothing(), l6_landmarks_px=sixth_px)
    return anchors.with_points(positions_px, scales_px, ("T12", "S1"))
