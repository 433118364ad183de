"""Meshes on disk: binary STL and PLY out, any common format in. Coordinates are mm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_bytes
from lumbar_ext.io.input_file import MAX_MESH_BYTES, one_line, require_file, silenced
from lumbar_ext.mesh.surface import Surface, clean_surface

MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
"""Length units a mesh file may be written in."""

_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


WORLD_AXES = "world of the calibration: X front, Y left, Z up"
LPS_AXES = "LPS: x left, y back, z up"
"""What the first 80 bytes of an STL file say of its coordinates: the format itself names neither unit nor axes."""


def write_stl(path: str | Path, vertices_mm: np.ndarray, triangles: np.ndarray, axes: str = WORLD_AXES) -> None:
    """Writes a binary STL file atomically.

    STL stores single precision: 0.00002 mm at 200 mm from the origin.

    Args:
        path: the file to write.
        vertices_mm: [V, 3] in mm.
        triangles: [M, 3] indices into the vertices, outward by the right-hand rule.
        axes: what the coordinates are, for the file's header.

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
    header = f"lumbar_ext mesh, mm, {axes}".encode().ljust(80)[:80] + np.uint32(len(records)).tobytes()
    write_bytes(path, header + records.tobytes())


def write_ply(
    path: str | Path, vertices_mm: np.ndarray, triangles: np.ndarray, scalars: Mapping[str, np.ndarray]
) -> None:
    """Writes a binary PLY file atomically.

    Args:
        path: the file.
        vertices_mm: [V, 3] mm; viewers take them for LPS.
        triangles: [M, 3].
        scalars: by property name, [V] values.

    Raises:
        InputError: if a scalar has not one value a vertex.
    """
    for name, values in scalars.items():
        if np.shape(values) != (len(vertices_mm),):
            raise InputError(f"{path}: scalar {name} has the shape {np.shape(values)}, expected ({len(vertices_mm)},)")
    names = ["x", "y", "z", *scalars]
    rows = np.zeros(len(vertices_mm), dtype=[(name, "<f4") for name in names])
    for name, values in zip(names, [*np.asarray(vertices_mm).T, *scalars.values()], strict=True):
        rows[name] = values
    faces = np.zeros(len(triangles), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment lumbar_ext mesh, mm, LPS: x to the person's left, y to the back, z up",
        f"element vertex {len(rows)}",
        *(f"property float {name}" for name in names),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    write_bytes(path, "\n".join(header).encode() + rows.tobytes() + faces.tobytes())


def read_mesh(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads a mesh file and merges vertices of equal position.

    Returns:
        vertices_mm [V, 3] float64 and triangles [M, 3] int32.

    Raises:
        InputError: as `read_stored_mesh` does, and for values that are not finite or an index out of range.
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
    with path.open("rb") as stream, silenced("trimesh.util"):
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
            if not content.rstrip().splitlines()[-1].lstrip().lower().startswith(b"endsolid"):
                raise InputError(f"{path}: cut short: the last line of its text is not endsolid")
            return None
        raise InputError(
            f"{path}: {len(content)} bytes, expected {size} for the {count} triangles of its header; it is cut short, "
            "damaged, or has something after its triangles: save it anew"
        )
    return np.frombuffer(content, _STL_TRIANGLE, count, 84)["corners"]


def load_surface(path: str | Path, unit: str = "mm", component: int | None = None) -> Surface:
    """Reads a mesh file and makes it one clean closed component.

    Args:
        path: STL, PLY, OBJ or OFF file, or a `*_vertices.csv` (mm) with its `*_faces.csv` (1-based) beside it.
        unit: "mm", "cm", "m" or "um".
        component: for files that hold several bones: which component, counted from the highest mean z down; the largest
            component when omitted.

    Returns:
        The cleaned surface in mm with outward normals.

    Raises:
        InputError: if the file is missing, empty, in an unknown unit, or lacks the component.
    """
    path = Path(path)
    if unit not in MM_PER_UNIT:
        raise InputError(f"{path}: unit {unit!r} is unknown, expected one of {', '.join(MM_PER_UNIT)}")
    mesh = read_triangle_soup(path)
    if not np.isfinite(mesh.vertices).all():
        raise InputError(f"{path}: holds vertices that are not finite numbers")
    surface = Surface(mesh.vertices, mesh.faces)
    return clean_surface(
        surface.with_vertices(surface.vertices_mm * MM_PER_UNIT[unit]), component=component, name=str(path)
    )


def read_triangle_soup(path: str | Path) -> trimesh.Trimesh:
    """The triangles of a mesh file as they are stored.

    Args:
        path: STL, PLY, OBJ or OFF file, or a `*_vertices.csv` with its `*_faces.csv` (1-based) beside it.

    Raises:
        InputError: if the file is missing, cannot be read or holds no triangles.
    """
    path = Path(path)
    vertices, triangles = _read_csv(path) if path.suffix == ".csv" else read_stored_mesh(path)
    if len(triangles) == 0:
        raise InputError(f"{path}: holds no triangles")
    return trimesh.Trimesh(vertices, triangles, process=False)


def read_stl_of_topology(path: str | Path, triangles: np.ndarray) -> np.ndarray:
    """Vertices [V, 3] float32 of a binary STL file whose triangles are known, in order: forty times as fast as `read_mesh`.

    Args:
        path: a file such as `write_stl` makes.
        triangles: [M, 3] the indices that its corners have.

    Raises:
        InputError: if the file is missing, is no binary STL, or has other triangles.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: no such mesh file") from error
    if len(content) != 84 + len(triangles) * _STL_TRIANGLE.itemsize:
        raise InputError(f"{path}: {len(content)} bytes, expected a binary STL of {len(triangles)} triangles")
    corners = np.frombuffer(content, _STL_TRIANGLE, offset=84)["corners"].reshape(-1, 3)
    vertices_mm = np.zeros((int(triangles.max()) + 1, 3), np.float32)
    vertices_mm[triangles.ravel()] = corners
    if not np.array_equal(vertices_mm[triangles.ravel()], corners) or not np.isfinite(corners).all():
        raise InputError(f"{path}: its triangles do not meet as those of the shape model do")
    return vertices_mm


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


def _read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a vertex table and the table of 1-based faces beside it."""
    faces_path = path.with_name(path.name.replace("_vertices", "_faces"))
    if faces_path == path or not faces_path.is_file():
        raise InputError(f"{path}: expected a *_vertices.csv with its *_faces.csv beside it")
    vertices, faces = (_read_table(table) for table in (path, faces_path))
    triangles = faces.astype(np.int64) - 1
    if len(triangles) and not (triangles.min() >= 0 and triangles.max() < len(vertices)):
        raise InputError(f"{faces_path}: names vertex {triangles.max() + 1}, expected 1 to {len(vertices)}")
    return vertices, triangles


def _read_table(path: Path) -> np.ndarray:
    """[N, 3] numbers of a CSV file."""
    require_file(path, "a table of three columns", MAX_MESH_BYTES)
    try:
        table = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as a table ({one_line(error)})") from error
    if table.shape[1] != 3:
        raise InputError(
            f"{path}: {table.shape[1]} columns, expected three, separated by commas and with a decimal point"
        )
    return table
