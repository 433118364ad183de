"""One marked film as the network sees it: alone, without a calibration, around the marked lumbar vertebrae."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.evaluation.films.annotations import MarkedFilm
from lumbar_ext.evaluation.films.scores import FilmScore, score_film
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.radiograph import with_bone_bright
from lumbar_ext.transforms.canonical import CanonicalView, to_network_grid
from lumbar_ext.transforms.decode import DecodedView
from lumbar_ext.transforms.single_view import displayed_camera
from lumbar_ext.workflow.locate_and_look import see_located
from lumbar_ext.workflow.observe import see_view

_ENDPLATES = (LANDMARKS.index("superior_endplate"), LANDMARKS.index("inferior_endplate"))


@dataclass(frozen=True)
class SeenFilm:
    """A film as the network saw it.

    Args:
        film: the film and its marks.
        canonical: the film on the network's grid, in the polarity that was kept.
        decoded: what the network found there.
        inverted: whether dark and bright were exchanged because the network saw more that way.
    """

    film: MarkedFilm
    canonical: CanonicalView
    decoded: DecodedView
    inverted: bool

    def score(self) -> FilmScore:
        """What was found, held against the marks."""
        found, in_file = self.decoded, self.canonical.to_original_px
        centres = np.where(found.present[:, None], in_file(found.centres_px), np.nan)
        return score_film(self.film, centres, in_file(found.landmarks_px[:, _ENDPLATES]))


def see_film(network: nn.Module, film: MarkedFilm, locator: nn.Module | None = None) -> SeenFilm:
    """Runs the network on one film: of the first generation around the marks, with a locator wherever this finds the spine.

    Raises:
        InputError: if the film cannot be read.
    """
    radiograph = with_bone_bright(read_radiograph(film.path))
    camera = displayed_camera(radiograph.size_px, film.spacing_mm)
    if locator is not None:
        located, inverted = see_located(network, locator, radiograph.pixels.astype(np.float32), camera, "ap")
        return SeenFilm(film, located.canonical, located.decoded, inverted)
    canonical = to_network_grid(radiograph.pixels, camera, "ap", centre_px=film.lumbar_centre_px)
    seen, inverted = see_view(network, canonical)
    return SeenFilm(film, seen.canonical, seen.decoded, inverted)
