"""Radiographs of any size to decompositions and landmarks: the spine is located on the whole film, then looked at in a crop.

The crop is what the second-generation network was trained on: 384 x 256 px of 0.834 mm, normalised by its own percentiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.geometry.camera import Camera
from lumbar_ext.networks.inference import reproducible_inference
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.transforms.canonical import CanonicalView, to_network_grid
from lumbar_ext.transforms.confidence import ConfidenceCalibration
from lumbar_ext.transforms.decode import DecodedView
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.level_naming.joint_levels import LevelAssignment, assign_levels
from lumbar_ext.transforms.level_naming.level_choice import CONFIDENCE_THRESHOLD, choose_levels
from lumbar_ext.transforms.level_naming.spine_levels import SPINE_RULES, decode_chosen, level_maps
from lumbar_ext.transforms.locate import locate_spine
from lumbar_ext.transforms.single_view import displayed_camera, original_from_network
from lumbar_ext.transforms.spine_crop import CROP_SIZE_PX
from lumbar_ext.transforms.spine_decode import decode_spine, doubt_of_spine
from lumbar_ext.workflow.observe import ObservedStudy, naming_the_persons_sides, surer_polarity

# A crop whose middle is off that of the vertebrae by more than this is cut out again: then a film and its longer or finer
# brother are seen through the same crop, and answers that depend on where it lies by 1 mm (measured) agree.
_OFF_CENTRE_PX = 0.5
_MOST_CROPS = 4
_LOCATORS_SAY = 0.3
"""Vertebrae that a place e times likelier by the locator is worth; of 72 real films of whole spines it decided two
between neck and loins, where the network alone was surer of the neck."""
_LEAST_PROBABILITY = 1e-3
# of the sum of five probabilities: what the centred crop may lose and still be preferred
_AS_SURE = 0.05
_MIDDLE = (len(LEVELS) - 1) / 2  # index of L3


@dataclass(frozen=True)
class LocatedView:
    """What the network answered to the crop about the spine of one radiograph.

    Args:
        canonical: the crop, in the polarity that was looked at.
        packed: the network's output.
        decoded: what this view shows by itself.
    """

    canonical: CanonicalView
    packed: Tensor
    decoded: DecodedView

    @property
    def complete(self) -> bool:
        """Whether all five lumbar levels were found in the view."""
        return bool(self.decoded.present.all())

    @property
    def sureness(self) -> float:
        """The sum of the levels' confidences."""
        return float(self.decoded.confidence.sum())


def observe_located(
    network: nn.Module, locator: nn.Module, study: BiplanarStudy, calibration: ConfidenceCalibration | None = None
) -> ObservedStudy:
    """Locates the lumbar spine in both views and runs the network on crops around it; both views name the levels together.

    Where a film shows no lumbar spine (`doubt_of_spine`), every level is absent for that reason, unless both views agree on all
    five: a severe scoliosis may be as hard to read as noise in one view, but noise agrees with no spine.

    Each view is kept in the polarity in which the network is surer of the vertebrae (`observe.surer_polarity`).

    Args:
        network: a `lumbar_ext.networks.LumbarSpineNet` in evaluation mode.
        locator: a `lumbar_ext.networks.locator.SpineLocator` in evaluation mode.
        study: radiographs of any size, bone bright, with their cameras.
        calibration: makes probabilities of the network's confidences; None leaves them as they are.
    """
    found = {
        view: see_located(network, locator, study[view].pixels.astype(np.float32), study.geometry[view], view)
        for view in VIEWS
    }
    seen = {view: own for view, (own, _) in found.items()}
    maps = {view: level_maps(own.packed) for view, own in seen.items()}
    levels = _unless_doubted(assign_levels(maps, _geometry(seen), SPINE_RULES), seen)
    decoded = {
        view: decode_chosen(own.packed, levels.choice(view, choose_levels(maps[view].peaks, CONFIDENCE_THRESHOLD)))
        for view, own in seen.items()
    }
    if calibration is not None:
        decoded = {view: calibration.apply(own, view) for view, own in decoded.items()}
    for view, own in seen.items():
        if own.canonical.swap_left_right:
            decoded[view] = naming_the_persons_sides(decoded[view])
    inverted = tuple(view for view, (_, turned) in found.items() if turned)
    return ObservedStudy({view: own.canonical for view, own in seen.items()}, decoded, inverted, levels)


def see_located(
    network: nn.Module, locator: nn.Module, pixels: np.ndarray, camera: Camera, view: str
) -> tuple[LocatedView, bool]:
    """Locates the lumbar spine on one radiograph and runs the network on the crop; see `surer_polarity` for what is returned.

    Args:
        network, locator: see `observe_located`.
        pixels: [rows, columns] of any size, bone bright as far as is known.
        camera: that took them.
        view: "ap" or "lat".
    """
    return surer_polarity(lambda turn: _look(network, locator, pixels.max() - pixels if turn else pixels, camera, view))


class LocateAndLook(Inferer):
    """The inferer of the network bundle: locates the spine on one whole film, and asks the network about a crop around it.

    Args:
        locator: see `observe_located`.
    """

    def __init__(self, locator: nn.Module) -> None:
        self.locator = locator.eval()

    def __call__(self, inputs: Tensor, network: nn.Module, pixel_spacing_mm: Tensor) -> dict[str, Tensor]:
        """What the network answered last, and where on the film it looked.

        Args:
            inputs: [1, 1, rows, columns], the film as it is shown, head up, bone bright as far as is known.
            network: see `observe_located`.
            pixel_spacing_mm: [1, 2], of the film along u and v.

        Returns:
            `packed` [1, 111, 48, 32], and `original_from_network` [1, 2, 2] (`single_view.original_from_network`).
        """
        pixels = inputs[0, 0].cpu().numpy()
        camera = displayed_camera(pixels.shape[::-1], tuple(pixel_spacing_mm[0].tolist()))
        # the stand-in camera of a radiograph without a calibration lays it as shown, whichever view it is
        seen, _ = see_located(network.eval(), self.locator, pixels, camera, "ap")
        return {"packed": seen.packed, "original_from_network": original_from_network(seen.canonical)[None]}


def _look(network: nn.Module, locator: nn.Module, pixels: np.ndarray, camera: Camera, view: str) -> LocatedView:
    """One view: looked at wherever the spine may be, usually one place; the network may take a neck for loins, and the locator
    may prefer it, but hardly both.
    """
    seen = []
    for place in locate_spine(locator, pixels, camera, view):
        looked = _look_about(network, pixels, camera, view, place.centre_px)
        seen.append((looked.sureness + _LOCATORS_SAY * np.log(max(place.probability, _LEAST_PROBABILITY)), looked))
    return max(seen, key=lambda own: own[0])[1]


def _look_about(network: nn.Module, pixels: np.ndarray, camera: Camera, view: str, place_px: np.ndarray) -> LocatedView:
    """A look, and further ones about the middle of what was found, until the crop lies about it."""
    seen = _look_at(network, pixels, camera, view, place_px)
    for _ in range(_MOST_CROPS - 1):
        middle = middle_of_levels(seen.decoded.centres_px)
        crop_centre = (np.array(CROP_SIZE_PX[::-1]) - 1) / 2
        if middle is None or np.abs(middle - crop_centre).max() <= _OFF_CENTRE_PX:
            break
        again = _look_at(network, pixels, camera, view, seen.canonical.to_original_px(middle))
        if again.sureness <= seen.sureness - _AS_SURE:
            break
        seen = again
    return seen


@reproducible_inference()
def _look_at(network: nn.Module, pixels: np.ndarray, camera: Camera, view: str, centre_px: np.ndarray) -> LocatedView:
    canonical = to_network_grid(pixels, camera, view, size_px=CROP_SIZE_PX[::-1], centre_px=centre_px)
    image = torch.from_numpy(normalise_intensity(canonical.pixels, canonical.inside))[None, None]
    packed = network(image.to(next(network.parameters()).device))
    return LocatedView(canonical, packed, decode_spine(packed))


def _unless_doubted(levels: LevelAssignment, seen: dict[str, LocatedView]) -> LevelAssignment:
    said = {view: doubt_of_spine(own.decoded) for view, own in seen.items()}
    doubts = "; ".join(f"the {view} film {text}" for view, text in said.items() if text)
    if not doubts or set(LEVELS).isdisjoint(levels.missing):
        return levels
    return LevelAssignment.nothing(SPINE_RULES, f"{doubts}; nothing is taken from it")


def _geometry(seen: dict[str, LocatedView]) -> BiplanarGeometry:
    return BiplanarGeometry(seen["ap"].canonical.camera, seen["lat"].canonical.camera)


def middle_of_levels(centres_px: np.ndarray) -> np.ndarray | None:
    """Where L3 is, or would be on the line through the centres [5, 2] that are known; None with fewer than two."""
    known = np.isfinite(centres_px).all(axis=1)
    if known.sum() < 2:
        return None
    fitted = np.polyfit(np.flatnonzero(known) - _MIDDLE, centres_px[known], 1)
    return fitted[1]
