"""Curvature-adaptive remeshing: about the wanted number of vertices, close together where the surface bends.

Approximated centroidal Voronoi clustering (Valette, Chassery and Prost, IEEE TVCG 14 (2008)) by pyacvd, weighted by
`1 + (c / c0)^2` with c the root sum square of the two principal curvatures. The weight is set here, on the areas and
the weighted points alike: pyacvd's own `weights` argument (0.4.0) scales only the points.
"""

from __future__ import annotations

import logging
import warnings

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.surface import Surface

_BEND_PER_MM = 0.2
"""c0: curvature at which the density doubles; a cylinder of 5 mm radius, about a transverse process."""
_LARGEST_DENSITY = 10.0  # vertices for one on a flat part
_LARGEST_CURVATURE_PER_MM = 0.6  # of rims and tips; beyond it are mesh errors
_CURVATURE_SMOOTHING_STEPS = 15  # means over neighbours
_POINTS_PER_VERTEX = 6  # clustering needs several points for each vertex that is wanted
_MOST_SUBDIVISIONS = 4  # each makes four triangles of one


def remesh(surface: Surface, n_vertices: int, *, adaptive: bool = True) -> Surface:
    """Remeshes a closed surface.

    Args:
        surface: closed surface, mm.
        n_vertices: wanted vertices; a few may be missing from the result.
        adaptive: vertices closer together where the surface bends; False spaces them evenly.

    Raises:
        InputError: if the topology does not survive the remeshing.
    """
    import pyacvd

    with warnings.catch_warnings():
        # pyacvd 0.4 uses names that pyvista has deprecated.
        warnings.simplefilter("ignore")
        logging.getLogger("pyacvd").setLevel(logging.WARNING)
        clustering = pyacvd.Clustering(polydata(surface))
        clustering.subdivide(_subdivisions(len(surface.vertices_mm), n_vertices))
        if adaptive:
            nearest = cKDTree(surface.vertices_mm).query(clustering.mesh.points)[1]
            density = vertex_density(surface)[nearest]
            clustering.area = clustering.area * density
            clustering.wcent = clustering.wcent * density[:, None]
        clustering.cluster(n_vertices)
        mesh = clustering.create_mesh()
    result = Surface(np.asarray(mesh.points), np.asarray(mesh.faces).reshape(-1, 4)[:, 1:])
    if not result.is_watertight or result.euler_number != surface.euler_number:
        raise InputError(
            f"remeshing to {n_vertices} vertices changed the topology: watertight {result.is_watertight}, "
            f"Euler number {surface.euler_number} -> {result.euler_number}; use more vertices"
        )
    return result if result.volume_mm3 > 0 else Surface(result.vertices_mm, result.triangles[:, ::-1])


def vertex_density(surface: Surface) -> np.ndarray:
    """[V] wanted density of vertices, 1 where the surface is flat, from its smoothed curvature."""
    mesh = polydata(surface)
    mean, gaussian = mesh.curvature("mean"), mesh.curvature("gaussian")
    bend = np.sqrt(np.clip(4 * np.square(mean) - 2 * np.asarray(gaussian), 0, None))
    bend = _smoothed(surface, np.clip(bend, 0, _LARGEST_CURVATURE_PER_MM))
    return np.minimum(1 + (bend / _BEND_PER_MM) ** 2, _LARGEST_DENSITY)


def polydata(surface: Surface) -> object:
    """The surface as a `pyvista.PolyData`."""
    import pyvista

    faces = np.concatenate([np.full((len(surface.triangles), 1), 3), surface.triangles], axis=1)
    return pyvista.PolyData(surface.vertices_mm, faces.ravel())


def _subdivisions(vertices: int, wanted: int) -> int:
    """Subdivisions (each makes four times as many points) that give every cluster enough points."""
    ratio = _POINTS_PER_VERTEX * wanted / max(vertices, 1)
    return int(np.clip(np.ceil(np.log(max(ratio, 1.0)) / np.log(4)), 1, _MOST_SUBDIVISIONS))


def _smoothed(surface: Surface, values: np.ndarray) -> np.ndarray:
    """Values [V] averaged over a few rings of neighbours."""
    edges = surface.to_trimesh().edges_unique
    both = np.concatenate([edges, edges[:, ::-1]])
    degree = np.maximum(np.bincount(both[:, 0], minlength=len(values)), 1)
    for _ in range(_CURVATURE_SMOOTHING_STEPS):
        values = (values + np.bincount(both[:, 0], values[both[:, 1]], len(values)) / degree) / 2
    return values
