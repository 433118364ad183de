"""A camera as the compiled kernels read it."""

from __future__ import annotations

import numpy as np

from lumbar_ext.geometry import Camera


def world_pinhole(camera: Camera) -> np.ndarray:
    """Source, u row, v row, depth row (see `lumbar_ext.drr.rasteriser.project_vertices`), principal point, and how the
    source moves from a row to the next (zeros for a cone beam); [17].
    """
    distance_mm = abs(camera.source_distance_mm)
    toward = camera.normal * np.sign(camera.source_distance_mm)
    u_row, v_row = camera.u_axis / camera.pixel_spacing_mm[0], camera.v_axis / camera.pixel_spacing_mm[1]
    rows = camera.source_mm, u_row, v_row, toward / distance_mm
    return np.concatenate([*rows, camera.principal_point_px, camera.source_step_mm])
