"""Corrected landmarks as training items of the network bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lumbar_ext.label.image_markups import read_markups
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.label.request_parameters import ViewParameters
from lumbar_ext.label.seen_radiograph import NetworkBundle
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.radiograph import with_bone_bright
from lumbar_ext.transforms.canonical import size_on_grid, to_network_grid
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.single_view import displayed_camera
from lumbar_ext.transforms.spine_targets import SpinePoints


@dataclass(frozen=True)
class LabelledView:
    """One radiograph with a user's landmarks; arrays [rows, columns] of the network's spacing, all of the film.

    Args:
        view: "ap" or "lat".
        image: float32, normalised.
        decomposition: float32, in [0, 1).
        points: the landmarks of L1 to L5.
    """

    view: str
    image: np.ndarray
    decomposition: np.ndarray
    points: SpinePoints

    @property
    def present(self) -> np.ndarray:
        """bool [5], both endplates of the lumbar vertebra labelled."""
        return np.isfinite(self.points.centres_px[1:6]).all(axis=1)


def labelled_view(image: Path, markups: Path, parameters: ViewParameters, network: NetworkBundle) -> LabelledView:
    """One radiograph with a user's landmarks on the network grid.

    A user corrects landmarks only. The target of the decomposition is what the network itself sees now, so that this part
    of it holds still while the landmarks learn.

    Args:
        image: the radiograph.
        markups: the user's landmarks.
        parameters: with view and, where the file does not state it, pixel spacing.
        network: gives the decomposition.

    Raises:
        InputError: if a file cannot be used.
    """
    radiograph = with_bone_bright(read_radiograph(image), parameters.polarity)
    spacing_mm = radiograph.pixel_spacing_mm or (parameters.pixel_spacing_mm, parameters.pixel_spacing_mm)
    camera = displayed_camera(radiograph.size_px, spacing_mm)
    size_px = size_on_grid(camera, "ap")
    film = to_network_grid(radiograph.pixels, camera, "ap", size_px=size_px)
    points = SpinePoints.of_lumbar(film.to_canonical_px(read_markups(markups, ImageSpace.of_file(image))))
    seen = network.see(image, parameters.view, parameters)
    decomposition = to_network_grid(seen.on_film(radiograph.size_px, spacing_mm), camera, "ap", size_px=size_px).pixels
    return LabelledView(parameters.view, normalise_intensity(film.pixels), decomposition, points)


class LabelledViews:
    """Labelled views as `training.spine_views.SpineViewDataset` takes them; a config can name them as one value.

    Args:
        views: as many as there are.
    """

    def __init__(self, views: list[LabelledView]) -> None:
        self.views = tuple(views)

    def __len__(self) -> int:
        return len(self.views)

    def sample(self, index: int) -> dict[str, Any]:
        """One view as float tensors [1, H, W] `image` and `decomposition`, with `points` and `view`."""
        own = self.views[index]
        pictures = {name: torch.from_numpy(getattr(own, name))[None] for name in ("image", "decomposition")}
        return {**pictures, "points": own.points, "view": own.view}
