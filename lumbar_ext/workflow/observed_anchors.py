"""T12 and S1 of a study: what the network saw of them in both views, brought to space."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import ANCHOR_POINTS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.landmarks.located_anchors import AnchorView, LocatedAnchors, locate_anchors
from lumbar_ext.registration.refined_cameras import moved_camera
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.transforms.canonical import CanonicalView
from lumbar_ext.transforms.decode import SpineAnchors
from lumbar_ext.transforms.spine_decode import probability_within
from lumbar_ext.workflow.observe import ObservedStudy

_LEVELS = np.array([level for level, _ in ANCHOR_POINTS])


def observed_anchors(observed: ObservedStudy, result: RegistrationResult) -> LocatedAnchors:
    """T12 and S1 in space, in the cameras that the registration ended with.

    Args:
        observed: what the network saw.
        result: the registration.
    """
    seen = [own.anchors for own in observed.decoded.values()]
    if any(anchors is None for anchors in seen):
        return LocatedAnchors.unknown()
    unseen = {} if observed.levels is None else observed.levels.missing
    sixth = all(np.isfinite(anchors.l6_landmarks_px[:2]).all() for anchors in seen)
    return locate_anchors(_ended_with(observed.geometry, result), anchor_views(observed), unseen, sixth)


def anchor_views(observed: ObservedStudy) -> dict[str, AnchorView]:
    """By view, the points of T12 and S1 in the pixels of the network grid."""
    return {
        view: AnchorView.nothing() if own.anchors is None else _anchor_view(own.anchors, observed.canonical[view])
        for view, own in observed.decoded.items()
    }


def _anchor_view(anchors: SpineAnchors, canonical: CanonicalView) -> AnchorView:
    positions_px = np.vstack([anchors.t12_centre_px, anchors.s1_landmarks_px])
    scales_px = np.array([anchors.t12_scale_px, *anchors.s1_scale_px])
    named = np.array([anchors.confidence[level] for level in _LEVELS])
    confidence = np.nan_to_num(named * probability_within(scales_px))
    return AnchorView(positions_px, scales_px, confidence, _on_film(positions_px, canonical))


def _on_film(positions_px: np.ndarray, canonical: CanonicalView) -> np.ndarray:
    columns, rows = canonical.camera.size_px
    nearest = np.rint(np.nan_to_num(positions_px, nan=-1.0)).astype(int)
    on_grid = ((nearest >= 0) & (nearest < (columns, rows))).all(-1)
    u, v = np.clip(nearest, 0, (columns - 1, rows - 1)).T
    return on_grid & canonical.inside[v, u]


def _ended_with(geometry: BiplanarGeometry, result: RegistrationResult) -> BiplanarGeometry:
    motions = result.camera_motions
    moved = {view: moved_camera(geometry[view], motions[view]) if view in motions else geometry[view] for view in VIEWS}
    return BiplanarGeometry(**moved)
