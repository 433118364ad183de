"""Makes the pictures of a report from what a reconstruction left in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.io.volume import Volume
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks
from lumbar_ext.measurements.marks.sacral_marks import sacral_disc
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine
from lumbar_ext.mesh.rendering import ColouredMesh, in_one_colour, render
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.report.colours import uncertainty_scale_mm, viridis
from lumbar_ext.report.html import Pictures
from lumbar_ext.report.overlay import LEVEL_COLOURS
from lumbar_ext.report.radiograph_figure import radiograph_figure
from lumbar_ext.report.volume_slices import slices_with_outlines
from lumbar_ext.studies.biplanar_study import BiplanarStudy

_STILL_PX = (420, 620)  # columns and rows
_FROM_FRONT_LEFT = (1.0, 1.0, 0.3)  # directions from the spine to the eye, world axes
_FROM_LEFT, _UP = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)  # world axes


def build_pictures(
    study: BiplanarStudy,
    landmarks: StudyLandmarks,
    meshes_mm: Mapping[str, np.ndarray],
    triangles: np.ndarray,
    vertex_sd_mm: Mapping[str, np.ndarray],
    lines: Mapping[str, Sequence[EndplateLine]] | None = None,
    sacral_rim_mm: np.ndarray | None = None,
    volume: Volume | None = None,
    seen_mm: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Pictures:
    """All pictures of a report.

    Args:
        study: the radiographs.
        landmarks: in their pixels.
        meshes_mm: by level, vertices [V, 3] in world mm; at least one.
        triangles: [M, 3], shared by all meshes.
        vertex_sd_mm: by level, [V]; may be empty.
        lines: by view, endplates and others to draw on the film.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm; None where it is unknown.
        volume: CT numbers made of the same radiographs, of which slices are shown; None for none.
        seen_mm: by view and level, the vertices as they stood when the view was exposed; `meshes_mm` by default.
    """
    lines = lines or {}
    figures = tuple(
        radiograph_figure(
            view,
            study[view].pixels,
            study.geometry[view],
            meshes_mm if seen_mm is None else seen_mm[view],
            triangles,
            landmarks,
            lines.get(view, ()),
            sacral_rim_mm,
        )
        for view in VIEWS
    )
    scale = uncertainty_scale_mm(vertex_sd_mm)
    by_level = [
        in_one_colour(Surface(vertices, triangles), LEVEL_COLOURS[level]) for level, vertices in meshes_mm.items()
    ]
    if sacral_rim_mm is not None:
        by_level.append(in_one_colour(Surface(*sacral_disc(sacral_rim_mm)), LEVEL_COLOURS["S1"]))
    renderings = [("From the front left", render(by_level, _FROM_FRONT_LEFT, _UP, _STILL_PX))]
    if vertex_sd_mm:
        by_sd = [ColouredMesh(meshes_mm[level], triangles, viridis(own, scale)) for level, own in vertex_sd_mm.items()]
        picture = render(by_sd, _FROM_LEFT, _UP, _STILL_PX)
        renderings.append((f"From the left, coloured by uncertainty from 0 (dark) to {scale:.1f} mm (bright)", picture))
    else:
        renderings.append(("From the left", render(by_level, _FROM_LEFT, _UP, _STILL_PX)))
    surfaces = {level: Surface(own, triangles) for level, own in meshes_mm.items()}
    return Pictures(
        figures,
        tuple(renderings),
        dict(meshes_mm),
        triangles,
        dict(vertex_sd_mm),
        scale,
        sacral_rim_mm,
        () if volume is None else slices_with_outlines(volume, surfaces),
    )
