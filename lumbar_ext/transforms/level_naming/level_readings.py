"""All ways to name what two views show, and which of them is the best.

A reading gives each level one pair of peaks or none. Whether it is allowed depends on pairs that follow each other alone,
so readings are paths through the pairs: the best one is a longest path, and sums over all of them follow from the same
recursion. Worth is a log-likelihood ratio, so a reading's share of the sum is its probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.transforms.level_naming.level_choice import CONFIDENCE_THRESHOLD, Peak


@dataclass(frozen=True)
class LevelRules:
    """What a reading is allowed and what it is worth (docs/decisions/joint-levels.md).

    Args:
        names: the levels from cranial to caudal, one heatmap each.
        optional: names that not everybody has; their neighbours may follow each other directly.
        least_confidence: weakest peak that counts as a candidate.
        gap_mm: farthest that the two rays of a pair may pass from each other; half of them pass within 0.5 mm, all
            true ones of 50 simulated studies within 6.
        gap_weight_per_mm2: what the square of this gap takes off a pair's worth.
        floor: heatmap value of what is no vertebra: the pair is worth ln(p_ap p_lat / floor^2).
        spacing_mm: least and greatest distance of the centres of neighbouring vertebrae.
        endplate: a last name whose "centre" is that of its superior endplate; None where there is none.
        endplate_spacing_mm: least and greatest distance of this one from the centre of the vertebra above.
        taken_up: a name whose vertebra may have grown into what the endplate belongs to: then the endplate is that vertebra's
            own upper one, right under the vertebra above.
        taken_up_log_odds: what a reading is worth less for saying so: 4.1 % of 5,941 people against the 90.1 % who have five
            free lumbar vertebrae (French et al. 2014).
        sure: a peak of this value shows a vertebra even if the other view does not.
        guided_confidence, guided_gap_mm: the first two limits where a sure peak of the other view says where to look.
    """

    names: tuple[str, ...] = LEVELS
    optional: frozenset[str] = frozenset()
    least_confidence: float = 0.02
    gap_mm: float = 9.0
    gap_weight_per_mm2: float = 0.15 / 9
    floor: float = 0.12
    spacing_mm: tuple[float, float] = (22.0, 55.0)
    endplate: str | None = None
    endplate_spacing_mm: tuple[float, float] = (9.0, 40.0)
    taken_up: str | None = None
    taken_up_log_odds: float = float(np.log(0.041 / 0.901))
    sure: float = CONFIDENCE_THRESHOLD
    guided_confidence: float = 0.01
    guided_gap_mm: float = 6.0

    @property
    def same_mm(self) -> float:
        """Centres nearer than this are one vertebra's."""
        return self.spacing_mm[0] / 2

    def without(self, upper: LevelPair, lower: LevelPair) -> bool:
        """Whether the endplate follows the vertebra above the one that may be taken up, with no room for this one between."""
        if self.taken_up is None or self.names[lower.level] != self.endplate:
            return False
        room_mm = self.spacing_mm[0] + self.endplate_spacing_mm[0]
        return upper.level == self.names.index(self.taken_up) - 1 and upper.distance_mm(lower) < room_mm

    def worth(self, likelihood_ratio: float, gap_mm: float) -> float:
        """Of a pair whose heatmaps speak so many times more for a vertebra than for none."""
        return float(np.log(likelihood_ratio)) - self.gap_weight_per_mm2 * gap_mm**2


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
        """From this pair's centre in space to another's."""
        return float(np.linalg.norm(np.subtract(self.point_mm, other.point_mm)))


@dataclass(frozen=True)
class Reading:
    """One way to name what both views show.

    Args:
        pairs: of each level, None where it is absent.
        probability: that it names the vertebrae rightly: the share, among all readings, of those that find a vertebra and
            name none otherwise than this one does.
    """

    pairs: tuple[LevelPair | None, ...]
    probability: float

    @property
    def found(self) -> tuple[LevelPair, ...]:
        """The pairs of the levels that are there."""
        return tuple(pair for pair in self.pairs if pair is not None)

    def is_without(self, rules: LevelRules) -> bool:
        """Whether it says that a vertebra was taken up (`LevelRules.taken_up`)."""
        return any(rules.without(upper, lower) for upper, lower in pairwise(self.found))

    def name_of(self, place: LevelPair, same_mm: float) -> int | None:
        """The level that this reading gives the vertebra at a pair's place; None if it names none there."""
        if not self.found:
            return None
        nearest = min(self.found, key=place.distance_mm)
        return nearest.level if place.distance_mm(nearest) <= same_mm else None

    def contradicts(self, pair: LevelPair, same_mm: float) -> bool:
        """Whether a pair puts its name on another vertebra than this reading, or names one of this reading's otherwise."""
        own = self.pairs[pair.level]
        if own is not None:
            return own.distance_mm(pair) > same_mm
        return self.name_of(pair, same_mm) is not None


class Readings:
    """All readings of some pairs.

    Args:
        pairs: of any levels, in any order.
        rules: what may follow what.
    """

    def __init__(self, pairs: Sequence[LevelPair], rules: LevelRules) -> None:
        self.pairs = sorted(pairs, key=lambda pair: pair.level)
        self.rules = rules
        self.worth = np.array([pair.worth for pair in self.pairs])
        self.follows = may_follow(self.pairs, rules)
        odds = rules.taken_up_log_odds
        self.step = np.array([[odds * rules.without(a, b) for b in self.pairs] for a in self.pairs]).reshape(
            self.follows.shape
        )
        self.log_total = self._log_sum(np.ones(len(self.pairs), bool))

    def best(self) -> Reading:
        """The reading of the greatest worth; the empty one where no pair is worth anything."""
        return self._reading(self._path(np.zeros(len(self.pairs), bool)))

    def runner_up(self, best: Reading) -> Reading | None:
        """The best reading that contradicts `best`; its probability is that of what agrees with it and not with `best`."""
        other = self._contradicting(best)
        if not other.any():
            return None
        second = self._reading(self._path(other))
        agreeing = ~self._contradicting(second)
        with_both = np.exp(self._log_sum(agreeing & ~other) - self.log_total)
        return replace(second, probability=float(np.exp(self._log_sum(agreeing) - self.log_total) - with_both))

    def level_probability(self, best: Reading) -> np.ndarray:
        """[L] share of the readings that have each level where `best` has it."""
        share = np.exp(self._log_sums_ending() + self._log_sums_after() - self.log_total)
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
        if not path:
            return reading
        agreeing = np.exp(self._log_sum(~self._contradicting(reading)) - self.log_total)
        empty = np.exp(-self.log_total)
        return replace(reading, probability=float(max(agreeing - empty, 0.0)))

    def _contradicting(self, reading: Reading) -> np.ndarray:
        return np.array([reading.contradicts(pair, self.rules.same_mm) for pair in self.pairs], bool)

    def _path(self, needed: np.ndarray) -> list[int]:
        """The path of the greatest worth; if any pair is needed, the best one that holds at least one of these."""
        count = len(self.pairs)
        # [holds a needed pair, last pair]: the greatest worth, and the same of the path before
        value = np.full((2, count), -np.inf)
        before: dict[tuple[int, int], tuple[int, int] | None] = {}
        for j in range(count):
            earlier = np.flatnonzero(self.follows[:, j])
            for holds in (0, 1):
                states = (0, 1) if needed[j] and holds else () if needed[j] else (holds,)
                options = [(value[state, i] + self.step[i, j], (state, i)) for state in states for i in earlier]
                if holds == needed[j]:
                    options.append((0.0, None))
                if options:
                    gain, before[holds, j] = max(options, key=lambda option: option[0])
                    value[holds, j] = self.worth[j] + gain
        wanted = int(needed.any())
        if not count or (not wanted and value[0].max() <= 0):
            return []
        path, place = [], (wanted, int(value[wanted].argmax()))
        while place is not None:
            path.append(place[1])
            place = before[place]
        return path[::-1]

    def _log_sum(self, allowed: np.ndarray) -> float:
        """Logarithm of the summed likelihoods of all readings of the allowed pairs, the empty one included."""
        return _log_of_sum(self._log_sums_ending(allowed))

    def _log_sums_ending(self, allowed: np.ndarray | None = None) -> np.ndarray:
        """[N] of all readings whose last pair is this one."""
        sums = np.full(len(self.pairs), -np.inf)
        for j in range(len(self.pairs)):
            if allowed is None or allowed[j]:
                sums[j] = self.worth[j] + _log_of_sum((sums + self.step[:, j])[self.follows[:, j]])
        return sums

    def _log_sums_after(self) -> np.ndarray:
        """[N] of all ways to go on below this pair."""
        sums = np.zeros(len(self.pairs))
        for i in reversed(range(len(self.pairs))):
            sums[i] = _log_of_sum((self.worth + sums + self.step[i])[self.follows[i]])
        return sums


def may_follow(pairs: Sequence[LevelPair], rules: LevelRules) -> np.ndarray:
    """[N, N] whether the second pair may be the next one below the first."""
    points = np.array([pair.point_mm for pair in pairs]).reshape(-1, 3)
    levels = np.array([pair.level for pair in pairs], int)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    least, greatest = (limit[levels[:, None], levels[None]] for limit in _distances_between(rules))
    # each is so much lower that no two of a whole chain can be one vertebra; a steep sacrum lies behind L5 rather than below it
    fall = np.where(_is_endplate(rules)[levels], rules.endplate_spacing_mm[0] / 2, rules.same_mm)
    lower = points[:, None, 2] - points[None, :, 2] >= fall[None]
    return (distance >= least) & (distance <= greatest) & lower & (levels[:, None] < levels[None])


def _is_endplate(rules: LevelRules) -> np.ndarray:
    return np.array([name == rules.endplate for name in rules.names])


def _distances_between(rules: LevelRules) -> tuple[np.ndarray, np.ndarray]:
    """[L, L] the least and the greatest distance of one level from another in mm."""
    ends_at_endplate = _is_endplate(rules)[None]
    limits = zip(rules.spacing_mm, rules.endplate_spacing_mm, _steps_between(rules), strict=True)
    least, greatest = (step * (count - ends_at_endplate) + last * ends_at_endplate for step, last, count in limits)
    return least, greatest


def _steps_between(rules: LevelRules) -> tuple[np.ndarray, np.ndarray]:
    """[L, L] the fewest and the most vertebrae that one goes down from one level to another."""
    index = np.arange(len(rules.names))
    everybodys = np.array([name not in rules.optional for name in rules.names])
    above = np.append(0, np.cumsum(everybodys))[:-1]
    fewest = 1 + above[None] - (above + everybodys)[:, None]
    if rules.taken_up is not None and rules.endplate is not None:
        fewest[rules.names.index(rules.taken_up) - 1, rules.names.index(rules.endplate)] = 1
    return fewest, index[None] - index[:, None]


def _log_of_sum(logs: np.ndarray) -> float:
    """ln(1 + sum of exp(logs))."""
    greatest = max(float(logs.max(initial=0.0)), 0.0)
    return greatest + float(np.log(np.exp(-greatest) + np.exp(logs - greatest).sum()))
