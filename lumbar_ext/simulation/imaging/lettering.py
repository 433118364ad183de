"""Side markers: lead letters on the edge of the picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_HEIGHT_MM = (9.0, 20.0)  # of letters, on the detector


def draw_letter(rng: np.random.Generator, image: np.ndarray, spacing_mm: float) -> None:
    """Burns a bright R or L near an edge of a picture [rows, columns] with values in [0, 1], in place."""
    size = max(6, int(rng.uniform(*_HEIGHT_MM) / spacing_mm))
    stamp = Image.new("L", (size, int(size * 1.3)))
    ImageDraw.Draw(stamp).text(
        (size * 0.15, 0), str(rng.choice(["L", "R"])), fill=255, font=ImageFont.load_default(size)
    )
    letter = np.asarray(stamp.rotate(rng.uniform(-12, 12)), dtype=np.float32) / 255
    if rng.random() < 0.3:
        letter = letter[:, ::-1]
    rows, columns = image.shape
    height, width = letter.shape
    if height >= rows // 4 or width >= columns // 4:
        return
    left_edge = rng.random() < 0.5
    u = int(rng.uniform(0.02, 0.12) * columns) if left_edge else int(rng.uniform(0.83, 0.92) * columns)
    v = int(rng.uniform(0.03, 0.85) * rows)
    patch = image[v : v + height, u : u + width]
    letter = letter[: patch.shape[0], : patch.shape[1]]
    patch += (1 - patch) * letter * rng.uniform(0.6, 1.0)
