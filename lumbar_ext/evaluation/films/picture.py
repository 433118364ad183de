"""A contact sheet of films: marks in yellow, what the network decomposed in red, the vertebrae it named in white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.films.scores import FilmScore
from lumbar_ext.evaluation.films.seen_film import SeenFilm
from lumbar_ext.transforms.intensity import normalise_intensity

TILE_PX = 320  # side of a film's tile; marks and names stay legible
FILMS_A_ROW = 6  # tiles: the sheet is 1920 px wide
# RGB, told apart on grey by people who do not tell red from green
_MARK, _NAME, _TINT = (255, 215, 0), (255, 255, 255), np.array([255.0, 60.0, 60.0])
# of the decomposition over the film: bone stays visible through it
_OPACITY = 0.45


def film_sheet(seen: Sequence[SeenFilm], scores: Sequence[FilmScore]) -> Image.Image:
    """All films side by side, in the order given, each tile titled with file name, found and right."""
    rows = -(-len(seen) // FILMS_A_ROW)
    sheet = Image.new("RGB", (min(FILMS_A_ROW, len(seen)) * TILE_PX, rows * TILE_PX))
    for place, (one, score) in enumerate(zip(seen, scores, strict=True)):
        sheet.paste(_tile(one, score), (place % FILMS_A_ROW * TILE_PX, place // FILMS_A_ROW * TILE_PX))
    return sheet


def _tile(seen: SeenFilm, score: FilmScore) -> Image.Image:
    grey = normalise_intensity(seen.canonical.pixels).clip(0, 1)[..., None] * 255
    weight = _OPACITY * seen.decoded.decomposition[..., None]
    picture = Image.fromarray((grey * (1 - weight) + _TINT * weight).astype(np.uint8))
    shrink = TILE_PX / max(picture.size)
    tile = Image.new("RGB", (TILE_PX, TILE_PX))
    tile.paste(picture.resize([round(shrink * size) for size in picture.size], Image.Resampling.BOX))
    draw = ImageDraw.Draw(tile)
    for vertebra in seen.film.vertebrae:
        draw.polygon([tuple(p) for p in seen.canonical.to_canonical_px(vertebra.corners_px) * shrink], outline=_MARK)
    for index in np.flatnonzero(seen.decoded.present):
        u, v = seen.decoded.centres_px[index] * shrink
        draw.ellipse((u - 2, v - 2, u + 2, v + 2), fill=_NAME)
        draw.text((u + 4, v - 6), LEVELS[index], fill=_NAME)
    draw.text((3, 2), f"{seen.film.path.stem}: {score.found} found, {score.right} right", fill=_MARK)
    return tile
