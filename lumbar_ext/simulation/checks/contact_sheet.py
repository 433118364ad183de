"""A picture of many studies side by side, to judge a cohort at a glance.

lumbar-ext contact-sheet --cohort_dir DIR --output sheet.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.simulation.study_files import is_complete
from lumbar_ext.studies.study_folder import StudyFolder


def contact_sheet(
    cohort_dir: str, output: str, *, n: int = 24, seed: int = 0, columns: int = 8, width_px: int = 240
) -> None:
    """Draws random studies of a cohort side by side, AP above lateral.

    Args:
        cohort_dir: folder of study folders.
        output: PNG file to write.
        n: number of studies.
        seed: of their choice.
        columns: studies per row.
        width_px: width of a square that holds a picture.
    """
    folders = sorted(folder for folder in Path(cohort_dir).iterdir() if is_complete(folder))
    if not folders:
        raise InputError(f"{cohort_dir}: found no complete study")
    chosen = np.random.default_rng(seed).permutation(len(folders))[:n]
    rows = -(-len(chosen) // columns)
    sheet = Image.new("L", (columns * width_px, rows * 2 * width_px))
    for place, index in enumerate(sorted(chosen)):
        for offset, view in enumerate(VIEWS):
            pixels = np.asarray(Image.open(StudyFolder(folders[index]).picture(view)), dtype=np.float32) / 257
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.thumbnail((width_px - 2, width_px - 2), Image.Resampling.LANCZOS)
            sheet.paste(picture, (place % columns * width_px, (place // columns * 2 + offset) * width_px))
    sheet.save(output)
