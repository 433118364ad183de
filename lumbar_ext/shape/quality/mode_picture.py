"""A picture of a shape model: its means and what its first modes do.

lumbar-ext mode-picture --model bundles/lumbar_reconstruction/models/model.pt --output modes.png
"""

from __future__ import annotations

import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.mesh.rendering import ColouredMesh, Framing, in_one_colour, render, tiled
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel

_VIEWS = (((0.55, -1.0, 0.35), (0, 0, 1)), ((-0.35, 0.2, 1.0), (1, 0, 0)))
"""From the right front and from above: direction to the viewer, and what is up."""
_TILE_PX = (190, 150)  # columns and rows of one instance
_FRAMING = Framing((-20.0, 0.0, 0.0), 1.3)  # a tile holds 116 mm of height: a vertebra with its processes
_IVORY = (255.0, 255.0, 240.0)  # red, green, blue


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
    loaded = VertebraShapeModel.load(model)
    columns = [("mean", 0, 0.0)]
    columns += [(f"mode {k + 1}, {s:+g} SD", k, s) for k in range(modes) for s in (-deviations, deviations)]
    rows = [
        [
            (
                f"{level} {name}" if view is _VIEWS[0] else "",
                render([_instance(loaded, LEVELS.index(level), mode, amount)], *view, _TILE_PX, _FRAMING),
            )
            for name, mode, amount in columns
        ]
        for level in levels
        for view in _VIEWS
    ]
    with atomic_path(output) as temporary:
        tiled(rows).save(temporary, "PNG")


def _instance(model: VertebraShapeModel, level: int, mode: int, amount: float) -> ColouredMesh:
    """The mean plus one mode."""
    b = torch.zeros(1, len(LEVELS), model.n_modes)
    b[0, level, mode] = amount
    return in_one_colour(Surface(model(b)[0, level].numpy(), model.triangles.numpy()), _IVORY)
