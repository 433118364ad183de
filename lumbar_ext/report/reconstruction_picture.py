"""One picture of a finished reconstruction: both overlays and the meshes, for a README or a slide.

    lumbar-ext picture --output_dir out/sample --picture reconstruction.png

Needs the extra `[build]` (pyvista).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import read_mesh
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
    sheet.save(picture)


def _square(image: Image.Image) -> Image.Image:
    """The image scaled into a black square panel."""
    image.thumbnail((_PANEL_PX, _PANEL_PX), Image.Resampling.LANCZOS)
    panel = Image.new("RGB", (_PANEL_PX, _PANEL_PX))
    panel.paste(image, ((_PANEL_PX - image.width) // 2, (_PANEL_PX - image.height) // 2))
    return panel


def _rendered_meshes(meshes: dict[str, Path]) -> np.ndarray:
    """The meshes seen from the left front and above, uint8 [rows, columns, 3]."""
    import pyvista

    plotter = pyvista.Plotter(off_screen=True, window_size=(_PANEL_PX, _PANEL_PX))
    plotter.background_color = "white"
    for level, path in meshes.items():
        vertices, triangles = read_mesh(path)
        surface = pyvista.PolyData(vertices, np.column_stack([np.full(len(triangles), 3), triangles]))
        colour = tuple(channel / 255 for channel in LEVEL_COLOURS[level])
        plotter.add_mesh(surface.compute_normals(), color=colour, smooth_shading=True, specular=0.2)
    plotter.view_vector((0.35, 0.85, 0.3), viewup=(0, 0, 1))
    plotter.reset_camera()
    plotter.camera.zoom(1.05)
    image = plotter.screenshot(return_img=True)
    plotter.close()
    return image
