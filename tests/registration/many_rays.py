"""What a pixel sees on average, from many rays of the projector: independent of the kernel that the loss uses."""

import numpy as np

from lumbar_ext.drr import path_length


def mean_path_lengths(meshes_mm, triangles, camera, n=4):
    """Path lengths [rows, columns] of meshes together, each the mean of n x n rays over the area of a pixel."""
    columns, rows = camera.size_px
    fine = camera.resampled(
        size_px=(n * columns, n * rows),
        pixel_spacing_mm=tuple(spacing / n for spacing in camera.pixel_spacing_mm),
        centre_uv_px=(np.array(camera.size_px) - 1) / 2,
    )
    total = sum(path_length(vertices, triangles, fine) for vertices in meshes_mm)
    return total.reshape(rows, n, columns, n).mean((1, 3))
