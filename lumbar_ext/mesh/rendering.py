"""Shaded pictures of meshes: an orthographic z-buffer with one light at the viewer; needs no display and no graphics card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lumbar_ext.compiled import compiled
from lumbar_ext.mesh.surface import Surface

_OVERSAMPLING = 2  # along each axis: smooth edges
_MARGIN = 0.04  # of the picture's size around the meshes
_AMBIENT = 0.35  # share of light that comes from everywhere
_TITLE_GREY = (90, 90, 90)  # red, green, blue


@dataclass(frozen=True)
class ColouredMesh:
    """A mesh to draw.

    Args:
        vertices_mm: [V, 3].
        triangles: [M, 3], counter-clockwise seen from outside.
        colours: [V, 3] in 0..255.
    """

    vertices_mm: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Framing:
    """What a picture shows, where several are to be compared.

    Args:
        centre_mm: [3] in its middle.
        px_per_mm: its scale.
    """

    centre_mm: tuple[float, float, float]
    px_per_mm: float


def in_one_colour(surface: Surface, colour: tuple[float, float, float]) -> ColouredMesh:
    """A surface in a colour, 0..255."""
    return ColouredMesh(surface.vertices_mm, surface.triangles, np.broadcast_to(colour, surface.vertices_mm.shape))


def render(
    meshes: Sequence[ColouredMesh],
    towards: Sequence[float],
    up: Sequence[float],
    size_px: tuple[int, int],
    framing: Framing | None = None,
) -> np.ndarray:
    """A picture on white, uint8 [rows, columns, 3].

    Args:
        meshes: all in one frame; at least one.
        towards: [3] direction from the meshes to the viewer.
        up: [3] direction that points up in the picture.
        size_px: (columns, rows).
        framing: what of the meshes' frame it shows; by default they fill it but for a margin.
    """
    view = _view_axes(np.asarray(towards, dtype=np.float64), np.asarray(up, dtype=np.float64))
    columns, rows = (n * _OVERSAMPLING for n in size_px)
    placed = [mesh.vertices_mm @ view.T for mesh in meshes]
    if framing is None:
        low, high = (f([f(points[:, :2], axis=0) for points in placed], axis=0) for f in (np.min, np.max))
        scale = min(np.array([columns, rows]) * (1 - 2 * _MARGIN) / np.maximum(high - low, 1e-9))
        middle = (low + high) / 2
    else:
        scale, middle = framing.px_per_mm * _OVERSAMPLING, (view @ framing.centre_mm)[:2]
    offset = np.array([columns, rows]) / 2 - scale * np.array([1, -1]) * middle
    picture = np.full((rows, columns, 3), 255.0)
    depth = np.full((rows, columns), -np.inf)
    for mesh, points in zip(meshes, placed, strict=True):
        uvz = np.column_stack([points[:, :2] * scale * [1, -1] + offset, points[:, 2]])
        shades = _AMBIENT + (1 - _AMBIENT) * np.clip(_normals(points, mesh.triangles)[:, 2], 0, 1)
        lit = np.asarray(mesh.colours, dtype=np.float64) * shades[:, None]
        _paint(uvz, np.ascontiguousarray(mesh.triangles), lit, picture, depth)
    blocks = picture.reshape(size_px[1], _OVERSAMPLING, size_px[0], _OVERSAMPLING, 3)
    return blocks.mean((1, 3)).round().astype(np.uint8)


def tiled(rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> Image.Image:
    """Pictures uint8 [h, w, 3] of one size in rows of equal length, each under its title."""
    height, width = rows[0][0][1].shape[:2]
    sheet = Image.new("RGB", (width * len(rows[0]), height * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for i, row in enumerate(rows):
        for j, (title, picture) in enumerate(row):
            sheet.paste(Image.fromarray(picture), (j * width, i * height))
            draw.text((j * width + 6, i * height + 4), title, fill=_TITLE_GREY, font=font)
    return sheet


def _view_axes(towards: np.ndarray, up: np.ndarray) -> np.ndarray:
    """[3, 3] rows: right, up and towards the viewer."""
    out = towards / np.linalg.norm(towards)
    right = np.cross(up, out)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(out, right), out])


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(faces[:, axis], 3), len(points)) for axis in range(3)], axis=1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


@compiled()
def _paint(uvz, triangles, colours, picture, depth):
    """Paints triangles into picture [rows, columns, 3] where they are nearer than depth [rows, columns]."""
    rows, columns = depth.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = uvz[i, 0], uvz[i, 1], uvz[j, 0], uvz[j, 1], uvz[k, 0], uvz[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        # Rows grow downwards, so that triangles that face the viewer turn clockwise.
        if area >= -1e-12:
            continue
        for v in range(max(int(np.ceil(min(y0, y1, y2))), 0), min(int(max(y0, y1, y2)), rows - 1) + 1):
            for u in range(max(int(np.ceil(min(x0, x1, x2))), 0), min(int(max(x0, x1, x2)), columns - 1) + 1):
                w1 = ((u - x0) * (y2 - y0) - (x2 - x0) * (v - y0)) / area
                w2 = ((x1 - x0) * (v - y0) - (u - x0) * (y1 - y0)) / area
                w0 = 1 - w1 - w2
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                z = w0 * uvz[i, 2] + w1 * uvz[j, 2] + w2 * uvz[k, 2]
                if z > depth[v, u]:
                    depth[v, u] = z
                    for c in range(3):
                        picture[v, u, c] = w0 * colours[i, c] + w1 * colours[j, c] + w2 * colours[k, c]
