"""Labels of a user's own studies: meshes from CT are put where both radiographs show them, and written as a study folder.

Stages of the config `rigid.json`, between those of `workflow.stages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform
from torch import nn

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.drr.bone_images import decomposition
from lumbar_ext.errors import InputError
from lumbar_ext.io import write_calibration
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.mesh.solid import Surface
from lumbar_ext.mesh.surface import Surface, load_surface
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.registration.own_meshes import SubjectVertebra, register_rigidly
from lumbar_ext.registration.register import RegistrationInput
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.shape.model.alignment import align_from_starts, axis_starts
from lumbar_ext.shape.model.surface_fit import LinearModel, SurfaceFit, fit_to_surface
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.workflow.outputs import write_json
from lumbar_ext.workflow.stages import STAGES, Register, prepare_registration

_FIT_MODES = 20


class ReadSubject(Transform):
    """Reads the subject's vertebrae and finds their landmarks by fitting the shape model to each.

    Args:
        shape_model: the shape model.
        mesh_dir: folder with L1.stl to L5.stl, or some of them, mm, all in one frame or not; empty for none.
        label_map: CT label map (NIfTI) with the labels of `anatomy.VERSE_LABELS`, in place of meshes.

    Raises:
        InputError: if neither or both are given, or no vertebra is found.
    """

    def __init__(self, shape_model: nn.Module, mesh_dir: str = "", label_map: str = "") -> None:
        if bool(mesh_dir) == bool(label_map):
            raise InputError("give either --mesh_dir or --label_map: the subject's own vertebrae")
        self._model = shape_model
        self._surfaces = _surfaces_of_meshes(Path(mesh_dir)) if mesh_dir else _surfaces_of_labels(Path(label_map))
        if not self._surfaces:
            raise InputError(f"{mesh_dir or label_map}: holds none of {', '.join(LEVELS)}")
        self._vertebrae: dict[str, SubjectVertebra] = {}

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `subject`, the vertebrae by level."""
        for level, surface in self._surfaces.items():
            if level not in self._vertebrae:
                self._vertebrae[level] = subject_vertebra(self._model, level, surface)
        return {**data, "subject": dict(self._vertebrae)}


def subject_vertebra(shape_model: nn.Module, level: str, surface: Surface) -> SubjectVertebra:
    """A vertebra with the landmarks of the closest instance of the shape model."""
    index = LEVELS.index(level)
    deviations = shape_model.standard_deviations[index, :_FIT_MODES].cpu().numpy()
    modes = shape_model.modes[index, :_FIT_MODES].cpu().float().numpy() * deviations[:, None, None]
    model = LinearModel(shape_model.mean[index].cpu().numpy(), modes, shape_model.triangles.cpu().numpy())
    alignment = align_from_starts(Surface(model.mean_mm, model.triangles), surface, axis_starts())
    start = SurfaceFit(alignment.target_from_source.apply(model.mean_mm), np.zeros(len(modes)))
    fitted = fit_to_surface(model, surface, start)
    vertices, weights = shape_model.landmark_vertices.cpu().numpy(), shape_model.landmark_weights.cpu().numpy()
    landmarks = (fitted.vertices_mm[vertices] * weights[..., None]).sum(1)
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
    """Writes a study folder as the network bundle trains from: radiographs, calibration and `truth/`."""

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the files; adds nothing."""
        study, result, subject = data["study"], data["pred"], data["subject"]
        meshes, points = {}, np.full((len(LEVELS), 7, 3), np.nan)
        for level, fit in result.vertebrae.items():
            meshes[level] = fit.vertices_mm, subject[level].triangles
            landmarks = fit.shape.landmarks(np.zeros(0))
            points[LEVELS.index(level)] = fit.world_from_vertebra.apply(landmarks)
        with staged_output(data["output_dir"]) as folder:
            write_labels(folder, study, meshes, points)
            write_json(folder / "truth" / "meta.json", _meta(data, result))
        return dict(data)


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
    truth = folder / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    solids = tuple(Surface(vertices, triangles) for vertices, triangles in meshes.values())
    for view in VIEWS:
        camera = study.geometry[view]
        write_png(folder / f"{view}.png", _as_uint16(study[view].pixels))
        write_nifti_image(
            truth / f"decomposition_{view}.nii.gz", decomposition(solids, camera), camera.pixel_spacing_mm
        )
    write_calibration(study.geometry, folder / "calibration.json")
    pixels = {view: study.geometry[view].project(landmarks_mm) for view in VIEWS}
    known = np.where(np.isfinite(landmarks_mm).all(-1), 1.0, np.nan)
    write_landmarks(
        truth / "landmarks.json", StudyLandmarks(landmarks_mm, pixels["ap"], pixels["lat"], known, known, 0 * known)
    )
    for level, (vertices, triangles) in meshes.items():
        write_stl(truth / f"{level}.stl", vertices, triangles)


def _meta(data: Mapping[str, Any], result: RegistrationResult) -> dict[str, Any]:
    return {
        "source": "rigid registration of the subject's own vertebrae",
        "inputs": {name: str(data[name]) for name in ("ap_image", "lat_image", "calibration")},
        "warnings": list(result.warnings),
        "missing_levels": list(result.missing_levels),
        "loss": result.loss,
        "seconds": result.seconds,
        "world_from_ct": {
            level: (fit.world_from_vertebra @ data["subject"][level].ct_from_vertebra.inverse()).to_matrix()
            for level, fit in result.vertebrae.items()
        },
    }


def _as_uint16(pixels: np.ndarray) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    return np.round((pixels - low) / max(high - low, 1e-12) * 65535).astype(np.uint16)


def _surfaces_of_meshes(folder: Path) -> dict[str, Surface]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected L1.stl to L5.stl")
    paths = {level: folder / f"{level}.stl" for level in LEVELS}
    return {level: load_surface(path) for level, path in paths.items() if path.is_file()}


def _surfaces_of_labels(path: Path) -> dict[str, Surface]:
    from lumbar_ext.shape.sources.label_map import load_label_map
    from lumbar_ext.shape.sources.label_surface import load_label_surface

    present = load_label_map(path).labels
    return {level: load_label_surface(path, label).surface for level, label in VERSE_LABELS.items() if label in present}
