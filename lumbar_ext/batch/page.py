"""The cohort on one page: how many ended how, distributions beside reference ranges, and the studies, flags first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_outcome import HAS_RESULTS, Outcome, What
from lumbar_ext.batch.study_task import THUMBNAIL_NAME
from lumbar_ext.io.atomic import write_text
from lumbar_ext.measurements.document import INTENDED_USE
from lumbar_ext.measurements.values.definitions import DEFINITIONS
from lumbar_ext.report.content import UNITS

MOST_STUDIES = 2000
"""Rows with pictures that a browser still scrolls through; all studies are in the table."""

_BINS = 24  # of a histogram
_WIDTH, _HEIGHT = 240, 64  # px
_MARGIN = 0.02
"""Share of the values on either side that the axis leaves out: one wrong value would squeeze all others."""

_ORDER = (What.CRASHED, What.TIMED_OUT, What.BAD_INPUT, What.FLAGGED, What.OK)


class Distributions:
    """Gathers the values of a cohort by definition and subject."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._references: dict[tuple[str, str], set[tuple[float | None, float | None]]] = defaultdict(set)
        self._outside: Counter[tuple[str, str]] = Counter()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Adds rows of the table of measurements."""
        for row in rows:
            if row["value"] is None:
                continue
            key = row["id"], row["subject"]
            self._values[key].append(row["value"])
            self._references[key].add((row["reference_low"], row["reference_high"]))
            self._outside[key] += bool(row["outside_reference"])

    def histograms(self) -> list[tuple[str, str, list[Histogram]]]:
        """(title, definition, a histogram for each subject), in the order of the definitions."""
        gathered = []
        for definition in DEFINITIONS:
            own = [key for key in self._values if key[0] == definition.id]
            drawn = [self._histogram(key, UNITS[definition.unit]) for key in sorted(own)]
            if drawn:
                gathered.append((definition.title, definition.text, drawn))
        return gathered

    def _histogram(self, key: tuple[str, str], unit: str) -> Histogram:
        references = self._references[key]
        # Ranges that differ from person to person are no band.
        low, high = next(iter(references)) if len(references) == 1 else (None, None)
        return Histogram.of(key[1], unit, np.array(self._values[key]), low, high, self._outside[key])


@dataclass(frozen=True)
class Histogram:
    """One distribution as a picture.

    Args:
        subject: "L3", "L3-L4", "L1-L5" or "S1".
        text: number, mean, standard deviation and how many lie outside of the reference range.
        bars: (x, y, width, height) of each, in a picture of 240 x 64.
        band: (x, width) of the reference range; None without one.
        ends: the numbers at the ends of the axis.
    """

    subject: str
    text: str
    bars: tuple[tuple[float, float, float, float], ...]
    band: tuple[float, float] | None
    ends: tuple[str, str]

    @classmethod
    def of(
        cls, subject: str, unit: str, values: np.ndarray, low: float | None, high: float | None, outside: int
    ) -> Histogram:
        """Draws values [N] beside a reference range, either end of which may be open."""
        ends = [*np.quantile(values, [_MARGIN, 1 - _MARGIN]), *(end for end in (low, high) if end is not None)]
        start, stop = min(ends), max(ends)
        if stop <= start:
            start, stop = start - 0.5, start + 0.5
        counts, _ = np.histogram(np.clip(values, start, stop), _BINS, (start, stop))
        heights = _HEIGHT * counts / counts.max()
        width = _WIDTH / _BINS
        bars = tuple(
            (round(i * width, 1), round(_HEIGHT - h, 1), width - 1, round(h, 1)) for i, h in enumerate(heights)
        )
        band = None
        if low is not None or high is not None:
            left = 0.0 if low is None else _WIDTH * (low - start) / (stop - start)
            right = _WIDTH if high is None else _WIDTH * (high - start) / (stop - start)
            band = round(left, 1), round(right - left, 1)
        text = f"n {len(values)}, mean {values.mean():.1f}{unit}, SD {values.std():.1f}"
        if band:
            text += f", {outside} outside"
        return cls(subject, text, bars, band, (f"{start:.1f}", f"{stop:.1f}{unit}"))


@dataclass(frozen=True)
class StudyLine:
    """A study on the page.

    Args:
        name: its id.
        what: how it ended.
        reasons: sentence or flags.
        place: its folder relative to the page, as part of an address; empty without results.
        thumbnail: address of its picture, empty without one.
    """

    name: str
    what: str
    reasons: tuple[str, ...]
    place: str
    thumbnail: str


def write_page(
    folder: CohortFolder, pairs: Sequence[tuple[Study, Outcome | None]], distributions: Distributions
) -> None:
    """Writes the page.

    Args:
        folder: of the cohort.
        pairs: its studies, and what became of them.
        distributions: of their values.
    """
    ended = [(study, outcome) for study, outcome in pairs if outcome is not None]
    ended.sort(key=lambda pair: (_ORDER.index(pair[1].what), -len(pair[1].flags)))
    counts = Counter(outcome.what for _, outcome in ended)
    page = _template().render(
        notice=INTENDED_USE,
        counts=[(str(what), counts[what]) for what in What if counts[what]],
        to_do=len(pairs) - len(ended),
        total=len(pairs),
        distributions=distributions.histograms(),
        studies=[_line(folder, study, outcome) for study, outcome in ended[:MOST_STUDIES]],
        left_out=len(ended) - min(len(ended), MOST_STUDIES),
        size=(_WIDTH, _HEIGHT),
    )
    write_text(folder.page, page)


def _line(folder: CohortFolder, study: Study, outcome: Outcome) -> StudyLine:
    own = folder.study(study)
    place = quote(own.relative_to(folder.path).as_posix())
    thumbnail = f"{place}/{THUMBNAIL_NAME}" if (own / THUMBNAIL_NAME).is_file() else ""
    reasons = tuple(outcome.flags) or ((outcome.sentence,) if outcome.sentence else ())
    report = place if outcome.what in HAS_RESULTS and (own / "report.html").is_file() else ""
    return StudyLine(study.name, str(outcome.what), reasons, report, thumbnail)


@cache
def _template() -> Template:
    loader = PackageLoader("lumbar_ext.batch", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("cohort.html.j2")
