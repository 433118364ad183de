"""A picture of a shape model: its means and what its first modes do.

lumbar-ext mode-picture --model bundles/lumbar_reconstruction/models/model.pt --output modes.png
"""

from __future__ import annotations

import numpy as np
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.mesh.remeshing import polydata
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel

_VIEWS = (((0.55, -1.0, 0.35), (0, 0, 1)), ((-0.35, 0.2, 1.0), (1, 0, 0)))
"""From the right front and from above: direction to the camera, and what is up."""
_TILE_PX = (190, 150)  # columns and rows of one instance
_HALF_HEIGHT_MM = 58.0  # of what a tile shows: half a vertebra with its processes


def mode_picture(
    model: str, output: str, levels: tuple[str, ...] = ("L1", "L3", "L5"), modes: int = 3, deviations: float = 2.0
) -> None:
    """Draws each level's mean and its first modes at both ends, from two sides.

    Args:
        model: `model.pt`.
        output: PNG file to write.
        levels: rows of the picture.
        modes: how many modes.
        deviations: how far along each mode, standard deviations.
    """
    import pyvista

    loaded = VertebraShapeModel.load(model)
    columns = [("mean", 0, 0.0)]
    columns += [(f"mode {k + 1}, {s:+g} SD", k, s) for k in range(modes) for s in (-deviations, deviations)]
    rows = [(level, view) for level in levels for view in _VIEWS]
    plotter = pyvista.Plotter(
        off_screen=True,
        shape=(len(rows), len(columns)),
        window_size=(_TILE_PX[0] * len(columns), _TILE_PX[1] * len(rows)),
        border=False,
    )
    for row, (level, view) in enumerate(rows):
        for column, (name, mode, amount) in enumerate(columns):
            plotter.subplot(row, column)
            _draw(plotter, _instance(loaded, LEVELS.index(level), mode, amount), view)
            if view is _VIEWS[0]:
                plotter.add_text(f"{level} {name}", font_size=7, color="black")
    plotter.screenshot(output)
    plotter.close()


def _instance(model: VertebraShapeModel, level: int, mode: int, amount: float) -> Surface:
    """The mean plus one mode."""
    b = torch.zeros(1, len(LEVELS), model.n_modes)
    b[0, level, mode] = amount
    return Surface(model(b)[0, level].numpy(), model.triangles.numpy())


def _draw(plotter: object, surface: Surface, view: tuple) -> None:
    """One vertebra at the same scale everywhere."""
    direction, up = np.array(view[0]), view[1]
    centre = np.array([-20.0, 0.0, 0.0])
    plotter.set_background("white")
    plotter.add_mesh(polydata(surface), color="ivory", smooth_shading=True)
    plotter.enable_parallel_projection()
    plotter.camera.focal_point = centre
    plotter.camera.position = centre + 300 * direction / np.linalg.norm(direction)
    plotter.camera.up = up
    plotter.camera.parallel_scale = _HALF_HEIGHT_MM
    plotter.renderer.reset_camera_clipping_range()
