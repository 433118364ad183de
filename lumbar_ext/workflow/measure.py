"""The stage that measures a registration, and the files it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform
from torch import nn

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.geometry.axes import lps_from_world
from lumbar_ext.io.atomic import write_bytes, write_text
from lumbar_ext.io.volume import Volume
from lumbar_ext.landmarks.hip_axis import locate_hips
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks
from lumbar_ext.measurements.document import measurements_document, write_measurements, write_measurements_csv
from lumbar_ext.measurements.uncertainty.assessment import Assessment, assess_registration
from lumbar_ext.measurements.values.hidden_endplates import covered_endplates
from lumbar_ext.mesh.files import write_ply
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.report.content import report_content
from lumbar_ext.report.html import report_html
from lumbar_ext.report.pdf import report_pdf
from lumbar_ext.report.pictures import build_pictures
from lumbar_ext.report.viewer_files import write_gltf_scene, write_label_map
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.workflow.outputs import final_geometry, measured_anchors, missing_levels
from lumbar_ext.workflow.progress import Progress

STAGE = "measure the spine"


class MeasureSpine(Transform):
    """Measures what was registered.

    Args:
        shape_model: the shape model, whose triangles the meshes have.
        progress: stages and their seconds.
        hidden_endplates: endplates that metal covers, such as "L4 inferior".

    Raises:
        InputError: for a name that is none of an endplate.
    """

    def __init__(self, shape_model: nn.Module, progress: Progress, hidden_endplates: Sequence[str] = ()) -> None:
        self.triangles = shape_model.triangles
        self.progress = progress
        self.hidden = covered_endplates(hidden_endplates)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `assessment`."""
        with self.progress.stage(STAGE):
            observed, result = data["observed"], data["pred"]
            missing, anchors = missing_levels(observed, result), measured_anchors(observed, result)
            triangles = self.triangles.cpu().numpy()
            unsure, marked = data["study"].uncertainty, data.get("marked_points") or {view: {} for view in VIEWS}
            hips = locate_hips(final_geometry(data["study"].geometry, result), marked, anchors.sacrum)
            assessment = assess_registration(
                result,
                triangles,
                data["landmarks"],
                missing=missing,
                anchors=anchors,
                size_sd=None if unsure is None else unsure.size_sd,
                hips=hips,
                hidden=self.hidden,
            )
            return {**data, "assessment": assessment}


@dataclass(frozen=True)
class ReportOptions:
    """Which files beside the usual ones.

    Args:
        label_map: NIfTI label map of 1 mm.
        pdf: `report.pdf`.
    """

    label_map: bool = False
    pdf: bool = True


@dataclass(frozen=True)
class MeasuredReconstruction:
    """What the files of a measurement are made from; landmarks in the pixels of the radiographs.

    `doubts` are sentences for the report beside those about the study and the vertebrae, `volume` the CT numbers that
    `lumbar-ext volume` made of the same radiographs, `study_name` what tables call the study.
    """

    study: BiplanarStudy
    landmarks: StudyLandmarks
    result: RegistrationResult
    assessment: Assessment
    triangles: np.ndarray
    doubts: tuple[str, ...] = ()
    volume: Volume | None = None
    study_name: str = ""


def write_measurement_files(
    folder: Path, measured: MeasuredReconstruction, options: ReportOptions | None = None
) -> None:
    """Writes `measurements.json` and `.csv`, PLY meshes (LPS), the glTF scene and, on request, the label map (RAS).

    Args:
        folder: an existing folder.
        measured: what was measured.
        options: what to write.
    """
    fits, assessment, triangles = measured.result.vertebrae, measured.assessment, measured.triangles
    poses = {level: fit.world_from_vertebra for level, fit in fits.items()}
    write_measurements(folder / "measurements.json", measurements_document(assessment, poses))
    names = measured.study.patient_id or "", measured.study_name
    write_measurements_csv(folder / "measurements.csv", assessment, *names)
    meshes = {level: fit.vertices_mm for level, fit in fits.items()}
    for level, vertices in meshes.items():
        spread = assessment.vertex_sd_mm.get(level)
        write_ply(
            folder / f"{level}.ply", lps_from_world(vertices), triangles, {} if spread is None else {"sd_mm": spread}
        )
    write_gltf_scene(folder / "scene.glb", meshes, triangles, assessment.sacral_rim_mm, assessment.vertex_sd_mm)
    if (options or ReportOptions()).label_map:
        write_label_map(folder / "labels.nii.gz", meshes, triangles)


def write_report(
    folder: Path,
    measured: MeasuredReconstruction,
    run: Mapping[str, Any],
    seconds: Mapping[str, float],
    options: ReportOptions | None = None,
) -> None:
    """Writes `report.html` and `report.pdf`; outlines are drawn in the cameras that the registration ended with.

    Args:
        folder: an existing folder.
        measured: what was measured.
        run: the content of `run.json`.
        seconds: of the stages so far.
        options: what to write.
    """
    assessment, result = measured.assessment, measured.result
    content = report_content(measured.study, assessment, result.missing_levels, run, seconds, measured.doubts)
    meshes = {level: fit.vertices_mm for level, fit in result.vertebrae.items()}
    pictures = build_pictures(
        replace(measured.study, geometry=final_geometry(measured.study.geometry, result)),
        measured.landmarks,
        meshes,
        measured.triangles,
        assessment.vertex_sd_mm,
        assessment.lines,
        assessment.sacral_rim_mm,
        measured.volume,
        {view: {level: fit.seen_mm(view) for level, fit in result.vertebrae.items()} for view in VIEWS},
    )
    write_text(folder / "report.html", report_html(content, pictures))
    if (options or ReportOptions()).pdf:
        write_bytes(folder / "report.pdf", report_pdf(content, pictures))
