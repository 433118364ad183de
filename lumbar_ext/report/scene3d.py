"""The interactive view of the vertebrae: a Plotly figure, whose library the page carries with it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from plotly import graph_objects

from lumbar_ext.measurements.marks.sacral_marks import sacral_disc
from lumbar_ext.report.colours import VIRIDIS
from lumbar_ext.report.overlay import LEVEL_COLOURS

_CAMERA_TOWARDS = {"x": 1.55, "y": 1.55, "z": 0.4}  # in units of the scene's size: from the front left, a little above
_LIGHT = {"x": 3e4, "y": 6e4, "z": -1e5}  # mm, as Plotly's `lightposition` takes it: far away
_SHORT = 65536  # vertices that 16 bits number


def vertebrae_figure(
    meshes_mm: Mapping[str, np.ndarray],
    triangles: np.ndarray,
    vertex_sd_mm: Mapping[str, np.ndarray],
    high_mm: float,
    sacral_rim_mm: np.ndarray | None = None,
) -> graph_objects.Figure:
    """One mesh a vertebra in the colour of its level; what colours it by uncertainty lies in its `meta`.

    Args:
        meshes_mm: by level, vertices [V, 3] in world mm.
        triangles: [M, 3], shared by all meshes.
        vertex_sd_mm: by level, [V]; levels without are never coloured by uncertainty.
        high_mm: the end of the colour scale.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm, drawn as a disc.
    """
    centre = np.mean([vertices.mean(0) for vertices in meshes_mm.values()], axis=0) if meshes_mm else np.zeros(3)
    traces = [
        _trace(name, vertices - centre, triangles, vertex_sd_mm.get(name), high_mm)
        for name, vertices in meshes_mm.items()
    ]
    if sacral_rim_mm is not None:
        vertices, own = sacral_disc(sacral_rim_mm)
        traces.append(_trace("S1", vertices - centre, own, None, high_mm))
    return graph_objects.Figure(traces, _layout())


def _trace(
    name: str, vertices: np.ndarray, triangles: np.ndarray, deviations: np.ndarray | None, high_mm: float
) -> graph_objects.Mesh3d:
    index = np.uint16 if len(vertices) < _SHORT else np.uint32
    return graph_objects.Mesh3d(
        name=name,
        showlegend=True,
        color="rgb({},{},{})".format(*LEVEL_COLOURS[name]),
        hoverinfo="name",
        flatshading=False,
        lighting={"ambient": 0.3, "diffuse": 0.7, "specular": 0.1, "roughness": 0.7, "fresnel": 0.1},
        lightposition=_LIGHT,
        meta=None if deviations is None else _uncertainty_colours(deviations, high_mm),
        **{axis: vertices[:, k].astype(np.float32) for k, axis in enumerate("xyz")},
        **{axis: triangles[:, k].astype(index) for k, axis in enumerate("ijk")},
    )


def _uncertainty_colours(deviations: np.ndarray, high_mm: float) -> dict:
    stops = [[place / (len(VIRIDIS) - 1), "rgb({},{},{})".format(*colour)] for place, colour in enumerate(VIRIDIS)]
    return {"intensity": deviations.astype(np.float32), "colorscale": stops, "cmin": 0, "cmax": high_mm}


def _layout() -> dict:
    axis = {"visible": False}
    return {
        "template": "none",
        "scene": {
            "aspectmode": "data",
            "xaxis": axis,
            "yaxis": axis,
            "zaxis": axis,
            "camera": {"eye": _CAMERA_TOWARDS, "up": {"x": 0, "y": 0, "z": 1}, "projection": {"type": "orthographic"}},
        },
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "legend": {"orientation": "h", "y": 1, "font": {"size": 15}, "itemsizing": "constant"},
        "paper_bgcolor": "rgba(0,0,0,0)",
    }
