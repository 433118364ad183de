"""Writes a simulated study as a folder: what a clinic would deliver, and the truth beside it.

ap.png lat.png calibration.json
truth/decomposition_ap.nii.gz truth/decomposition_lat.nii.gz
truth/silhouettes_ap.png truth/silhouettes_lat.png      8 bit; bit i (value 2^i) is set where vertebra i (L1 = 0) lies
truth/landmarks.json truth/anchors.json truth/meta.json [truth/L1.stl .. L5.stl]

anchors.json: {"T12": {"centre_mm": [x, y, z]}, "L6": {"centre_mm": ...}, "S1": {"superior_centre_mm": ...,
"superior_anterior_mm": ..., "superior_posterior_mm": ..., "superior_left_mm": ..., "superior_right_mm": ...}}, world mm;
a level that the person lacks, or of which a CT says nothing, is left out.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.geometry import Camera
from lumbar_ext.io import staged_output, write_calibration
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.simulation.imaging.exposure import Exposure
from lumbar_ext.simulation.posture.posed_spine import Posture
from lumbar_ext.simulation.simulated_study import SimulatedStudy, Truth
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.studies.study_folder import StudyFolder, TruthFolder

# Noise hardly compresses: the fastest setting is ten times as fast and a tenth larger than the tightest.
_COMPRESSION = 1
_DIGITS = 5  # of mm and px in the truth


def is_complete(folder: str | Path) -> bool:
    """Whether `folder` holds a finished study."""
    return StudyFolder(Path(folder)).is_complete


def write_study(study: SimulatedStudy, folder: str | Path, *, meshes: bool = True) -> None:
    """Writes a study; the folder appears complete or not at all.

    Args:
        study: what to write.
        folder: the study folder; replaced if it exists.
        meshes: whether to write the vertebrae as STL files.
    """
    with staged_output(folder, owned=("*",)) as staging:
        files = StudyFolder(staging)
        files.truth.path.mkdir()
        _write_pictures(study, files)
        _write_truth(study, files.truth, meshes)


def landmarks_document(truth: Truth) -> dict:
    """The content of landmarks.json: exact positions and projections, with full confidence.

    Its schema is checked in the tests, not for each of the thousands of studies of a cohort.
    """
    known = dict(zip(LEVELS, truth.landmarks_mm, strict=True)) | truth.other_landmarks_mm
    present = {level: points for level, points in known.items() if np.isfinite(points).any()}
    return {"vertebrae": {level: _vertebra_document(truth, points) for level, points in present.items()}}


def _vertebra_document(truth: Truth, landmarks_mm: np.ndarray) -> dict:
    pixels = {view: truth.geometry[view].project(landmarks_mm) for view in VIEWS}
    certain = {f"confidence_{view}": 1.0 for view in VIEWS} | {"gap_mm": 0.0}
    return {
        name: {"position_mm": landmarks_mm[j].round(_DIGITS).tolist()}
        | {f"{view}_px": pixels[view][j].round(_DIGITS).tolist() for view in VIEWS}
        | certain
        for j, name in enumerate(LANDMARKS)
        # What a CT does not show is left out.
        if np.isfinite(landmarks_mm[j]).all()
    }


def _write_pictures(study: SimulatedStudy, files: StudyFolder) -> None:
    for view in VIEWS:
        Image.fromarray(study.pictures[view].pixels).save(files.picture(view), compress_level=_COMPRESSION)
    write_calibration(study.geometry, files.calibration)


def _write_truth(study: SimulatedStudy, files: TruthFolder, meshes: bool) -> None:
    truth = study.truth
    for view in VIEWS:
        spacing = truth.geometry[view].pixel_spacing_mm
        write_nifti_image(files.decomposition(view), truth.decomposition[view], spacing)
        Image.fromarray(truth.silhouettes[view]).save(files.silhouettes(view))
    files.landmarks.write_text(json.dumps(landmarks_document(truth)))
    files.anchors.write_text(json.dumps(_anchors_document(truth)))
    if meshes:
        for level, vertebra in zip(truth.levels, truth.vertebrae, strict=True):
            if vertebra is None:
                continue
            write_stl(files.mesh(level), vertebra.vertices_mm, vertebra.triangles)
    # Written last: its presence tells a complete study.
    files.meta.write_text(json.dumps(_meta(study)))


def _anchors_document(truth: Truth) -> dict:
    return {
        level: {f"{name}_mm": point.round(_DIGITS).tolist() for name, point in points.items()}
        for level, points in truth.anchors_mm.items()
    }


def _meta(study: SimulatedStudy) -> dict:
    """How the study came about, for training, filtering and debugging."""
    truth = study.truth
    return {
        **_spec_document(truth.spec),
        **truth.subject,
        "levels": [level for level, solid in zip(truth.levels, truth.vertebrae, strict=True) if solid is not None],
        "wear": [worn.document() for worn in truth.posture.skeleton.wear] if truth.posture else None,
        "posture": _posture_document(truth) if truth.posture else None,
        "inverted": {view: study.pictures[view].inverted for view in VIEWS},
        "collimated": {view: study.pictures[view].collimated for view in VIEWS},
        "lower_part_mm": {view: study.pictures[view].lower_part_mm for view in VIEWS},
        "camera_errors": {view: _camera_errors_document(study.geometry[view], truth.geometry[view]) for view in VIEWS},
        "film_cuts": {view: _cut_levels(truth, view) for view in VIEWS},
        "bones": dataclasses.asdict(truth.composition) if truth.composition else None,
        "exposure": {view: _exposure_document(truth.exposures[view]) for view in VIEWS},
    }


def _camera_errors_document(stated: Camera, true: Camera) -> dict:
    """By how much the calibration is off: stated less true."""
    places = ("source_mm", "detector_origin_mm")
    axes = ("u_axis", "v_axis", "normal")
    turn = sum(np.outer(getattr(stated, name), getattr(true, name)) for name in axes)
    return {
        **{name: (getattr(stated, name) - getattr(true, name)).round(_DIGITS).tolist() for name in places},
        "turn_deg": round(float(np.degrees(Rotation.from_matrix(turn).magnitude())), _DIGITS),
        "distance_mm": round(abs(stated.source_distance_mm) - abs(true.source_distance_mm), _DIGITS),
        "spacing_percent": round(100 * (stated.pixel_spacing_mm[0] / true.pixel_spacing_mm[0] - 1), _DIGITS),
    }


def _spec_document(spec: StudySpec | None) -> dict:
    """Where a simulated person comes from; a CT says that in its subject."""
    if spec is None:
        return {"split": "ct", "pathology": None, "voxel_mm": None}
    return {
        "seed": spec.seed,
        "person_seed": spec.seed if spec.person_seed is None else spec.person_seed,
        "split": spec.split,
        "variation": spec.variation,
        "geometry": spec.geometry,
        "pathology": spec.pathology.document() if spec.pathology else None,
        "voxel_mm": spec.voxel_mm,
    }


def _cut_levels(truth: Truth, view: str) -> list[str]:
    """The vertebrae of which a film of a simulated person does not show all; a CT names its own `cut_levels`."""
    camera = truth.geometry[view]

    def is_cut(vertices_mm: np.ndarray) -> bool:
        uv = camera.project(vertices_mm)
        return bool((uv < -0.5).any() or (uv > np.array(camera.size_px) - 0.5).any())

    named = zip(truth.levels, truth.vertebrae, strict=True)
    return [level for level, solid in named if solid is not None and is_cut(solid.vertices_mm[::10])]


def _exposure_document(exposure: Exposure) -> dict:
    values = dataclasses.asdict(exposure)
    beam = values.pop("beam")
    return values | {name: np.round(beam[name], _DIGITS).tolist() for name in ("energies_kev", "weights")}


def _posture_document(truth: Truth) -> dict:
    posture: Posture = truth.posture
    return {
        "direction": posture.direction,
        "level": posture.level,
        "lordosis_l1_s1_deg": round(posture.lordosis_deg, 3),
        "cobb_deg": round(posture.cobb_deg, 3),
        "world_from_vertebra": {
            level: pose.to_matrix().round(6).tolist()
            for level, pose in zip(truth.levels, posture.world_from_vertebra, strict=True)
        },
        "world_from_sacrum": posture.world_from_sacrum.to_matrix().round(6).tolist(),
    }
