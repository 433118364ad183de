"""T12 and S1 in space: the centre of the one, the superior endplate of the other, or why they cannot be had.

Neither has a mesh. What is measured with them rests on the network's landmarks alone, so everything here carries its
covariance, and what the views do not agree on is left out with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.anatomy import ANCHOR_POINTS, S1_LANDMARKS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry, triangulate
from lumbar_ext.landmarks.sacral_endplate import SacralEndplate, fit_sacral_endplate

NOT_SEEN = "the network of this run does not see {}"
"""Reason for T12 and S1 where the network has no channels for them."""

LARGEST_GAP_MM = 10.0
"""Root mean square distance of the rays of S1's landmarks, or of T12's centre, above which the views do not show one place."""

LARGEST_RESIDUAL = 3.0
"""Misfit of S1's landmarks, in their standard deviations, above which they are no endplate."""

_DEPTH_MM, _WIDTH_MM = (18.0, 45.0), (32.0, 68.0)
"""Sizes of S1's endplate: 29 and 50 mm on average in the simulator's people, with room for half and for the largest."""

_IN_WORDS = {"ap": "AP", "lat": "lateral"}
_T12, _S1 = 0, slice(1, None)
_AXIS_SD_PER_SCALE = np.sqrt(3.0)  # see `sacral_endplate`


@dataclass(frozen=True)
class AnchorView:
    """What one view shows of `anatomy.ANCHOR_POINTS`.

    Args:
        positions_px: [6, 2] (u, v); NaN where nothing was found.
        scales_px: [6] scale b of each position's error, see `networks.spine_packing`.
        confidence: [6] in [0, 1].
        on_film: [6] bool, whether the position lies on the film, and not on a part that shows nothing.
    """

    positions_px: np.ndarray
    scales_px: np.ndarray
    confidence: np.ndarray
    on_film: np.ndarray

    @classmethod
    def nothing(cls) -> AnchorView:
        """A view that shows none of them."""
        n = len(ANCHOR_POINTS)
        return cls(np.full((n, 2), np.nan), np.full(n, np.nan), np.zeros(n), np.zeros(n, bool))

    @property
    def found(self) -> np.ndarray:
        """[6] bool, which have a position."""
        return np.isfinite(self.positions_px).all(-1)


@dataclass(frozen=True)
class LocatedAnchors:
    """T12 and S1 in space, world mm.

    Args:
        positions_mm: [6, 3] `anatomy.ANCHOR_POINTS`: T12's centre as triangulated, S1's points as fitted; NaN where unknown.
        gap_mm: [6] distance of the two rays.
        t12_covariance_mm2: [3, 3]; None without T12.
        sacrum: S1's superior endplate; None where it cannot be had.
        missing: why "T12" or "S1" cannot be had.
        sixth: whether a sixth lumbar vertebra lies between L5 and S1.
    """

    positions_mm: np.ndarray
    gap_mm: np.ndarray
    t12_covariance_mm2: np.ndarray | None
    sacrum: SacralEndplate | None
    missing: Mapping[str, str] = field(default_factory=dict)
    sixth: bool = False

    @classmethod
    def unknown(cls, reason: str = NOT_SEEN) -> LocatedAnchors:
        """Neither can be had; `{}` of the reason becomes the level."""
        n = len(ANCHOR_POINTS)
        missing = {level: reason.format(level) for level in ("T12", "S1")}
        return cls(np.full((n, 3), np.nan), np.full(n, np.nan), None, None, missing)

    def without_sacrum(self, reason: str) -> LocatedAnchors:
        """The same, but nothing is measured with S1."""
        return LocatedAnchors(
            self.positions_mm, self.gap_mm, self.t12_covariance_mm2, None, {**self.missing, "S1": reason}, self.sixth
        )

    @property
    def t12_mm(self) -> np.ndarray | None:
        """[3] T12's centre; None where it cannot be had."""
        return None if self.t12_covariance_mm2 is None else self.positions_mm[_T12]

    def samples(self, count: int, seed: int = 1) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Plausible T12 centres [count, 3] and S1 points [count, 5, 3]; None for what cannot be had."""
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((count, 3 * len(ANCHOR_POINTS)))
        t12 = sacrum = None
        if self.t12_covariance_mm2 is not None:
            t12 = self.positions_mm[_T12] + noise[:, :3] @ _root(self.t12_covariance_mm2)
        if self.sacrum is not None:
            offsets = noise[:, 3:] @ _root(self.sacrum.covariance_mm2)
            sacrum = self.sacrum.points_mm + offsets.reshape(count, len(S1_LANDMARKS), 3)
        return t12, sacrum


def locate_anchors(
    geometry: BiplanarGeometry, views: Mapping[str, AnchorView], unseen: Mapping[str, str], sixth: bool = False
) -> LocatedAnchors:
    """T12 and S1 in space.

    Args:
        geometry: cameras of the images in which the views' positions are given.
        views: for each of "ap" and "lat".
        unseen: why "T12" or "S1" is not shown, where that is known.
        sixth: whether both views show a sixth lumbar vertebra.
    """
    both = views["ap"].found & views["lat"].found
    found = triangulate(geometry.ap, geometry.lat, *(views[view].positions_px for view in VIEWS))
    points_mm = np.where(both[:, None], found.points_mm, np.nan)
    gap_mm = np.where(both, found.gap_mm, np.nan)
    missing: dict[str, str] = {}
    t12 = sacrum = None
    if reason := _doubt("T12", views, unseen, gap_mm, np.array([_T12])):
        missing["T12"] = reason
    else:
        t12 = _point_covariance(geometry, {view: own.scales_px[_T12] for view, own in views.items()}, points_mm[_T12])
    if reason := _doubt("S1", views, unseen, gap_mm, np.arange(len(ANCHOR_POINTS))[_S1]):
        missing["S1"] = reason
    else:
        sacrum = fit_sacral_endplate(
            geometry,
            {view: own.positions_px[_S1] for view, own in views.items()},
            {view: np.where(own.on_film, own.scales_px, np.inf)[_S1] for view, own in views.items()},
            points_mm[_S1],
        )
        points_mm[_S1] = sacrum.points_mm
        if reason := _no_endplate(sacrum):
            missing["S1"], sacrum = reason, None
    return LocatedAnchors(points_mm, gap_mm, t12, sacrum, missing, sixth)


def _doubt(
    level: str, views: Mapping[str, AnchorView], unseen: Mapping[str, str], gap_mm: np.ndarray, own: np.ndarray
) -> str:
    """Why a level cannot be located; empty if nothing speaks against it."""
    shown = [view for view in VIEWS if views[view].found[own].all()]
    if len(shown) < len(VIEWS):
        of_one = f"only the {_IN_WORDS[shown[0]]} view shows it" if shown else "neither view shows it"
        return unseen.get(level, of_one)
    for view in VIEWS:
        if not views[view].on_film[own].any() or (~views[view].on_film[own]).sum() > 1:
            return f"the {_IN_WORDS[view]} film cuts it off or shows nothing there"
    gap = float(np.sqrt(np.mean(gap_mm[own] ** 2)))
    return f"the two views show it {gap:.0f} mm apart" if gap > LARGEST_GAP_MM else ""


def _no_endplate(sacrum: SacralEndplate) -> str:
    """Why what was fitted is no endplate; empty if it is one."""
    if sacrum.residual > LARGEST_RESIDUAL:
        return (
            f"its landmarks do not fit one endplate in both views ({sacrum.residual:.1f} standard deviations, "
            f"expected up to {LARGEST_RESIDUAL:g})"
        )
    for name, size, (low, high) in (("deep", sacrum.depth_mm, _DEPTH_MM), ("wide", sacrum.width_mm, _WIDTH_MM)):
        if not low <= size <= high:
            return f"its endplate would be {size:.0f} mm {name}, expected {low:g} to {high:g}"
    return ""


def _point_covariance(geometry: BiplanarGeometry, scales_px: Mapping[str, float], point_mm: np.ndarray) -> np.ndarray:
    """[3, 3] of a point that both views see with errors of these scales, linearised."""
    information = np.zeros((3, 3))
    for view, scale in scales_px.items():
        steps = np.vstack([point_mm, point_mm + np.eye(3)])
        projected = geometry[view].project(steps)
        slope = (projected[1:] - projected[0]) / (_AXIS_SD_PER_SCALE * scale)  # a row for each axis of the world
        information += slope @ slope.T
    return np.linalg.inv(information)


def _root(covariance: np.ndarray) -> np.ndarray:
    """[n, n] a matrix A with A^T A the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
