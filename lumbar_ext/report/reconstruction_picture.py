"""One picture of a finished reconstruction: both overlays and the meshes, for a README or a slide.

lumbar-ext picture --output_dir out/sample --picture reconstruction.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.mesh.rendering import in_one_colour, render
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.report.overlay import LEVEL_COLOURS

_PANEL_PX = 640  # side of each of the three pictures


def draw_picture(output_dir: str, picture: str) -> None:
    """Puts the overlays of a reconstruction and a view of its meshes side by side.

    Args:
        output_dir: folder that the reconstruction wrote.
        picture: PNG file to write.

    Raises:
        InputError: if the folder holds no overlays or no mesh.
    """
    folder = Path(output_dir)
    overlays = [folder / f"overlay_{view}.png" for view in VIEWS]
    meshes = {level: folder / f"{level}.stl" for level in LEVELS if (folder / f"{level}.stl").is_file()}
    if not meshes or not all(path.is_file() for path in overlays):
        raise InputError(
            f"{folder}: holds no reconstruction, expected overlay_ap.png, overlay_lat.png and L1.stl to L5.stl"
        )
    panels = [_square(Image.open(path).convert("RGB")) for path in overlays]
    panels.append(Image.fromarray(_rendered_meshes(meshes)))
    sheet = Image.new("RGB", (_PANEL_PX * len(panels), _PANEL_PX), "white")
    for place, panel in enumerate(panels):
        sheet.paste(panel, (place * _PANEL_PX, 0))
    with atomic_path(picture) as temporary:
        sheet.save(temporary, "PNG")


def _square(image: Image.Image) -> Image.Image:
    """The image scaled into a black square panel."""
    image.thumbnail((_PANEL_PX, _PANEL_PX), Image.Resampling.LANCZOS)
    panel = Image.new("RGB", (_PANEL_PX, _PANEL_PX))
    panel.paste(image, ((_PANEL_PX - image.width) // 2, (_PANEL_PX - image.height) // 2))
    return panel


def _rendered_meshes(meshes: dict[str, Path]) -> np.ndarray:
    """The meshes seen from the left front and above, uint8 [rows, columns, 3]."""
    coloured = [in_one_colour(Surface(*read_mesh(path)), LEVEL_COLOURS[level]) for level, path in meshes.items()]
    return render(coloured, (0.35, 0.85, 0.3), (0, 0, 1), (_PANEL_PX, _PANEL_PX))
