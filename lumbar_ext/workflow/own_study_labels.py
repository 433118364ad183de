"""Labels of a user's own studies: meshes from CT are put where both radiographs show them, and written as a study folder.

Stages of the config `rigid.json`, between those of `workflow.stages`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform
from torch import nn

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.drr.bone_images import decomposition
from lumbar_ext.errors import InputError
from lumbar_ext.io import write_calibration
from lumbar_ext.io.atomic import refuse_to_replace, staged_output
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.landmarks.triangulated import Landmarks3D
from lumbar_ext.measurements.uncertainty.grade import Grade, vertebra_quality
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.registration.own_meshes import SubjectVertebra, register_rigidly
from lumbar_ext.registration.register import RegistrationInput
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.shape.model.alignment import align_from_starts, axis_starts
from lumbar_ext.shape.model.surface_fit import LinearModel, SurfaceFit, fit_to_surface
from lumbar_ext.shape.sources.folder import checked_label_values
from lumbar_ext.shape.sources.vertebra_file import VERTEBRA_EXTENT_MM, load_vertebra
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.studies.study_folder import STUDY_PATTERNS, StudyFolder
from lumbar_ext.transforms.intensity import stretched_to_uint16
from lumbar_ext.workflow.outputs import write_json
from lumbar_ext.workflow.stages import INPUTS, STAGES, Register, prepare_registration

_FIT_MODES = 20  # of the shape model with which levels are told apart

NOT_A_VERTEBRA_MM = 2.5
"""A surface this far (mean distance of the closest instance's vertices) from every vertebra is none. Measured on 17 real ones,
voxels of 1-3 mm and fractures among them: 0.2-1.1 mm; ellipsoids of the size of organs: 4 mm and more."""

_DISTANCE_OF_LEVELS_MM = (15.0, 65.0)
"""Centres of neighbouring lumbar vertebrae, their arches included, lie 25-45 mm apart; generous on both ends."""


class ReadSubject(Transform):
    """Reads the subject's vertebrae and finds their landmarks by fitting the shape model to each.

    What cannot be a lumbar vertebra is refused: meshes that are open, of no plausible size or in different units, labels that
    are other organs or stand in another order. Repairs (`shape.sources.vertebra_file`) are noted.

    Args:
        shape_model: the shape model.
        mesh_dir: folder with L1.stl to L5.stl, or some of them, closed, all in one frame or not; empty for none. Millimetres,
            or another unit that the size tells.
        label_map: CT label map (NIfTI, NRRD, MetaImage), in place of meshes.
        label_values: label of each level in it; `anatomy.VERSE_LABELS` when omitted.

    Raises:
        InputError: if neither or both are given, no vertebra is found, one cannot be one, or the study folder would take the
            place of what it is made of.
    """

    def __init__(
        self,
        shape_model: nn.Module,
        mesh_dir: str = "",
        label_map: str = "",
        label_values: Mapping[str, int] | None = None,
    ) -> None:
        if bool(mesh_dir) == bool(label_map):
            raise InputError("give either --mesh_dir or --label_map: the subject's own vertebrae")
        self._model = shape_model
        self._files = [Path(mesh_dir) / f"{level}.stl" for level in LEVELS] if mesh_dir else [Path(label_map)]
        self._found = _of_meshes(Path(mesh_dir)) if mesh_dir else _of_labels(Path(label_map), label_values)
        if not self._found:
            raise InputError(f"{mesh_dir or label_map}: holds none of {', '.join(LEVELS)}")
        self._vertebrae: dict[str, SubjectVertebra] = {}

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `subject`, the vertebrae by level, and `subject_notes`, what was repaired in them."""
        if data.get("output_dir"):
            files = (*self._files, *(data[name] for name in INPUTS))
            refuse_to_replace(files, data["output_dir"], STUDY_PATTERNS)
        for level, found in self._found.items():
            if level not in self._vertebrae:
                self._vertebrae[level] = subject_vertebra(self._model, level, found.surface, found.name)
        notes = tuple(f"{found.name}: {note}" for found in self._found.values() for note in found.notes)
        return {**data, "subject": dict(self._vertebrae), "subject_notes": notes}


@dataclass(frozen=True)
class _Found:
    """The surface of one level, what to call it in a message, and what was repaired."""

    surface: Surface
    name: str
    notes: tuple[str, ...] = ()


def subject_vertebra(shape_model: nn.Module, level: str, surface: Surface, name: str) -> SubjectVertebra:
    """A vertebra with the landmarks of the closest instance of the shape model.

    Args:
        shape_model: the shape model.
        level: which vertebra it is said to be.
        surface: closed, mm, any frame.
        name: file (and label) for messages.

    Raises:
        InputError: if no vertebra looks like it.
    """
    index = LEVELS.index(level)
    deviations = shape_model.standard_deviations[index, :_FIT_MODES].cpu().numpy()
    modes = shape_model.modes[index, :_FIT_MODES].cpu().float().numpy() * deviations[:, None, None]
    model = LinearModel(shape_model.mean[index].cpu().numpy(), modes, shape_model.triangles.cpu().numpy())
    alignment = align_from_starts(Surface(model.mean_mm, model.triangles), surface, axis_starts())
    start = SurfaceFit(alignment.target_from_source.apply(model.mean_mm), np.zeros(len(modes)))
    fitted = fit_to_surface(model, surface, start)
    distance = float(surface_distance_mm(Surface(fitted.vertices_mm, model.triangles), surface).mean())
    if not distance < NOT_A_VERTEBRA_MM:
        shown = f"{distance:.1f} mm" if distance < VERTEBRA_EXTENT_MM[1] else "very far"
        raise InputError(
            f"{name}: does not look like a lumbar vertebra ({level}): the closest one of the shape model lies {shown} away on "
            f"average, expected less than {NOT_A_VERTEBRA_MM:g} mm"
        )
    vertices, weights = shape_model.landmark_vertices.cpu().numpy(), shape_model.landmark_weights.cpu().numpy()
    landmarks = MaterialPoints(vertices, weights).of(fitted.vertices_mm)
    return SubjectVertebra(surface.vertices_mm, surface.triangles, landmarks)


def prepare_rigid(batch: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[tuple, None]:
    """What `RegisterRigidly` is given, for `prepare_batch`."""
    inputs, _ = prepare_registration(batch)
    return (inputs, batch["subject"]), None


class RegisterRigidly(Register):
    """Poses the subject's vertebrae; the shape model is not used. Arguments are those of `Register`."""

    def __call__(
        self,
        inputs: tuple[RegistrationInput, dict[str, SubjectVertebra]],
        network: nn.Module,
        *args: Any,
        **kwargs: Any,
    ) -> RegistrationResult:
        """The poses of the levels that have both a mesh and landmarks."""
        with self.progress.stage(STAGES[3]):
            return register_rigidly(*inputs, self.config, max_seconds=self.max_seconds)


class WriteLabels(Transform):
    """Writes a study folder as the network bundle trains from: radiographs, calibration and `truth/`.

    A vertebra whose registration failed, or holds a number that is not finite, is left out and named: a network would learn
    from it what is wrong.
    """

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the files; adds nothing.

        Raises:
            InputError: if no vertebra is left.
        """
        study, result, subject = data["study"], data["pred"], data["subject"]
        failed = _failures(result, data["landmarks"])
        if len(failed) == len(result.vertebrae):
            raise InputError(
                f"{data['ap_image']}, {data['lat_image']}: no vertebra could be put where both radiographs show it "
                f"({'; '.join(failed.values())}); nothing is written"
            )
        meshes, points = {}, np.full((len(LEVELS), 7, 3), np.nan)
        for level, fit in result.vertebrae.items():
            if level in failed:
                warnings.warn(f"{level}: left out, {failed[level]}", stacklevel=2)
                continue
            meshes[level] = fit.vertices_mm, subject[level].triangles
            landmarks = fit.shape.landmarks(np.zeros(0))
            points[LEVELS.index(level)] = fit.world_from_vertebra.apply(landmarks)
        with staged_output(data["output_dir"], STUDY_PATTERNS) as folder:
            write_labels(folder, study, meshes, points)
            write_json(StudyFolder(folder).truth.meta, _meta(data, result, failed))
        return dict(data)


def _failures(result: RegistrationResult, landmarks: Landmarks3D) -> dict[str, str]:
    """By level, why a vertebra is not where it should be; good ones are not listed."""
    failed = {}
    for level, fit in result.vertebrae.items():
        quality = vertebra_quality(fit, landmarks, None)
        if not np.isfinite(fit.vertices_mm).all():
            failed[level] = "its vertices are not finite numbers"
        elif quality.grade is Grade.FAILED:
            failed[level] = ", ".join(quality.reasons)
    return failed


def write_labels(
    folder: Path, study: BiplanarStudy, meshes: Mapping[str, tuple[np.ndarray, np.ndarray]], landmarks_mm: np.ndarray
) -> None:
    """Writes a study with its truth.

    Args:
        folder: an existing folder.
        study: the radiographs and their cameras.
        meshes: by level, vertices [V, 3] in world mm and triangles [M, 3].
        landmarks_mm: [5, 7, 3] world mm, NaN for missing levels.
    """
    files = StudyFolder(folder)
    files.truth.path.mkdir(parents=True, exist_ok=True)
    solids = tuple(Surface(vertices, triangles) for vertices, triangles in meshes.values())
    for view in VIEWS:
        camera = study.geometry[view]
        write_png(files.picture(view), stretched_to_uint16(study[view].pixels))
        write_nifti_image(files.truth.decomposition(view), decomposition(solids, camera), camera.pixel_spacing_mm)
    write_calibration(study.geometry, files.calibration)
    pixels = {view: study.geometry[view].project(landmarks_mm) for view in VIEWS}
    known = np.where(np.isfinite(landmarks_mm).all(-1), 1.0, np.nan)
    landmarks = StudyLandmarks(landmarks_mm, pixels, dict.fromkeys(VIEWS, known), 0 * known)
    write_landmarks(files.truth.landmarks, landmarks)
    for level, (vertices, triangles) in meshes.items():
        write_stl(files.truth.mesh(level), vertices, triangles)


def _meta(data: Mapping[str, Any], result: RegistrationResult, failed: Mapping[str, str]) -> dict[str, Any]:
    return {
        "source": "rigid registration of the subject's own vertebrae",
        "inputs": {name: str(data[name]) for name in ("ap_image", "lat_image", "calibration")},
        "warnings": [*data["subject_notes"], *result.warnings],
        "missing_levels": [level for level in LEVELS if level in result.missing_levels or level in failed],
        "left_out": dict(failed),
        "loss": result.loss,
        "seconds": result.seconds,
        "world_from_ct": {
            level: (fit.world_from_vertebra @ data["subject"][level].ct_from_vertebra.inverse()).to_matrix()
            for level, fit in result.vertebrae.items()
            if level not in failed
        },
    }


def _of_meshes(folder: Path) -> dict[str, _Found]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected L1.stl to L5.stl")
    paths = {level: folder / f"{level}.stl" for level in LEVELS}
    meshes = {level: load_vertebra(path) for level, path in paths.items() if path.is_file()}
    units = {mesh.mm_per_unit for mesh in meshes.values()}
    if len(units) > 1:
        named = ", ".join(f"{level} {mesh.mm_per_unit:g}" for level, mesh in meshes.items())
        raise InputError(f"{folder}: the meshes are in different units (mm a unit: {named}), expected one")
    return {level: _Found(mesh.surface, str(paths[level]), mesh.notes) for level, mesh in meshes.items()}


def _of_labels(path: Path, label_values: Mapping[str, int] | None) -> dict[str, _Found]:
    from lumbar_ext.shape.sources.label_map import load_label_map
    from lumbar_ext.shape.sources.label_surface import load_label_surface

    values = checked_label_values(VERSE_LABELS if label_values is None else label_values)
    present = load_label_map(path).labels
    hint = "" if label_values else "; labels 20 to 24 are taken for L1 to L5 as in VerSe, --label_values says otherwise"
    found = {
        level: _Found(load_label_surface(path, label).surface, f"{path}: label {label}")
        for level, label in values.items()
        if label in present
    }
    for level, one in found.items():
        largest = float(np.ptp(one.surface.vertices_mm, axis=0).max())
        if not VERTEBRA_EXTENT_MM[0] <= largest <= VERTEBRA_EXTENT_MM[1]:
            low, high = VERTEBRA_EXTENT_MM
            raise InputError(
                f"{one.name} ({level}): its largest side is {largest:.0f} mm, expected a lumbar vertebra of {low:g}-{high:g} mm"
                f"{hint}"
            )
    _check_order(path, {level: one.surface.vertices_mm.mean(0) for level, one in found.items()}, hint)
    return found


def _check_order(path: Path, centres_mm: Mapping[str, np.ndarray], hint: str) -> None:
    """Neighbouring levels of one CT must lie a vertebra apart, the upper one above.

    Raises:
        InputError: if they do not.
    """
    for upper, lower in pairwise(LEVELS):
        if upper not in centres_mm or lower not in centres_mm:
            continue
        between = centres_mm[upper] - centres_mm[lower]
        low, high = _DISTANCE_OF_LEVELS_MM
        apart = float(np.linalg.norm(between))
        if between[2] <= 0 or not low <= apart <= high:
            raise InputError(
                f"{path}: {upper} lies {between[2]:.0f} mm above {lower} and {apart:.0f} mm from it, expected neighbouring "
                f"lumbar vertebrae {low:g}-{high:g} mm apart, the upper one above{hint}"
            )
