"""Path length through closed triangle meshes, seen by a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr.rasteriser import accumulate_signed_depth, project_vertices
from lumbar_ext.geometry.camera import Camera
from lumbar_ext.mesh.surface import Surface


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: columns u0 .. u0 + columns - 1 and rows v0 .. v0 + rows - 1."""

    u0: int
    v0: int
    columns: int
    rows: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as an index of an image [rows, columns]."""
        return slice(self.v0, self.v0 + self.rows), slice(self.u0, self.u0 + self.columns)


class MeshProjector:
    """Renders path lengths of closed meshes for one camera.

    Args:
        camera: the view; arrays it returns are [rows, columns] of its size.

    Attributes:
        ray_length_mm: [rows, columns] float32 distance from the source to each pixel centre.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        distance = abs(camera.source_distance_mm)
        self._orientation = float(np.sign(camera.source_distance_mm))
        self._principal = camera.principal_point_px
        # Divided by the depth fraction, these rows give pixels: the source-detector distance cancels.
        self._u_row = camera.u_axis / camera.pixel_spacing_mm[0]
        self._v_row = camera.v_axis / camera.pixel_spacing_mm[1]
        self._depth_row = camera.normal * self._orientation / distance
        self._moves = camera.source_moves
        self.ray_length_mm = _ray_length_mm(camera)

    @property
    def full_window(self) -> Window:
        """The window of all pixels of the camera."""
        return Window(0, 0, *self.camera.size_px)

    def path_length(self, vertices_mm: np.ndarray, triangles: np.ndarray, window: Window | None = None) -> np.ndarray:
        """The length in mm of each pixel's ray inside a closed mesh.

        Overlapping meshes add up. Parts outside the image are clipped; a mesh wholly outside gives zeros.

        Args:
            vertices_mm: [V, 3] world mm.
            triangles: [M, 3] int32, counter-clockwise seen from outside; the mesh must be closed.
            window: the pixels to render, all by default.

        Returns:
            float32 [rows, columns] of the window, mm, exactly 0 outside the silhouette.

        Raises:
            ValueError: if a vertex is not finite or lies behind the X-ray source.
        """
        window = self.full_window if window is None else window
        depth_fraction = np.zeros((window.rows, window.columns), dtype=np.float32)
        uvw = self.project_with_inverse_depth(vertices_mm)
        accumulate_signed_depth(
            uvw, np.ascontiguousarray(triangles), self._orientation, window.u0, window.v0, depth_fraction
        )
        depth_fraction *= self.ray_length_mm[window.slices]
        return depth_fraction

    def project_with_inverse_depth(self, vertices_mm: np.ndarray) -> np.ndarray:
        """Columns, rows and inverse depth fractions [V, 3] of vertices [V, 3]; see `path_length` for what it raises."""
        vertices_mm = np.ascontiguousarray(vertices_mm, dtype=np.float64)
        uvw = np.empty_like(vertices_mm)
        smallest = project_vertices(
            vertices_mm,
            self.camera.source_mm,
            self._u_row,
            self._v_row,
            self._depth_row,
            *self._principal,
            self._moves,
            uvw,
        )
        if not smallest > 1e-6 or not np.isfinite(uvw).all():
            raise ValueError(
                "vertices_mm holds a vertex that is not finite or not in front of the X-ray source "
                f"(smallest depth {smallest:.3g} of the source-detector distance); "
                "expected a mesh between source and detector"
            )
        return uvw

    def window_of(self, vertices_mm: np.ndarray, margin_px: float) -> Window:
        """The smallest window inside the image that holds a mesh [V, 3] and a margin; see `path_length` for what it raises."""
        return self.window_around(self.project_with_inverse_depth(vertices_mm)[:, :2], margin_px)

    def window_around(self, uv_px: np.ndarray, margin_px: float) -> Window:
        """The smallest window inside the image that holds points uv [..., 2] and a margin; empty if all lie outside."""
        points = np.asarray(uv_px).reshape(-1, 2)
        size = np.array(self.camera.size_px)
        low = np.clip(np.floor(points.min(0) - margin_px), 0, size).astype(int)
        high = np.clip(np.ceil(points.max(0) + margin_px) + 1, low, size).astype(int)
        return Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def path_length(vertices_mm: np.ndarray, triangles: np.ndarray, camera: Camera) -> np.ndarray:
    """`MeshProjector(camera).path_length(vertices_mm, triangles)`, for a single picture."""
    return MeshProjector(camera).path_length(vertices_mm, triangles)


def add_path_length(
    total: np.ndarray,
    projector: MeshProjector,
    surface: Surface,
    *,
    also_to: np.ndarray | None = None,
    weight: float = 1.0,
) -> None:
    """Adds a mesh's path length to an image, rendering only the window it covers.

    Args:
        total: [rows, columns] of the projector's camera, changed in place.
        projector: the view.
        surface: the mesh, world frame.
        also_to: a second image that gets `weight` times the path length.
        weight: see `also_to`.
    """
    # What holds the images of the bounding box's corners holds the mesh's.
    window = projector.window_of(surface.box_corners_mm, 1.0)
    if window.columns == 0 or window.rows == 0:
        return
    path = projector.path_length(surface.vertices_mm, surface.triangles, window)
    total[window.slices] += path
    if also_to is not None:
        also_to[window.slices] += np.float32(weight) * path


def _ray_length_mm(camera: Camera) -> np.ndarray:
    """Distance in mm from the source to each pixel centre, float32 [rows, columns]."""
    columns, rows = camera.size_px
    u_mm = (np.arange(columns) - camera.principal_point_px[0]) * camera.pixel_spacing_mm[0]
    v_mm = (np.arange(rows) - camera.principal_point_px[1]) * camera.pixel_spacing_mm[1]
    if camera.source_moves:
        v_mm = np.zeros(rows)
    return np.sqrt(u_mm**2 + v_mm[:, None] ** 2 + camera.source_distance_mm**2).astype(np.float32)
