"""A radiograph with its reconstruction as a figure: a grey picture, outlines as vector paths, landmarks."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lumbar_ext.drr import MeshProjector
from lumbar_ext.geometry import Camera
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine
from lumbar_ext.report.content import landmark_marks
from lumbar_ext.report.film_marks import FilmMarks, film_marks
from lumbar_ext.report.outline import mask_outlines
from lumbar_ext.report.overlay import stretched_radiograph

_LONG_SIDE_PX = 1024  # of the picture
_JPEG_QUALITY = 85  # blocks cannot be seen beside film grain; a view has about 100 kB


@dataclass(frozen=True)
class RadiographFigure:
    """A figure in the radiograph's own orientation.

    Args:
        view: "ap" or "lat".
        size_px: (columns, rows) of the picture.
        jpeg: the picture.
        outlines: by level, polygons [N, 2] of (u, v) in the picture.
        landmarks: level, name, u, v in the picture, confidence.
        marks: sides, scale and lines, in the picture.
    """

    view: str
    size_px: tuple[int, int]
    jpeg: bytes
    outlines: dict[str, list[np.ndarray]]
    landmarks: tuple[dict[str, Any], ...]
    marks: FilmMarks

    @property
    def data_uri(self) -> str:
        """The picture as a `data:` URI, so that an HTML page needs no other file."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()

    @property
    def paths(self) -> dict[str, str]:
        """By level, the outlines as an SVG path."""
        return {level: " ".join(_svg_path(loop) for loop in loops) for level, loops in self.outlines.items()}

    @property
    def label_places(self) -> dict[str, tuple[float, float]]:
        """By level, where its name stands in the picture: beside the spine, at the level of its outline's middle."""
        middles = {level: np.concatenate(loops).mean(0) for level, loops in self.outlines.items() if loops}
        if not middles:
            return {}
        along_columns, along_rows = np.ptp(list(middles.values()), axis=0)
        columns, rows = self.size_px
        if along_rows >= along_columns:
            return {level: (columns - 30.0, float(v) + 8) for level, (_, v) in middles.items()}
        return {level: (float(u), rows - 20.0) for level, (u, _) in middles.items()}


def radiograph_figure(
    view: str,
    radiograph: np.ndarray,
    camera: Camera,
    meshes_mm: Mapping[str, np.ndarray],
    triangles: np.ndarray,
    landmarks: StudyLandmarks,
    lines: Sequence[EndplateLine] = (),
    sacral_rim_mm: np.ndarray | None = None,
) -> RadiographFigure:
    """Draws a view.

    Args:
        view: "ap" or "lat".
        radiograph: [rows, columns], bone bright.
        camera: of `radiograph`.
        meshes_mm: by level, vertices [V, 3] in world mm; at least one.
        triangles: [M, 3], shared by all meshes.
        landmarks: of the study, in pixels of `radiograph`.
        lines: endplates and others to draw.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm, drawn as the outline of "S1".
    """
    scale = _LONG_SIDE_PX / max(camera.size_px)
    size_px = tuple(max(1, round(n * scale)) for n in camera.size_px)
    shares = np.array(size_px) / np.array(camera.size_px)
    spacing_mm = tuple(np.array(camera.pixel_spacing_mm) / shares)
    small = camera.resampled(size_px=size_px, pixel_spacing_mm=spacing_mm)
    projector = MeshProjector(small)
    outlines = {level: _outlines(projector, vertices, triangles) for level, vertices in meshes_mm.items()}
    if sacral_rim_mm is not None:
        outlines["S1"] = [small.project(sacral_rim_mm)]
    # The centre of the first pixel is (0, 0) in both grids.
    marks = tuple(
        {**mark, "u": (mark["u"] + 0.5) * shares[0] - 0.5, "v": (mark["v"] + 0.5) * shares[1] - 0.5}
        for mark in landmark_marks(landmarks, view)
    )
    picture = io.BytesIO()
    grey = stretched_radiograph(radiograph, size_px)
    Image.fromarray(grey.round().astype(np.uint8)).save(picture, "JPEG", quality=_JPEG_QUALITY)
    return RadiographFigure(view, size_px, picture.getvalue(), outlines, marks, film_marks(small, meshes_mm, lines))


def _outlines(projector: MeshProjector, vertices_mm: np.ndarray, triangles: np.ndarray) -> list[np.ndarray]:
    """The borders of a mesh's silhouette [N, 2] (u, v) in the picture."""
    window = projector.window_of(vertices_mm, 1.0)
    silhouette = projector.path_length(vertices_mm, triangles, window) > 0
    return [loop + np.array([window.u0, window.v0]) for loop in mask_outlines(silhouette)]


def _svg_path(loop: np.ndarray) -> str:
    """A closed path; picture coordinates of SVG count from the corner of the first pixel."""
    return "M" + "L".join(f"{u + 0.5:.1f},{v + 0.5:.1f}" for u, v in loop[::2]) + "Z"
