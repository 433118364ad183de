"""Radiographs to decompositions and 2D landmarks: the multi-task network applied to both views of a study."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, VIEWS
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.geometry.camera import Camera
from lumbar_ext.landmarks.located_anchors import AnchorView, LocatedAnchors, locate_anchors
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.networks.inference import reproducible_inference
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.transforms.canonical import (
    NETWORK_SIZE_PX,
    CanonicalView,
    size_on_grid,
    to_network_grid,
)
from lumbar_ext.transforms.confidence import ConfidenceCalibration
from lumbar_ext.transforms.decode import DecodedView, PackedView, decode_view, read_packed
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.level_naming.joint_levels import LevelAssignment, assign_levels
from lumbar_ext.transforms.level_naming.level_choice import CONFIDENCE_THRESHOLD, LevelChoice, choose_levels
from lumbar_ext.transforms.spine_decode import anchor_view, doubt_of_spine

_NEGLIGIBLE_PX = 32
"""What a film may have beyond the grid, both sides together, before the rest is looked at: plates of 43 cm are 516 px."""


@dataclass(frozen=True)
class ObservedStudy:
    """What the network saw in both views.

    Args:
        canonical: for each view, the radiograph on the network grid.
        decoded: for each view, decomposition and landmarks on the network grid; left and right are the person's own.
        inverted: the views whose polarity was turned because the network found nothing in them as they were.
        levels: how both views together name the vertebrae; None where the names were given.
    """

    canonical: dict[str, CanonicalView]
    decoded: dict[str, DecodedView]
    inverted: tuple[str, ...] = ()
    levels: LevelAssignment | None = None

    @property
    def geometry(self) -> BiplanarGeometry:
        """The cameras of the network grids, in which decompositions and landmarks are given."""
        return BiplanarGeometry(self.canonical["ap"].camera, self.canonical["lat"].camera)

    @property
    def landmarks(self) -> dict[str, ViewLandmarks]:
        """For each view, landmarks on the network grid."""
        return {view: ViewLandmarks(seen.landmarks_px, seen.landmark_confidence) for view, seen in self.decoded.items()}

    @property
    def anchors(self) -> dict[str, AnchorView] | None:
        """For each view, T12 and S1 on the network grid; None from a network that does not name them."""
        if any(seen.anchors is None for seen in self.decoded.values()):
            return None
        return {view: anchor_view(seen.anchors, self.canonical[view]) for view, seen in self.decoded.items()}

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the films being such of a lumbar spine, each a sentence."""
        said = {view: doubt_of_spine(seen) for view, seen in self.decoded.items()}
        return tuple(f"the {view} film {text}" for view, text in said.items() if text)

    def located_anchors(self, geometry: BiplanarGeometry | None = None) -> LocatedAnchors:
        """T12 and S1 in space, in cameras of the network grids; by default those of the calibration."""
        seen = self.anchors
        if seen is None:
            return LocatedAnchors.unknown()
        unseen = {} if self.levels is None else self.levels.missing
        sixth = all(np.isfinite(own.anchors.l6_landmarks_px[:2]).all() for own in self.decoded.values())
        return locate_anchors(geometry or self.geometry, seen, unseen, sixth)

    @property
    def decompositions(self) -> dict[str, np.ndarray]:
        """For each view, the decomposition [rows, columns] of the network grid."""
        return {view: seen.decomposition for view, seen in self.decoded.items()}


def to_network_grids(study: BiplanarStudy) -> dict[str, CanonicalView]:
    """Both radiographs in the network's orientation and grid."""
    return {view: to_network_grid(study[view].pixels, study.geometry[view], view) for view in VIEWS}


class Sighting(Protocol):
    """What one look at a radiograph found."""

    @property
    def complete(self) -> bool:
        """Whether all of L1 to L5 were found."""

    @property
    def sureness(self) -> float:
        """The sum of the five confidences."""


Seen = TypeVar("Seen", bound=Sighting)


def surer_polarity(look: Callable[[bool], Seen]) -> tuple[Seen, bool]:
    """One radiograph in the polarity in which a network is surer of the vertebrae; and whether that is the turned one.

    Tags and appearance can both mislead, so where not all levels are found it is looked at with dark and bright exchanged too.

    Args:
        look: sees the radiograph as it is (False) or turned (True).
    """
    upright = look(False)
    if upright.complete:
        return upright, False
    turned = look(True)
    return (turned, True) if turned.sureness > upright.sureness else (upright, False)


@dataclass(frozen=True)
class SeenView:
    """What the network answered to one radiograph, before it is decided which vertebra is which.

    Args:
        canonical: the radiograph in the polarity that was looked at.
        packed: the network's output.
    """

    canonical: CanonicalView
    packed: PackedView

    @cached_property
    def alone(self) -> LevelChoice:
        """The levels that it shows by itself."""
        return choose_levels(self.packed.levels.peaks, CONFIDENCE_THRESHOLD)

    @property
    def complete(self) -> bool:
        """Whether the view, read alone, shows every level that is looked for."""
        return None not in self.alone.peaks

    @property
    def sureness(self) -> float:
        """The sum of the levels' confidences."""
        return float(self.alone.confidence.sum())

    @property
    def decoded(self) -> DecodedView:
        """What it shows by itself, read out."""
        return decode_view(self.packed, self.alone)


def see_view(network: nn.Module, canonical: CanonicalView) -> tuple[SeenView, bool]:
    """Runs the network on one radiograph; see `surer_polarity` for what is returned.

    Args:
        network: in evaluation mode, on any device.
        canonical: the radiograph on the network grid, bone bright as far as is known.
    """

    def look(turn: bool) -> SeenView:
        seen = replace(canonical, pixels=_inverted(canonical)) if turn else canonical
        return SeenView(seen, _answer(network, seen.pixels))

    return surer_polarity(look)


def spine_on_grids(network: nn.Module, study: BiplanarStudy) -> dict[str, CanonicalView]:
    """Both radiographs in the network's orientation and grid; of a film that is larger than the grid, the part with the spine.

    Where the network does not find all five levels in the middle of such a film, it looks at parts of it half a grid apart,
    then, if none shows all, about the middle of what it found; the part in which it is surest of the vertebrae is taken.

    Warns:
        UserWarning: naming the film, if all five levels are found in no part of it.
    """
    return {view: _spine_on_grid(network, study[view], study.geometry[view], view) for view in VIEWS}


def _spine_on_grid(network: nn.Module, film: Radiograph, camera: Camera, view: str) -> CanonicalView:
    middle = to_network_grid(film.pixels, camera, view)
    beyond_px = np.array(size_on_grid(camera, view)) - NETWORK_SIZE_PX
    if beyond_px.max() <= _NEGLIGIBLE_PX:
        return middle

    def look_about(centre_px: np.ndarray) -> tuple[CanonicalView, SeenView]:
        part = to_network_grid(film.pixels, camera, view, centre_px=middle.to_original_px(centre_px))
        return part, see_view(network, part)[0]

    centre_px = np.full(2, (NETWORK_SIZE_PX - 1) / 2)
    best, found = look_about(centre_px)
    if not found.complete:
        ways = [
            np.linspace(-far / 2, far / 2, 1 + int(np.ceil(2 * far / NETWORK_SIZE_PX))) for far in beyond_px.clip(0)
        ]
        best, found = max((look_about(centre_px + way) for way in product(*ways)), key=_sureness)
        if any(found.alone.peaks) and not found.complete:
            seen_px = middle.to_canonical_px(best.to_original_px(np.nanmean(found.decoded.centres_px, axis=0)))
            best, found = max((best, found), look_about(seen_px), key=_sureness)
    if not found.complete:
        grid_mm = NETWORK_SIZE_PX * best.camera.pixel_spacing_mm[1]
        warnings.warn(
            f"{film.path}: larger than the {grid_mm:.0f} x {grid_mm:.0f} mm that are looked at at once; it was cropped to the "
            "part with most vertebrae, and no part shows all five surely",
            stacklevel=2,
        )
    return best


def _sureness(part: tuple[CanonicalView, SeenView]) -> float:
    return part[1].sureness


@dataclass(frozen=True)
class SeenViews:
    """What the network answered to both radiographs, before it is decided which vertebra is which.

    Args:
        views: for each view, what was seen.
        inverted: the views whose polarity was turned.
    """

    views: dict[str, SeenView]
    inverted: tuple[str, ...]

    @property
    def geometry(self) -> BiplanarGeometry:
        """The cameras of the network grids."""
        return BiplanarGeometry(self.views["ap"].canonical.camera, self.views["lat"].canonical.camera)

    def together(self) -> LevelAssignment:
        """The levels that both views agree on."""
        return assign_levels({view: seen.packed.levels for view, seen in self.views.items()}, self.geometry)


def see_views(network: nn.Module, canonical: dict[str, CanonicalView]) -> SeenViews:
    """Runs the network on both views, each in the polarity that it is surer of (`see_view`).

    Args:
        network: in evaluation mode, on any device.
        canonical: radiographs on the network grid, bone bright.
    """
    found = {view: see_view(network, own) for view, own in canonical.items()}
    return SeenViews({view: seen for view, (seen, _) in found.items()}, tuple(v for v in VIEWS if found[v][1]))


def observe(
    network: nn.Module, canonical: dict[str, CanonicalView], calibration: ConfidenceCalibration | None = None
) -> ObservedStudy:
    """Runs the network on both views (`see_views`), which then decide together which vertebra is which.

    Args:
        network: in evaluation mode, on any device.
        canonical: radiographs on the network grid, bone bright.
        calibration: makes probabilities of the network's confidences; None leaves them as they are.
    """
    seen = see_views(network, canonical)
    levels = seen.together()
    decoded = {view: decode_view(own.packed, levels.choice(view, own.alone)) for view, own in seen.views.items()}
    if calibration is not None:
        decoded = {view: _calibrated(own, calibration, view) for view, own in decoded.items()}
    for view, own in seen.views.items():
        if own.canonical.swap_left_right:
            decoded[view] = naming_the_persons_sides(decoded[view])
    return ObservedStudy({view: own.canonical for view, own in seen.views.items()}, decoded, seen.inverted, levels)


def _calibrated(seen: DecodedView, calibration: ConfidenceCalibration, view: str) -> DecodedView:
    """Probabilities for scores.

    The calibration's maps were fitted on peaks at or above the threshold; those of weaker ones, which the other view's
    agreement lets in (`transforms.level_naming.joint_levels`), fall in proportion to it.
    """
    share = np.minimum(seen.confidence / CONFIDENCE_THRESHOLD, 1.0)
    known = calibration.apply(seen, view)
    confidence, landmarks = share * known.confidence, share[:, None] * known.landmark_confidence
    return replace(known, confidence=confidence, landmark_confidence=landmarks)


@reproducible_inference()
def _answer(network: nn.Module, pixels: np.ndarray) -> PackedView:
    """The network's output for one radiograph [512, 512]."""
    device = next(network.parameters()).device
    image = torch.from_numpy(normalise_intensity(pixels))[None, None].to(device)
    return read_packed(network(image))


def _inverted(view: CanonicalView) -> np.ndarray:
    """The radiograph with dark and bright exchanged; pixels beyond its border take its new low."""
    turned = view.pixels.max() - view.pixels
    turned[~view.inside] = turned[view.inside].min()
    return turned


def naming_the_persons_sides(decoded: DecodedView) -> DecodedView:
    """Exchanges left and right landmarks."""
    order = list(LEFT_RIGHT_SWAP)
    return replace(
        decoded,
        landmarks_px=decoded.landmarks_px[:, order],
        landmark_confidence=decoded.landmark_confidence[:, order],
        anchors=decoded.anchors and decoded.anchors.with_sides_exchanged(),
    )
