"""Radiographs to decompositions and 2D landmarks: the multi-task network applied to both views of a study."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, VIEWS
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.transforms.canonical import CanonicalView, to_network_grid
from lumbar_ext.transforms.confidence import ConfidenceCalibration
from lumbar_ext.transforms.decode import DecodedView, decode_packed
from lumbar_ext.transforms.intensity import normalise_intensity


@dataclass(frozen=True)
class ObservedStudy:
    """What the network saw in both views.

    Args:
        canonical: for each view, the radiograph on the network grid.
        decoded: for each view, decomposition and landmarks on the network grid; left and right are the person's own.
        inverted: the views whose polarity was turned because the network found nothing in them as they were.
    """

    canonical: dict[str, CanonicalView]
    decoded: dict[str, DecodedView]
    inverted: tuple[str, ...] = ()

    @property
    def geometry(self) -> BiplanarGeometry:
        """The cameras of the network grids, in which decompositions and landmarks are given."""
        return BiplanarGeometry(self.canonical["ap"].camera, self.canonical["lat"].camera)

    @property
    def landmarks(self) -> dict[str, ViewLandmarks]:
        """For each view, landmarks on the network grid."""
        return {view: ViewLandmarks(seen.landmarks_px, seen.landmark_confidence) for view, seen in self.decoded.items()}

    @property
    def decompositions(self) -> dict[str, np.ndarray]:
        """For each view, the decomposition [512, 512]."""
        return {view: seen.decomposition for view, seen in self.decoded.items()}


def to_network_grids(study: BiplanarStudy) -> dict[str, CanonicalView]:
    """Both radiographs in the network's orientation and grid."""
    return {view: to_network_grid(study[view].pixels, study.geometry[view], view) for view in VIEWS}


def observe(
    network: nn.Module, canonical: dict[str, CanonicalView], calibration: ConfidenceCalibration | None = None
) -> ObservedStudy:
    """Runs the network on both views.

    A view in which not all levels are found is tried inverted as well, and the polarity in which the network is surer
    of the vertebrae is kept: tags and appearance can both mislead.

    Args:
        network: in evaluation mode, on any device.
        canonical: radiographs on the network grid, bone bright.
        calibration: makes probabilities of the network's confidences; None leaves them as they are.
    """
    decoded = {view: _seen(network, seen.pixels) for view, seen in canonical.items()}
    inverted = []
    for view in VIEWS:
        if decoded[view].present.all():
            continue
        turned = replace(canonical[view], pixels=_inverted(canonical[view]))
        retried = _seen(network, turned.pixels)
        if retried.confidence.sum() > decoded[view].confidence.sum():
            canonical, decoded = {**canonical, view: turned}, {**decoded, view: retried}
            inverted.append(view)
    if calibration is not None:
        decoded = {view: calibration.apply(seen, view) for view, seen in decoded.items()}
    for view, seen in canonical.items():
        if seen.swap_left_right:
            decoded[view] = naming_the_persons_sides(decoded[view])
    return ObservedStudy(canonical, decoded, tuple(inverted))


@torch.inference_mode()
def _seen(network: nn.Module, pixels: np.ndarray) -> DecodedView:
    """What the network sees in one radiograph [512, 512]."""
    device = next(network.parameters()).device
    image = torch.from_numpy(normalise_intensity(pixels))[None, None].to(device)
    return decode_packed(network(image))


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
