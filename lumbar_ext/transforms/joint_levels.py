"""Which vertebra is which, decided by both views together.

One vertebra has one centre in space: a peak of the AP view and one of the lateral view belong to the same vertebra only
where their rays pass close to each other. So each level's candidates are pairs of peaks of its two heatmaps, a weak one
among them where the other view agrees, and a reading gives each level one pair or none. Among all readings that go down
the spine in order, with the spacing of lumbar vertebrae between neighbours, the one of the greatest worth wins. Worth is
a log-likelihood, so the readings have probabilities: that of the winner, and that of the runner-up, the best one that
names a vertebra otherwise (everything a level higher, say).

The search is exact: whether two levels go together depends on neighbours in the reading alone, so the best reading is a
longest path through the pairs, and sums over all readings follow from the same recursion.

Nothing here is bound to five levels: heatmaps of any ordered list of names may be given (`LevelRules.names`), such as
T12 to S1, with L6 as one that not everybody has (`LevelRules.optional`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import logsumexp

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry, triangulate
from lumbar_ext.networks.packing import px_from_cells
from lumbar_ext.transforms.level_choice import (
    CONFIDENCE_THRESHOLD,
    HeatmapView,
    LevelChoice,
    Peak,
    choose_levels,
    local_maxima,
    same_vertebra,
)


@dataclass(frozen=True)
class LevelRules:
    """What a reading is allowed and what it is worth.

    Numbers were set on other studies than those the evaluation reports (docs/decisions/joint-levels.md).

    Args:
        names: the levels from cranial to caudal, one heatmap each.
        optional: names that not everybody has; their neighbours may follow each other directly.
        least_confidence: weakest peak that counts as a candidate.
        gap_mm: farthest that the two rays of a pair may pass from each other; one vertebra's centre is read to 1-4 mm.
        gap_weight_per_mm2: what the square of this gap takes off a pair's worth.
        floor: heatmap value of what is no vertebra: the pair is worth ln(p_ap p_lat / floor^2).
        spacing_mm: least and greatest distance of the centres of neighbouring vertebrae, disc included.
        sure: a peak of this value shows a vertebra even if the other view does not.
        guided_confidence, guided_gap_mm: the same limits where a sure peak of the other view says where to look.
    """

    names: tuple[str, ...] = LEVELS
    optional: frozenset[str] = frozenset()
    least_confidence: float = 0.02
    gap_mm: float = 9.0
    gap_weight_per_mm2: float = 0.15 / 9
    floor: float = 0.12
    spacing_mm: tuple[float, float] = (22.0, 55.0)
    sure: float = CONFIDENCE_THRESHOLD
    guided_confidence: float = 0.01
    guided_gap_mm: float = 6.0

    @property
    def same_mm(self) -> float:
        """Centres nearer than this are one vertebra's."""
        return self.spacing_mm[0] / 2


@dataclass(frozen=True)
class LevelPair:
    """A peak of each view that may be one vertebra.

    Args:
        level: index of its name.
        ap, lat: the peaks.
        point_mm: (x, y, z) of the centre in space.
        gap_mm: distance of the two rays.
        worth: log-likelihood ratio of "this level is here" against "nothing is".
    """

    level: int
    ap: Peak
    lat: Peak
    point_mm: tuple[float, float, float]
    gap_mm: float
    worth: float

    def __getitem__(self, view: str) -> Peak:
        return {"ap": self.ap, "lat": self.lat}[view]

    def distance_mm(self, other: LevelPair) -> float:
        """Between the centres."""
        return float(np.linalg.norm(np.subtract(self.point_mm, other.point_mm)))


@dataclass(frozen=True)
class Reading:
    """One way to name what both views show.

    Args:
        pairs: of each level, None where it is absent.
        probability: of all readings that name no vertebra otherwise and find at least one, among all readings.
    """

    pairs: tuple[LevelPair | None, ...]
    probability: float

    @property
    def found(self) -> tuple[LevelPair, ...]:
        """The pairs of levels that are not absent."""
        return tuple(pair for pair in self.pairs if pair is not None)

    def contradicts(self, pair: LevelPair, same_mm: float) -> bool:
        """Whether a pair puts its name on another vertebra than this reading, or names one of this reading's otherwise."""
        own = self.pairs[pair.level]
        if own is not None:
            return own.distance_mm(pair) > same_mm
        return any(other.distance_mm(pair) <= same_mm for other in self.found)


@dataclass(frozen=True)
class LevelAssignment:
    """The levels of a study as both views show them together.

    Args:
        names: the levels.
        best: the reading that was chosen.
        runner_up: the best reading that names a vertebra otherwise; None where there is none.
        probability: [L] that a level is at its place in `best`; 0 where it is absent.
        only_in: of each absent level, the peak of the one view that shows it surely, by view; empty if none does or both do.
        reasons: of each absent level, why, in words; empty for the others.
    """

    names: tuple[str, ...]
    best: Reading
    runner_up: Reading | None
    probability: np.ndarray
    only_in: tuple[Mapping[str, Peak], ...]
    reasons: tuple[str, ...]

    def choice(self, view: str, alone: LevelChoice) -> LevelChoice:
        """What the assignment chose in one view; a level that only this view shows is among it.

        Args:
            view: "ap" or "lat".
            alone: the view's own choice, whose verdict on the order of its strongest peaks stays.
        """
        own = [pair[view] if pair else only.get(view) for pair, only in zip(self.best.pairs, self.only_in, strict=True)]
        confidence = [0.0 if peak is None else peak.confidence for peak in own]
        return LevelChoice(tuple(own), np.array(confidence), alone.consistent)

    def missing(self) -> dict[str, str]:
        """The absent levels with their reasons."""
        return {name: text for name, text in zip(self.names, self.reasons, strict=True) if text}

    def runner_up_in_words(self) -> str:
        """How the runner-up names the vertebrae of the chosen reading, such as "L1 as L2, L2 as L3"; empty without one."""
        if self.runner_up is None:
            return ""
        changes = []
        for pair in self.best.found:
            nearest = min(self.runner_up.found, key=pair.distance_mm)
            other = nearest.level if pair.distance_mm(nearest) <= LevelRules().same_mm else None
            if other != pair.level:
                changes.append(f"{self.names[pair.level]} as {'none' if other is None else self.names[other]}")
        return ", ".join(changes)


def assign_levels(
    views: Mapping[str, HeatmapView], geometry: BiplanarGeometry, rules: LevelRules | None = None
) -> LevelAssignment:
    """Names the vertebrae that both views show.

    Args:
        views: for each of "ap" and "lat", with a heatmap for each of the rules' names.
        geometry: the cameras of the network grids.
        rules: the defaults if omitted.
    """
    rules = rules or LevelRules()
    peaks = {view: own.peaks() for view, own in views.items()}
    pairs = _candidate_pairs(peaks, geometry, rules)
    first = _Readings(pairs, rules)
    guided = _guided_pairs(first.best(), views, peaks, geometry, rules)
    readings = _Readings(pairs + guided, rules) if guided else first
    best = readings.best()
    only_in, reasons = _absences(best, peaks, geometry, rules)
    return LevelAssignment(
        rules.names, best, readings.runner_up(best), readings.level_probability(best), only_in, reasons
    )


def _candidate_pairs(
    peaks: Mapping[str, Sequence[Sequence[Peak]]], geometry: BiplanarGeometry, rules: LevelRules
) -> list[LevelPair]:
    """All pairs of peaks that may be one vertebra, by level."""
    both = [
        (level, ap, lat)
        for level in range(len(rules.names))
        for ap, lat in product(peaks["ap"][level], peaks["lat"][level])
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
    ap_px, lat_px = (px_from_cells(np.array([b[i].centre_cells for b in both])) for i in (1, 2))
    found = triangulate(geometry.ap, geometry.lat, ap_px, lat_px)
    return [
        LevelPair(
            level, ap, lat, tuple(point), gap, _worth(ap.confidence * lat.confidence / nothing, gap, rules)
        )
        for (level, ap, lat), point, gap in zip(both, found.points_mm.tolist(), found.gap_mm.tolist(), strict=True)
    ]


def _worth(ratio: float, gap_mm: float, rules: LevelRules) -> float:
    return float(np.log(ratio)) - rules.gap_weight_per_mm2 * gap_mm**2


class _Readings:
    """All readings of some pairs; a reading is a path of pairs, each of which may follow the one before it."""

    def __init__(self, pairs: Sequence[LevelPair], rules: LevelRules) -> None:
        self.pairs = sorted(pairs, key=lambda pair: pair.level)
        self.rules = rules
        self.worth = np.array([pair.worth for pair in self.pairs])
        self.follows = _follows(self.pairs, rules)
        self.log_total = self._log_sum(np.ones(len(self.pairs), bool))

    def best(self) -> Reading:
        """The reading of the greatest worth; the empty one where no pair is worth anything."""
        return self._reading(self._path(np.zeros(len(self.pairs), bool)))

    def runner_up(self, best: Reading) -> Reading | None:
        """The best reading that contradicts `best`."""
        other = self._contradicting(best)
        if not other.any():
            return None
        second = self._reading(self._path(other))
        apart = ~self._contradicting(second)
        # readings that agree with the second one, less those of them that agree with the first as well
        masses = np.exp(np.array([self._log_sum(apart), self._log_sum(apart & ~other)]) - self.log_total)
        return replace(second, probability=float(masses[0] - masses[1]))

    def level_probability(self, best: Reading) -> np.ndarray:
        """[L] share of readings that have each level of `best` at its place."""
        upper, lower = self._log_sums_ending(), self._log_sums_after()
        share = np.exp(upper + lower - self.log_total)
        found = np.zeros(len(self.rules.names))
        for pair, own in zip(self.pairs, share, strict=True):
            chosen = best.pairs[pair.level]
            if chosen is not None and chosen.distance_mm(pair) <= self.rules.same_mm:
                found[pair.level] += own
        return np.clip(found, 0, 1)

    def _reading(self, path: Sequence[int]) -> Reading:
        pairs: list[LevelPair | None] = [None] * len(self.rules.names)
        for index in path:
            pairs[self.pairs[index].level] = self.pairs[index]
        reading = Reading(tuple(pairs), 0.0)
        agreeing = np.exp(self._log_sum(~self._contradicting(reading)) - self.log_total)
        return replace(reading, probability=float(max(agreeing - np.exp(-self.log_total), 0.0)))

    def _contradicting(self, reading: Reading) -> np.ndarray:
        return np.array([reading.contradicts(pair, self.rules.same_mm) for pair in self.pairs], bool)

    def _path(self, needed: np.ndarray) -> list[int]:
        """The path of the greatest worth; if any pair is needed, one that holds at least one of these."""
        count = len(self.pairs)
        # [has a needed pair, pair]: greatest worth of a path that ends with the pair, and the state before it
        value = np.full((2, count), -np.inf)
        before: dict[tuple[int, int], tuple[int, int] | None] = {}
        for j in range(count):
            for state in (0, 1):
                starts = state == int(needed[j])
                options = [(0.0, None)] if starts else []
                previous = (0, 1) if state and needed[j] else (state,) if state >= int(needed[j]) else ()
                options += [(value[s, i], (s, i)) for s in previous for i in np.flatnonzero(self.follows[:, j])]
                if options:
                    gain, origin = max(options, key=lambda option: option[0])
                    value[state, j], before[state, j] = self.worth[j] + gain, origin
        wanted = int(needed.any())
        if not count or (not wanted and value[wanted].max() <= 0):
            return []
        place: tuple[int, int] | None = (wanted, int(value[wanted].argmax()))
        path = []
        while place is not None:
            path.append(place[1])
            place = before[place]
        return path[::-1]

    def _log_sum(self, allowed: np.ndarray) -> float:
        """Logarithm of the summed likelihoods of all readings of the allowed pairs, the empty one included."""
        return float(logsumexp(np.append(self._log_sums_ending(allowed), 0.0)))

    def _log_sums_ending(self, allowed: np.ndarray | None = None) -> np.ndarray:
        """[N] of all readings whose last pair is this one."""
        sums = np.full(len(self.pairs), -np.inf)
        for j in range(len(self.pairs)):
            if allowed is None or allowed[j]:
                sums[j] = self.worth[j] + np.logaddexp.reduce(np.append(sums[self.follows[:, j]], 0.0))
        return sums

    def _log_sums_after(self) -> np.ndarray:
        """[N] of all ways to go on below this pair."""
        sums = np.zeros(len(self.pairs))
        for i in reversed(range(len(self.pairs))):
            after = self.follows[i]
            sums[i] = np.logaddexp.reduce(np.append(self.worth[after] + sums[after], 0.0))
        return sums


def _follows(pairs: Sequence[LevelPair], rules: LevelRules) -> np.ndarray:
    """[N, N] whether the second pair may be the next one below the first."""
    if not pairs:
        return np.zeros((0, 0), bool)
    points = np.array([pair.point_mm for pair in pairs])
    levels = np.array([pair.level for pair in pairs])
    least, most = _steps(rules)
    steps = [array[levels[:, None], levels[None]] for array in (least, most)]
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    spaced = (distance >= rules.spacing_mm[0] * steps[0]) & (distance <= rules.spacing_mm[1] * steps[1])
    # by this much lower, so that no two of a whole chain can be one vertebra
    lower = points[:, None, 2] - points[None, :, 2] >= rules.same_mm
    return spaced & lower & (levels[:, None] < levels[None])


def _steps(rules: LevelRules) -> tuple[np.ndarray, np.ndarray]:
    """[L, L] fewest and most vertebrae from one level down to another."""
    index = np.arange(len(rules.names))
    needed = np.cumsum([name not in rules.optional for name in rules.names])
    most = index[None] - index[:, None]
    between = np.append(needed[:1], needed)[index][None] - needed[:, None]
    return between + 1, most


def _guided_pairs(
    reading: Reading,
    views: Mapping[str, HeatmapView],
    peaks: Mapping[str, Sequence[Sequence[Peak]]],
    geometry: BiplanarGeometry,
    rules: LevelRules,
) -> list[LevelPair]:
    """For each level that one view alone shows surely: the strongest peak where the other view must show it."""
    if len(reading.found) < 2:
        return []
    found = []
    for level, own in enumerate(reading.pairs):
        shown = {} if own else _shown(level, reading, peaks, rules)
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
    follows = _follows(chain, rules)
    return all(follows[i, i + 1] for i in range(len(chain) - 1))


def _shown(
    level: int, reading: Reading, peaks: Mapping[str, Sequence[Sequence[Peak]]], rules: LevelRules
) -> dict[str, Peak]:
    """By view, the strongest sure peak of an absent level that lies between its neighbours and on none of them."""
    shown = {}
    for view in VIEWS:
        others = [(pair.level, pair[view]) for pair in reading.found]
        for peak in peaks[view][level]:
            free = all((peak.row > own.row) == (level > k) and not same_vertebra(peak, own) for k, own in others)
            if peak.confidence >= rules.sure and free:
                shown[view] = peak
                break
    return shown


def _absences(
    best: Reading, peaks: Mapping[str, Sequence[Sequence[Peak]]], geometry: BiplanarGeometry, rules: LevelRules
) -> tuple[tuple[Mapping[str, Peak], ...], tuple[str, ...]]:
    """The peaks of levels that one view alone shows, and the reason of each absence."""
    only_in: list[Mapping[str, Peak]] = []
    reasons = []
    for level, pair in enumerate(best.pairs):
        shown = {} if pair else _shown(level, best, peaks, rules)
        only_in.append(shown if len(shown) == 1 else {})
        reasons.append("" if pair else _reason(level, shown, geometry, rules))
    return tuple(only_in), tuple(reasons)


def _reason(level: int, shown: Mapping[str, Peak], geometry: BiplanarGeometry, rules: LevelRules) -> str:
    if not shown:
        return "neither view shows it surely apart from the other vertebrae"
    if len(shown) == 1:
        (view,) = shown
        return f"only the {'AP' if view == 'ap' else 'lateral'} view shows it"
    (pair,) = _triangulated([(level, shown["ap"], shown["lat"])], geometry, rules.floor**2, rules)
    if pair.gap_mm > rules.gap_mm:
        return f"the two views show it {pair.gap_mm:.0f} mm apart"
    return "where both views show it, its distance to its neighbours is not that of a lumbar vertebra"
