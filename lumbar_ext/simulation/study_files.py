"""Writes a simulated study as a folder: what a clinic would deliver, and the truth beside it.

ap.png lat.png calibration.json
truth/decomposition_ap.nii.gz truth/decomposition_lat.nii.gz truth/landmarks.json truth/meta.json [truth/L1.stl ..
L5.stl]
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

from PIL import Image

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.io import write_calibration, write_nifti_image, write_stl
from lumbar_ext.simulation.posture import Posture
from lumbar_ext.simulation.study import SimulatedStudy, Truth

_LAST_FILE = Path("truth") / "meta.json"
# Noise hardly compresses: the fastest setting is ten times as fast and a tenth larger than the tightest.
_COMPRESSION = 1
_DIGITS = 5


def is_complete(folder: str | Path) -> bool:
    """Whether `folder` holds a finished study."""
    return (Path(folder) / _LAST_FILE).is_file()


def write_study(study: SimulatedStudy, folder: str | Path, *, meshes: bool = True) -> None:
    """Writes a study; the folder appears complete or not at all.

    Args:
        study: what to write.
        folder: the study folder; replaced if it exists.
        meshes: whether to write the vertebrae as STL files.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}.tmp")
    try:
        (staging / "truth").mkdir(parents=True)
        _write_pictures(study, staging)
        _write_truth(study, staging / "truth", meshes)
        if folder.exists():
            shutil.rmtree(folder)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def landmarks_document(truth: Truth) -> dict:
    """The content of landmarks.json: exact positions and projections, with full confidence.

    Its schema is checked in the tests, not for each of the thousands of studies of a cohort.
    """
    pixels = {view: truth.geometry[view].project(truth.landmarks_mm) for view in VIEWS}
    certain = {f"confidence_{view}": 1.0 for view in VIEWS} | {"gap_mm": 0.0}
    return {
        "vertebrae": {
            level: {
                name: {"position_mm": truth.landmarks_mm[i, j].round(_DIGITS).tolist()}
                | {f"{view}_px": pixels[view][i, j].round(_DIGITS).tolist() for view in VIEWS}
                | certain
                for j, name in enumerate(LANDMARKS)
            }
            for i, level in enumerate(LEVELS)
        }
    }


def _write_pictures(study: SimulatedStudy, folder: Path) -> None:
    for view in VIEWS:
        Image.fromarray(study.pictures[view].pixels).save(folder / f"{view}.png", compress_level=_COMPRESSION)
    write_calibration(study.geometry, folder / "calibration.json")


def _write_truth(study: SimulatedStudy, folder: Path, meshes: bool) -> None:
    truth = study.truth
    for view in VIEWS:
        spacing = truth.geometry[view].pixel_spacing_mm
        write_nifti_image(folder / f"decomposition_{view}.nii.gz", truth.decomposition[view], spacing)
    (folder / "landmarks.json").write_text(json.dumps(landmarks_document(truth)))
    if meshes:
        for level, vertebra in zip(LEVELS, truth.vertebrae, strict=True):
            write_stl(folder / f"{level}.stl", vertebra.vertices_mm, vertebra.triangles)
    # Written last: its presence tells a complete study.
    (folder / _LAST_FILE.name).write_text(json.dumps(_meta(study)))


def _meta(study: SimulatedStudy) -> dict:
    """How the study came about, for training, filtering and debugging."""
    truth = study.truth
    return {
        "seed": truth.seed,
        "split": truth.split,
        **truth.subject,
        "posture": _posture_document(truth),
        "inverted": {view: study.pictures[view].inverted for view in VIEWS},
        "collimated": {view: study.pictures[view].collimated for view in VIEWS},
        "exposure": {view: dataclasses.asdict(study.truth.exposures[view]) for view in VIEWS},
    }


def _posture_document(truth: Truth) -> dict:
    posture: Posture = truth.posture
    return {
        "direction": posture.direction,
        "level": posture.level,
        "lordosis_l1_s1_deg": round(posture.lordosis_deg, 3),
        "cobb_deg": round(posture.cobb_deg, 3),
        "world_from_vertebra": {
            level: pose.to_matrix().round(6).tolist()
            for level, pose in zip(LEVELS, posture.world_from_vertebra, strict=True)
        },
        "world_from_sacrum": posture.world_from_sacrum.to_matrix().round(6).tolist(),
    }
