"""Surface meshes on disk: binary STL out, any common format in. Coordinates are mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_bytes
from lumbar_ext.io.input_file import MAX_MESH_BYTES, one_line, require_file

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
    vertices, triangles = read_stored_mesh(path)
    merged, index = np.unique(vertices, axis=0, return_inverse=True)
    return _checked(path, merged, index.reshape(-1)[triangles])


def read_stored_mesh(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The triangles of a mesh file (STL, PLY, OBJ, OFF) as they are stored; vertices may not be finite.

    Returns:
        vertices [V, 3] float64 in the file's unit and triangles [M, 3] int64.

    Raises:
        InputError: if the file is missing, too large, or is not a mesh of triangles that name its vertices.
    """
    path = require_file(path, "a mesh file", MAX_MESH_BYTES)
    try:
        corners = _binary_stl_corners(path)
        if corners is not None:
            return corners.reshape(-1, 3).astype(np.float64), np.arange(3 * len(corners)).reshape(-1, 3)
        vertices, triangles = _loaded(path)
    except InputError:
        raise
    except Exception as error:  # trimesh and what it calls have errors of their own
        raise InputError(
            f"{path}: cannot be read as a mesh ({one_line(error)}); expected STL, PLY, OBJ or OFF"
        ) from error
    if len(triangles) and not (triangles.min() >= 0 and triangles.max() < len(vertices)):
        raise InputError(f"{path}: a triangle names vertex {triangles.max()}, expected 0 to {len(vertices) - 1}")
    return vertices, triangles


def _loaded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    with path.open("rb") as stream:
        mesh = trimesh.load(stream, file_type=path.suffix.lower().lstrip("."), force="mesh", process=False)
    vertices = np.asarray(mesh.vertices, dtype=np.float64).reshape(-1, 3)
    return vertices, np.asarray(mesh.faces, dtype=np.int64).reshape(-1, 3)


def _binary_stl_corners(path: Path) -> np.ndarray | None:
    """Corners [M, 3, 3] of a binary STL file, None for other files.

    A file is text if its triangles do not fill it and it begins as a text: some writers begin binary files with
    "solid", too.
    """
    if path.suffix.lower() != ".stl":
        return None
    content = path.read_bytes()
    count = int.from_bytes(content[80:84], "little") if len(content) >= 84 else 0
    size = 84 + _STL_TRIANGLE.itemsize * count
    if len(content) != size:
        if content.lstrip()[:5].lower() == b"solid" and b"\0" not in content[:1024]:
            return None
        raise InputError(
            f"{path}: {len(content)} bytes, expected {size} for the {count} triangles of its header; it is cut short, "
            "damaged, or has something after its triangles: save it anew"
        )
    return np.frombuffer(content, _STL_TRIANGLE, count, 84)["corners"]


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
