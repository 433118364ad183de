"""Which vertebra is which, decided by both views together.

One vertebra has one centre in space: a peak of the AP view and one of the lateral view belong to the same vertebra only
where their rays pass close to each other. So each level's candidates are pairs of peaks of its two heatmaps, a weak one
among them where the other view agrees; `level_readings` finds the best way to name them.

Nothing here is bound to five levels: heatmaps of any ordered list of names may be given (`LevelRules.names`), such as
T12 to S1, with L6 as one that not everybody has (`LevelRules.optional`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from lumbar_ext.anatomy import PROCESS_LANDMARKS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry, triangulate
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.level_naming.level_choice import (
    HeatmapView,
    LevelChoice,
    Peak,
    choose_levels,
    local_maxima,
    same_vertebra,
)
from lumbar_ext.transforms.level_naming.level_readings import LevelPair, LevelRules, Reading, Readings, may_follow

_Alone = Mapping[str, Sequence[Peak | None]]
"""For each view, the sure peak of each level that it chooses by itself."""

_IN_WORDS = {"ap": "AP", "lat": "lateral"}
_LEFT_TIP, _RIGHT_TIP, _SPINOUS_TIP = PROCESS_LANDMARKS
_ENOUGH_TO_JUDGE = 2  # peaks of a view, from which on it may look as if it showed other levels
_SIXTH = "L6"
_GROWN = "the sacrum begins right under the vertebra above: it is part of it"
_AMBIGUOUS = 0.05
"""A runner-up of this probability is reported."""
_DOUBTFUL = 0.6
"""A level that is less probable than this is reported."""
_GAP_MM = 3.0
"""Root mean square distance of the rays from which on it is reported; of 50 simulated studies none is above 2.8."""


@dataclass(frozen=True)
class LevelAssignment:
    """The levels of a study as both views show them together.

    Args:
        rules: what decided, the names of the levels among them.
        best: the reading that was chosen.
        runner_up: the best reading that names a vertebra otherwise; None where there is none.
        level_probability: [L] that a level is where `best` has it; 0 where it is absent.
        only_in: for each level, the peak of the one view that alone shows it surely, by view; else empty.
        reasons: for each level, why it is absent, in words; empty if it is not.
    """

    rules: LevelRules
    best: Reading
    runner_up: Reading | None
    level_probability: np.ndarray
    only_in: tuple[Mapping[str, Peak], ...]
    reasons: tuple[str, ...]

    @classmethod
    def nothing(cls, rules: LevelRules, reason: str) -> LevelAssignment:
        """All levels are absent for one reason."""
        count = len(rules.names)
        return cls(rules, Reading((None,) * count, 0.0), None, np.zeros(count), ({},) * count, (reason,) * count)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the levels that its rules know, from the top."""
        return self.rules.names

    def choice(self, view: str, alone: LevelChoice) -> LevelChoice:
        """What was chosen in one view; a level that only this view shows is among it.

        Args:
            view: "ap" or "lat".
            alone: the view's own choice, whose verdict on the order of its strongest peaks stays.
        """
        own = [pair[view] if pair else only.get(view) for pair, only in zip(self.best.pairs, self.only_in, strict=True)]
        confidence = [0.0 if peak is None else peak.confidence for peak in own]
        return LevelChoice(tuple(own), np.array(confidence), alone.consistent)

    @property
    def missing(self) -> dict[str, str]:
        """The absent levels, each with its reason."""
        return {name: text for name, text in zip(self.names, self.reasons, strict=True) if text}

    @property
    def other_names(self) -> str:
        """How the runner-up names the vertebrae that were found, such as "L4 as L5, L5 as none"; empty without one."""
        if self.runner_up is None:
            return ""
        other = [(pair.level, self.runner_up.name_of(pair, self.rules.same_mm)) for pair in self.best.found]
        names = [(self.names[own], "none" if name is None else self.names[name]) for own, name in other if own != name]
        return ", ".join(f"{own} as {name}" for own, name in names)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against relying on the names, each a sentence."""
        found = [text for text in (self._sixth, self._taken_up) if text]
        if self.runner_up is not None and self.runner_up.probability >= _AMBIGUOUS:
            count = "four lumbar vertebrae; " if self.runner_up.is_without(self.rules) else ""
            found.append(
                f"the count is uncertain: with probability {self.runner_up.probability:.2f} the vertebrae are named "
                f"otherwise ({count}{self.other_names})"
            )
        doubtful = [
            f"{self.names[pair.level]} ({self.level_probability[pair.level]:.2f})"
            for pair in self.best.found
            if self.level_probability[pair.level] < _DOUBTFUL
        ]
        if doubtful:
            found.append(f"named with a probability below {_DOUBTFUL:g}: {', '.join(doubtful)}")
        if self.gap_mm > _GAP_MM:
            found.append(
                f"the views disagree on the heights of the vertebrae by {self.gap_mm:.1f} mm (usual: below 2): was there "
                "movement between the exposures (then try --moved true), or is the calibration another one's?"
            )
        return tuple(found)

    @property
    def _sixth(self) -> str:
        """What is to be said of a sixth lumbar vertebra, with both ways to count; empty without one."""
        if _SIXTH not in self.names or self.best.pairs[self.names.index(_SIXTH)] is None:
            return ""
        probability = self.level_probability[self.names.index(_SIXTH)]
        return (
            f"six lumbar vertebrae: between L5 and S1 lies one more, L6 (probability {probability:.2f}), of which no mesh is "
            "made; counted from the sacrum, L6 is L5, what is named L2 to L5 here is L1 to L4, and L1 is a T12 without ribs: "
            "ribs, and the vertebrae above, tell which"
        )

    @property
    def _taken_up(self) -> str:
        """What is to be said where the sacrum follows L4 directly, with both ways to name it; empty elsewhere."""
        if not self.best.is_without(self.rules):
            return ""
        return (
            f"four lumbar vertebrae: the sacrum begins right under L4 (probability {self.best.probability:.2f}), so that L5 is "
            "part of it (sacralised) and gets no mesh; if what is taken for the sacrum is a free vertebra, that one is L5"
        )

    @property
    def gap_mm(self) -> float:
        """Root mean square distance of the rays of the levels that were found; 0 without any."""
        return float(np.sqrt(np.mean([pair.gap_mm**2 for pair in self.best.found]))) if self.best.found else 0.0

    def document(self) -> dict[str, Any]:
        """Levels, probabilities, runners-up and doubts, as registration.json holds them."""
        runner_up = self.runner_up
        found = {
            self.names[pair.level]: {"probability": self.level_probability[pair.level], "gap_mm": pair.gap_mm}
            for pair in self.best.found
        }
        return {
            "probability": self.best.probability,
            "found": found,
            "missing": self.missing,
            "runner_up": runner_up and {"probability": runner_up.probability, "named_otherwise": self.other_names},
            "warnings": list(self.warnings),
        }


def assign_levels(
    views: Mapping[str, HeatmapView], geometry: BiplanarGeometry, rules: LevelRules | None = None
) -> LevelAssignment:
    """Names the vertebrae that both views show.

    Where the views cannot be of one spine (a view looks like the other one, or hardly any of the vertebrae that each shows
    surely is in one place for both), every level is absent.

    Args:
        views: for each of "ap" and "lat", with a heatmap for each of the rules' names.
        geometry: the cameras of the network grids.
        rules: the defaults if omitted.
    """
    rules = rules or LevelRules()
    alone = {view: choose_levels(own.peaks, rules.sure).peaks for view, own in views.items()}
    pairs = _candidate_pairs(views, geometry, rules)
    readings = Readings(pairs, rules)
    guided = _guided_pairs(readings.best(), views, alone, geometry, rules)
    if guided:
        readings = Readings(pairs + guided, rules)
    best = readings.best()
    doubt = _doubt_about_views(best, views, alone)
    if doubt:
        return LevelAssignment.nothing(rules, doubt)
    only_in, reasons = _absences(best, alone, geometry, rules)
    return LevelAssignment(rules, best, readings.runner_up(best), readings.level_probability(best), only_in, reasons)


def _doubt_about_views(best: Reading, views: Mapping[str, HeatmapView], alone: _Alone) -> str:
    """Why the two views cannot be what they are said to be; empty if nothing speaks against it."""
    sure = {view: [peak for peak in own if peak] for view, own in alone.items()}
    for view, own in views.items():
        shown = [pair[view] for pair in best.found] or sure[view]
        if len(shown) >= _ENOUGH_TO_JUDGE and not _looks_like(view, own, shown):
            return (
                f"what is given as the {_IN_WORDS[view]} view does not look like one: are the views exchanged, "
                "or is one mirrored or turned against its calibration?"
            )
    both = min(map(len, sure.values()))
    if best.found and 2 * (both - len(best.found)) >= len(best.found):
        return (
            f"each view shows {both} vertebrae or more, but only {len(best.found)} lie in one place for both: "
            "are they of one person, in one posture, with this calibration?"
        )
    return ""


def _looks_like(view: str, own: HeatmapView, peaks: Sequence[Peak]) -> bool:
    """Whether the landmarks lie as this view shows them: processes side by side, or the spinous process behind the body."""
    landmarks = np.array([own.landmarks_cells(peak.row, peak.column) for peak in peaks])
    across = np.median(np.abs(landmarks[:, _LEFT_TIP, 0] - landmarks[:, _RIGHT_TIP, 0]))
    behind = np.median(landmarks[:, _SPINOUS_TIP, 0] - landmarks[:, :2, 0].mean(1))
    return bool(across > abs(behind) if view == "ap" else behind > across)


def _candidate_pairs(
    views: Mapping[str, HeatmapView], geometry: BiplanarGeometry, rules: LevelRules
) -> list[LevelPair]:
    """All pairs of peaks that may be one vertebra, by level."""
    both = [
        (level, ap, lat)
        for level in range(len(rules.names))
        for ap, lat in product(views["ap"].peaks[level], views["lat"].peaks[level])
        if min(ap.confidence, lat.confidence) >= rules.least_confidence
        and ap.confidence * lat.confidence > rules.floor**2
    ]
    return [pair for pair in _triangulated(both, geometry, rules.floor**2, rules) if pair.gap_mm <= rules.gap_mm]


def _triangulated(
    both: Sequence[tuple[int, Peak, Peak]], geometry: BiplanarGeometry, nothing: float, rules: LevelRules
) -> list[LevelPair]:
    """Pairs in space; `nothing` is the product of both heatmaps where there is no vertebra."""
    if not both:
        return []
    ap_px, lat_px = (LUMBAR_PACK.px_from_cells(np.array([b[i].centre_cells for b in both])) for i in (1, 2))
    found = triangulate(geometry.ap, geometry.lat, ap_px, lat_px)
    return [
        LevelPair(level, ap, lat, tuple(point), gap, rules.worth(ap.confidence * lat.confidence / nothing, gap))
        for (level, ap, lat), point, gap in zip(both, found.points_mm.tolist(), found.gap_mm.tolist(), strict=True)
    ]


def _guided_pairs(
    reading: Reading,
    views: Mapping[str, HeatmapView],
    alone: _Alone,
    geometry: BiplanarGeometry,
    rules: LevelRules,
) -> list[LevelPair]:
    """For each level that one view alone shows surely: the strongest peak where the other view must show it."""
    if len(reading.found) < 2:
        return []
    found = []
    for level, own in enumerate(reading.pairs):
        shown = {} if own else _shown(level, reading, alone)
        if len(shown) == 1:
            ((view, peak),) = shown.items()
            found += _guided_pair(level, view, peak, reading, views, geometry, rules)
    return found


def _guided_pair(
    level: int,
    view: str,
    peak: Peak,
    reading: Reading,
    views: Mapping[str, HeatmapView],
    geometry: BiplanarGeometry,
    rules: LevelRules,
) -> list[LevelPair]:
    """At most one."""
    other = VIEWS[1 - VIEWS.index(view)]
    heatmap = views[other].heatmap[level : level + 1]
    rows, columns = np.nonzero((local_maxima(heatmap) & (heatmap >= rules.guided_confidence))[0])
    places = [views[other].peak(level, row, column) for row, column in zip(rows, columns, strict=True)]
    both = [(level, peak, place) if view == "ap" else (level, place, peak) for place in places]
    # what is looked for in one small place meets less that is no vertebra than what is looked for everywhere
    options = _triangulated(both, geometry, rules.sure * rules.guided_confidence, rules)
    options = [
        pair
        for pair in options
        if pair.gap_mm <= rules.guided_gap_mm and pair.worth > 0 and _fits(pair, reading, rules)
    ]
    return [max(options, key=lambda pair: pair.worth)] if options else []


def _fits(pair: LevelPair, reading: Reading, rules: LevelRules) -> bool:
    """Whether a reading can take a pair in."""
    chain = sorted([*reading.found, pair], key=lambda own: own.level)
    follows = may_follow(chain, rules)
    return all(follows[i, i + 1] for i in range(len(chain) - 1))


def _shown(level: int, reading: Reading, alone: _Alone) -> dict[str, Peak]:
    """By view, the sure peak of an absent level that lies between its neighbours in the reading and on none of them."""
    shown = {}
    for view, peaks in alone.items():
        others, peak = [(pair.level, pair[view]) for pair in reading.found], peaks[level]
        if peak and all((peak.row > own.row) == (level > k) and not same_vertebra(peak, own) for k, own in others):
            shown[view] = peak
    return shown


def _absences(
    best: Reading, alone: _Alone, geometry: BiplanarGeometry, rules: LevelRules
) -> tuple[tuple[Mapping[str, Peak], ...], tuple[str, ...]]:
    """The peaks of levels that one view alone shows, and the reason of each absence."""
    only_in: list[Mapping[str, Peak]] = []
    reasons = []
    for level, pair in enumerate(best.pairs):
        shown = {} if pair else _shown(level, best, alone)
        only_in.append(shown if len(shown) == 1 else {})
        taken_up = rules.names[level] == rules.taken_up and best.is_without(rules)
        reasons.append("" if pair else _GROWN if taken_up else _reason(level, shown, geometry, rules))
    return tuple(only_in), tuple(reasons)


def _reason(level: int, shown: Mapping[str, Peak], geometry: BiplanarGeometry, rules: LevelRules) -> str:
    if not shown:
        return "neither view shows it surely apart from the other vertebrae"
    if len(shown) == 1:
        (view,) = shown
        return f"only the {_IN_WORDS[view]} view shows it"
    (pair,) = _triangulated([(level, shown["ap"], shown["lat"])], geometry, rules.floor**2, rules)
    if pair.gap_mm > rules.gap_mm:
        return f"the two views show it {pair.gap_mm:.0f} mm apart"
    return "where both views show it, its distance to its neighbours is not that of a lumbar vertebra"
