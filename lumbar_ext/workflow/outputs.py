"""The files a reconstruction leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.geometry.axes import lps_from_world
from lumbar_ext.landmarks.located_anchors import LocatedAnchors
from lumbar_ext.landmarks.markups import SUFFIX, write_points
from lumbar_ext.landmarks.study_landmarks import AnchorLandmarks, StudyLandmarks, write_landmarks
from lumbar_ext.landmarks.triangulated import Landmarks3D
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.registration.refined_cameras import moved_camera
from lumbar_ext.registration.result import RegistrationResult, VertebraFit
from lumbar_ext.report.overlay import draw_overlay
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.workflow.observe import ObservedStudy

FOUND_CAMERAS = "found_cameras.json"
"""The calibration that was found from the films, where there was no file of one."""

RESULT_FILES = (
    *(f"{level}.{kind}" for level in LEVELS for kind in ("stl", "ply")),
    *(f"{name}_{view}.{kind}" for view in VIEWS for name, kind in (("decomposition", "nii.gz"), ("overlay", "png"))),
    *("landmarks.json", "landmarks.mrk.json", "measurements.json", "measurements.csv", "scene.glb", "labels.nii.gz"),
    *("report.html", "report.pdf", "registration.json", "run.json", FOUND_CAMERAS),
)
"""Every file that a reconstruction may leave; a new one replaces them all."""

_DIGITS = 6  # of numbers in JSON
_NOT_REGISTERED = "not found in both views (too few of its landmarks, or its place is outside an image)"


def study_landmarks(observed: ObservedStudy, landmarks: Landmarks3D) -> StudyLandmarks:
    """The network's landmarks in the pixels of the original radiographs, and in space."""
    pixels = {view: observed.canonical[view].to_original_px(observed.decoded[view].landmarks_px) for view in VIEWS}
    confidence = {view: own.confidence for view, own in observed.landmarks.items()}
    beside = _anchor_landmarks(observed)
    return StudyLandmarks(landmarks.positions_mm, pixels, confidence, landmarks.gap_mm, beside)


def _anchor_landmarks(observed: ObservedStudy) -> AnchorLandmarks:
    seen, anchors = observed.anchors, observed.located_anchors()
    if seen is None:
        return AnchorLandmarks.unknown()
    pixels = {view: observed.canonical[view].to_original_px(own.positions_px) for view, own in seen.items()}
    confidence = {view: np.where(own.found, own.confidence, np.nan) for view, own in seen.items()}
    return AnchorLandmarks(anchors.positions_mm, pixels, confidence, anchors.gap_mm)


def measured_anchors(observed: ObservedStudy, result: RegistrationResult) -> LocatedAnchors:
    """T12 and S1 in the cameras that the registration ended with."""
    return observed.located_anchors(final_geometry(observed.geometry, result))


def final_geometry(geometry: BiplanarGeometry, result: RegistrationResult) -> BiplanarGeometry:
    """Cameras as the registration left them, which may have refined them."""
    motions, cameras = result.camera_motions, {view: geometry[view] for view in VIEWS}
    return BiplanarGeometry(
        **{view: moved_camera(own, motions[view]) if view in motions else own for view, own in cameras.items()}
    )


def missing_levels(observed: ObservedStudy, result: RegistrationResult) -> dict[str, str]:
    """The levels without a mesh, each with its reason."""
    seen = {} if observed.levels is None else observed.levels.missing
    return {
        level: f"not found in both views ({seen[level]})" if level in seen else _NOT_REGISTERED
        for level in result.missing_levels
    }


def registration_document(
    observed: ObservedStudy, result: RegistrationResult, anchors: LocatedAnchors, stage_seconds: dict[str, float]
) -> dict[str, Any]:
    """The content of `registration.json`."""
    return {
        "missing_levels": list(result.missing_levels),
        "missing_reasons": missing_levels(observed, result),
        "levels": None if observed.levels is None else observed.levels.document(),
        "anchors": {
            "missing": dict(anchors.missing),
            "s1_misfit_sd": anchors.sacrum and anchors.sacrum.residual,
            "sixth_lumbar_vertebra": anchors.sixth,
        },
        "loss": result.loss,
        "loss_per_view": result.loss_per_view,
        "initial_loss": result.initial_loss,
        "stop_reason": str(result.stop_reason),
        "second_looks": [
            {"seconds": look.seconds, "moved_mm": look.moved_mm, "fit": look.fit} for look in result.looks
        ],
        "camera_motions": {view: motion.to_matrix() for view, motion in result.camera_motions.items()},
        "stage_seconds": stage_seconds,
        "vertebrae": {level: _vertebra_document(fit) for level, fit in result.vertebrae.items()},
    }


def write_reconstruction(
    folder: Path,
    study: BiplanarStudy,
    observed: ObservedStudy,
    found: StudyLandmarks,
    result: RegistrationResult,
    triangles: np.ndarray,
    sacral_rim_mm: np.ndarray | None = None,
) -> None:
    """Writes meshes, landmarks, decompositions and overlays.

    Args:
        folder: an existing folder.
        study: the radiographs.
        observed: what the network saw.
        found: its landmarks.
        result: the registration.
        triangles: [M, 3] of every mesh of `result`.
        sacral_rim_mm: [N, 3] of S1's superior endplate, for the overlays.
    """
    meshes = {level: result.vertebrae[level].vertices_mm for level in LEVELS if level in result.vertebrae}
    for level, vertices_mm in meshes.items():
        write_stl(mesh_path(folder, level), vertices_mm, triangles)
    write_landmarks(folder / "landmarks.json", found)
    confidence = found.confidence["ap"] * found.confidence["lat"]
    beside = found.anchors
    write_points(
        folder / f"landmarks{SUFFIX}",
        lps_from_world(found.positions_mm),
        confidence,
        lps_from_world(beside.positions_mm),
        beside.confidence["ap"] * beside.confidence["lat"],
    )
    cameras = final_geometry(study.geometry, result)
    for view in VIEWS:
        canonical = observed.canonical[view]
        spacing_mm = canonical.camera.pixel_spacing_mm
        write_nifti_image(folder / f"decomposition_{view}.nii.gz", observed.decoded[view].decomposition, spacing_mm)
        shown = {level: result.vertebrae[level].seen_mm(view) for level in meshes}
        overlay = draw_overlay(study[view].pixels, cameras[view], shown, triangles, sacral_rim_mm)
        overlay.save(folder / f"overlay_{view}.png", compress_level=1)  # a third of a second less, a fifth larger


def mesh_path(folder: Path, level: str) -> Path:
    """Where the mesh of a level lies in an output folder."""
    return folder / f"{level}.stl"


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Writes a document of plain values; a value that is not finite becomes null."""
    path.write_text(json.dumps(_plain(document), indent=1) + "\n", encoding="utf-8")


def _vertebra_document(fit: VertebraFit) -> dict[str, Any]:
    """One vertebra; evaluations, seconds and stop reason of a joint search are those of all vertebrae together."""
    pose = fit.pose
    return {
        "pose": {
            "translation_mm": pose[:3],
            "lateral_bend_deg": np.degrees(pose[3]),
            "flexion_deg": np.degrees(pose[4]),
            "axial_rotation_deg": np.degrees(pose[5]),
            "relative_to": "initial pose, in the vertebra frame",
        },
        "world_from_vertebra": fit.world_from_vertebra.to_matrix(),
        "motions": {view: motion.to_matrix() for view, motion in fit.motions.items()},
        "shape_coefficients_sd": fit.coefficients,
        "free_form_coefficients_sd": fit.free_form,
        "loss_per_view": fit.loss,
        "initial_loss_per_view": fit.initial_loss,
        "evaluations": fit.search.evaluations,
        "seconds": fit.search.seconds,
        "stop_reason": str(fit.search.stop_reason),
        "crossing_triangles": fit.crossing_triangles,
        "vertices_inside_neighbours": fit.vertices_inside,
        "vertices_deep_inside_neighbours": fit.vertices_deep,
        "deepest_inside_neighbours_mm": fit.deepest_mm,
        "warnings": list(fit.warnings),
    }


def _plain(value: Any) -> Any:
    """JSON values of numpy arrays, tuples and numbers, rounded to 1e-6."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), _DIGITS) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
