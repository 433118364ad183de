"""What was found in marked films: right, a level off, beside every vertebra, missed; and at what distance.

Films with level names tell right levels from wrong ones. Films without names only tell whether what was found lies on
vertebrae, on different ones, and on neighbouring ones; that the lowest marked vertebra is L5 is an assumption there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.films.annotations import MarkedFilm

# On the detector. A lumbar body is some 30 mm high there: 8 mm is on the same body, not on the next.
ON_VERTEBRA_MM = 8.0


@dataclass(frozen=True)
class FilmScore:
    """What was found in one film.

    Args:
        film: the film.
        found: number of vertebrae reported.
        steps: for each level reported, how many places too low (+) or too high (-) it lies on the film's vertebrae; None
            where it lies on none. Without names, the lowest vertebra counts as L5.
        beyond: how many of those on none lie above the highest or below the lowest mark, where nothing was marked.
        centre_mm: distance of each centre on a vertebra to that vertebra's.
        endplate_mm: distances of endplate centres of rightly named vertebrae; none without names, as boxes hold no endplates.
        missed: marked lumbar vertebrae on which nothing was reported.
    """

    film: MarkedFilm
    found: int
    steps: dict[str, int | None]
    beyond: int
    centre_mm: tuple[float, ...]
    endplate_mm: tuple[float, ...]
    missed: int

    @property
    def on_vertebra(self) -> int:
        """How many of the vertebrae found lie on a marked one, whatever their names."""
        return sum(step is not None for step in self.steps.values())

    @property
    def right(self) -> int:
        """How many lie on the vertebra of their name."""
        return sum(step == 0 for step in self.steps.values())

    @property
    def in_sequence(self) -> bool:
        """Whether five were found, all but those beyond the marks on neighbouring vertebrae in order."""
        steps = {step for step in self.steps.values() if step is not None}
        on_none = sum(step is None for step in self.steps.values())
        return self.found == len(LEVELS) and len(steps) == 1 and on_none == self.beyond


def score_film(film: MarkedFilm, centres_px: np.ndarray, endplates_px: np.ndarray) -> FilmScore:
    """Holds what was found against what was marked.

    Args:
        film: the marks.
        centres_px: [5, 2] (u, v) of the file, vertebra centres of L1 to L5; NaN where not found.
        endplates_px: [5, 2, 2] superior and inferior endplate centres.
    """
    spacing = np.array(film.spacing_mm)
    marked = np.stack([vertebra.centre_px for vertebra in film.vertebrae])
    names = _names(film)
    steps: dict[str, int | None] = {}
    centre_mm, endplate_mm, hit, beyond = [], [], set(), 0
    for index, level in enumerate(LEVELS):
        if not np.isfinite(centres_px[index]).all():
            continue
        distances = np.linalg.norm((marked - centres_px[index]) * spacing, axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] > ON_VERTEBRA_MM:
            steps[level] = None
            beyond += not marked[0, 1] < centres_px[index, 1] < marked[-1, 1]
            continue
        centre_mm.append(float(distances[nearest]))
        hit.add(nearest)
        steps[level] = nearest - names[level]
        corners = film.vertebrae[nearest].endplate_centres_px
        if corners is not None and film.named and steps[level] == 0:
            endplate_mm += np.linalg.norm((corners - endplates_px[index]) * spacing, axis=1).tolist()
    missed = sum(place not in hit for place in film.lumbar_places)
    return FilmScore(film, len(steps), steps, beyond, tuple(centre_mm), tuple(endplate_mm), missed)


def _names(film: MarkedFilm) -> dict[str, int]:
    """Where on the film's list each level stands, also beyond its ends."""
    if film.named:
        known = {LEVELS.index(film.vertebrae[place].level): place for place in film.lumbar_places}
        nearest = [min(known, key=lambda other, index=index: abs(other - index)) for index in range(len(LEVELS))]
        return {
            level: known[near] + index - near for index, (level, near) in enumerate(zip(LEVELS, nearest, strict=True))
        }
    last = len(film.vertebrae) - 1
    return {level: last - (len(LEVELS) - 1 - index) for index, level in enumerate(LEVELS)}


def film_tables(scores: Sequence[FilmScore]) -> str:
    """Markdown: one table of films with level names, one of films without; either is left out where there are none."""
    parts = [_named_table(named)] if (named := [s for s in scores if s.film.named]) else []
    parts += [_unnamed_table(rest)] if (rest := [s for s in scores if not s.film.named]) else []
    return "\n\n".join(parts)


def _named_table(scores: Sequence[FilmScore]) -> str:
    lumbar = sum(len(s.film.lumbar_places) for s in scores)
    steps = [step for s in scores for step in s.steps.values()]
    off = sum(step is not None and abs(step) == 1 for step in steps)
    further = sum(step is None or abs(step) > 1 for step in steps)
    five = sum(s.right == len(LEVELS) for s in scores)
    cells = [
        f"{len(scores)}", _share(sum(s.right for s in scores), lumbar), _share(off, lumbar), _share(further, lumbar),
        _share(sum(s.missed for s in scores), lumbar), f"{five} of {len(scores)}",
        _distances([value for s in scores for value in s.endplate_mm]),
    ]  # fmt: skip
    header = [
        "films with names",
        "right level",
        "a level off",
        "elsewhere",
        "no mark hit",
        "five right",
        "endplate centres, mm",
    ]
    return _table(header, cells)


def _unnamed_table(scores: Sequence[FilmScore]) -> str:
    found, films = sum(s.found for s in scores), len(scores)
    cells = [
        f"{films}", f"{found / films:.2f} of 5", _share(sum(s.on_vertebra for s in scores), found),
        _share(sum(s.beyond for s in scores), found), f"{sum(s.found == len(LEVELS) for s in scores)} of {films}",
        f"{sum(s.in_sequence for s in scores)} of {films}", f"{sum(s.right == len(LEVELS) for s in scores)} of {films}",
        _distances([value for s in scores for value in s.centre_mm]),
    ]  # fmt: skip
    header = [
        "films without names", "found", "on a vertebra", "beyond the marks", "five found", "five neighbours, none beside",
        "L5 on the lowest mark", "centres, mm",
    ]  # fmt: skip
    return _table(header, cells)


def _distances(values: Sequence[float]) -> str:
    return f"median {np.median(values):.1f}, mean {np.mean(values):.1f}" if values else "-"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _table(header: Sequence[str], cells: Sequence[str]) -> str:
    return "\n".join(["| " + " | ".join(header) + " |", "|---" * len(header) + "|", "| " + " | ".join(cells) + " |"])
