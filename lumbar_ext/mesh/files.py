"""Surface meshes on disk: binary STL out, any common format in. Coordinates are mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_bytes

_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_stl(path: str | Path, vertices_mm: np.ndarray, triangles: np.ndarray) -> None:
    """Writes a binary STL file atomically.

    STL stores single precision: 0.00002 mm at 200 mm from the origin.

    Args:
        path: the file to write.
        vertices_mm: [V, 3] in mm.
        triangles: [M, 3] indices into the vertices, outward by the right-hand rule.

    Raises:
        InputError: for a wrong shape, an index out of range, no triangle or a value that is not finite.
    """
    vertices_mm, triangles = _checked(path, vertices_mm, triangles)
    records = np.zeros(len(triangles), dtype=_STL_TRIANGLE)
    corners = vertices_mm[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    records["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    records["corners"] = corners
    header = b"lumbar_ext mesh, mm".ljust(80, b" ") + np.uint32(len(records)).tobytes()
    write_bytes(path, header + records.tobytes())


def read_mesh(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads a mesh file (STL, PLY, OBJ, OFF) and merges vertices of equal position.

    Returns:
        vertices_mm [V, 3] float64 and triangles [M, 3] int32.

    Raises:
        InputError: if the file is missing, is not a mesh, or holds no triangle.
    """
    import trimesh

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such mesh file")
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a mesh ({error}); expected STL, PLY, OBJ or OFF") from error
    vertices = np.asarray(mesh.vertices, dtype=np.float64).reshape(-1, 3)
    merged, index = np.unique(vertices, axis=0, return_inverse=True)
    triangles = index.reshape(-1)[np.asarray(mesh.faces, dtype=np.int64).reshape(-1, 3)]
    return _checked(path, merged, triangles)


def _checked(path: str | Path, vertices_mm: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices_mm = np.asarray(vertices_mm, dtype=np.float64)
    triangles = np.asarray(triangles)
    if vertices_mm.ndim != 2 or vertices_mm.shape[1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
        raise InputError(
            f"{path}: expected vertices [V, 3] and triangles [M, 3], found {vertices_mm.shape}, {triangles.shape}"
        )
    if len(triangles) == 0:
        raise InputError(f"{path}: the mesh has no triangle")
    if not np.isfinite(vertices_mm).all():
        raise InputError(
            f"{path}: the mesh has {(~np.isfinite(vertices_mm)).any(axis=1).sum()} vertices that are not finite"
        )
    if triangles.min() < 0 or triangles.max() >= len(vertices_mm):
        raise InputError(f"{path}: a triangle names vertex {triangles.max()}, expected 0 to {len(vertices_mm) - 1}")
    return vertices_mm, triangles.astype(np.int32)
