"""The network as people use it, on films with known truth: located, looked at in a crop, and compared on the whole film.

    lumbar-ext evaluate-network --sets "{'mine': 'FOLDER'}" --output_dir eval

A vertebra beside the crop, or a spine that was sought elsewhere on the film, counts as missed and as missing from the
decomposition: the truth is that of the film, not of the crop. Each view is seen alone; where a pair is reconstructed both
views name the levels together (`evaluate-levels`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lumbar_ext.anatomy import LEVELS, SPINE_LEVELS
from lumbar_ext.bundle_paths import MULTITASK, bundle_dir
from lumbar_ext.engine.completed import Gathered, report_completed
from lumbar_ext.evaluation.network.evaluated_view import EvaluatedView
from lumbar_ext.evaluation.network.evaluation_report import write_tables
from lumbar_ext.evaluation.network.evaluation_views import ViewPlace, read_sets, view_places
from lumbar_ext.metrics.view_scores import MeasuredView, measure_decoded
from lumbar_ext.studies.findings import study_findings
from lumbar_ext.training.spine_views import read_spine_view
from lumbar_ext.transforms.augmentation.foreign_chain import ForeignChaind
from lumbar_ext.transforms.augmentation.warp import PlanarWarp
from lumbar_ext.transforms.canonical import NETWORK_SPACING_MM
from lumbar_ext.transforms.decode import DecodedView, levels_in_order
from lumbar_ext.transforms.single_view import displayed_camera
from lumbar_ext.transforms.spine_targets import SpinePoints
from lumbar_ext.typed_values import Count
from lumbar_ext.workflow.locate_and_look import see_located
from lumbar_ext.workflow.network_bundle import load_locating_networks

_LUMBAR = [SPINE_LEVELS.index(level) for level in LEVELS]
TITLE = "Rows marked simulated are ours; the paper's are of real X-rays and stand there for orientation."


@dataclass(frozen=True)
class KnownFilm:
    """One whole radiograph with its truth; arrays [rows, columns] of the network's spacing.

    Args:
        image: float32, normalised.
        decomposition: float32, in [0, 1).
        points: the vertebrae.
    """

    image: np.ndarray
    decomposition: np.ndarray
    points: SpinePoints

    def shifted(self, offset_px: np.ndarray) -> KnownFilm:
        """The same on the grid whose first pixel lies at (u, v) of this one's, less than a pixel away."""
        if not np.any(offset_px):
            return self
        warp = PlanarWarp(np.eye(2), offset_px, self.image.shape)
        stacked = torch.from_numpy(np.stack([self.image, self.decomposition]))
        image, decomposition = warp.apply_to_images(stacked).numpy()
        return KnownFilm(image, decomposition, self.points.moved(warp.apply_to_points))

    @property
    def visible(self) -> np.ndarray:
        """[5, 7] bool, the landmarks of L1 to L5 that lie on it."""
        columns_rows = np.array(self.image.shape[::-1]) - 1
        landmarks = self.points.landmarks_px[_LUMBAR]
        return ((landmarks >= 0) & (landmarks <= columns_rows)).all(axis=-1)

    @property
    def truth(self) -> DecodedView:
        """The truth, as a network that knows everything would tell it; a vertebra is there where its centre is on the film."""
        centres, landmarks = self.points.centres_px[_LUMBAR], self.points.landmarks_px[_LUMBAR]
        present = ((centres >= 0) & (centres <= np.array(self.image.shape[::-1]) - 1)).all(axis=-1)
        return DecodedView(
            decomposition=self.decomposition,
            centres_px=np.where(present[:, None], centres, np.nan),
            landmarks_px=np.where(present[:, None, None], landmarks, np.nan),
            confidence=present.astype(float),
            present=present,
            landmark_confidence=np.repeat(present.astype(float)[:, None], landmarks.shape[1], axis=1),
            order_consistent=levels_in_order(centres, present),
        )


def read_known_film(place: ViewPlace) -> KnownFilm:
    """A film of a study folder; those of a foreign set pass through `ForeignChaind`.

    Raises:
        InputError: as `read_spine_view`.
    """
    image, decomposition, points = read_spine_view(place.study, place.view)
    sample = {
        "image": torch.from_numpy(image)[None],
        "study": place.study.name,
        "view": place.view,
        "foreign": place.foreign,
    }
    return KnownFilm(np.asarray(ForeignChaind("image")(sample)["image"])[0], decomposition, points)


def measure_film(network: nn.Module, locator: nn.Module, film: KnownFilm) -> MeasuredView:
    """What the network finds on a film against what is there, on all of the film.

    The film's grid is moved by the fraction of a pixel by which the crop lies beside it, so that what the network answered
    is compared as it is: read from between its pixels, edges would blur, and a perfect answer have a Dice of 0.96.

    Args:
        network, locator: see `workflow.locate_and_look.see_located`.
        film: as it is shown, head up; the lateral view facing left.
    """
    camera = displayed_camera(film.image.shape[::-1], (NETWORK_SPACING_MM, NETWORK_SPACING_MM))
    seen, _ = see_located(network, locator, film.image, camera, "ap")
    corner_px = np.array(seen.canonical.laid_from_canonical.offset)
    whole = np.floor(corner_px).astype(int)
    aligned = film.shifted(corner_px - whole)
    found = _on_film(seen.decoded, whole, aligned.image.shape)
    return measure_decoded(found, aligned.truth, aligned.visible, NETWORK_SPACING_MM)


def _on_film(seen: DecodedView, corner_px: np.ndarray, shape: tuple[int, int]) -> DecodedView:
    """What was seen in a crop whose first pixel is that of a film of `shape`; nothing is seen beside the crop."""
    decomposition = np.zeros(shape, np.float32)
    starts, crop = corner_px[::-1], seen.decomposition
    target = tuple(
        slice(max(s, 0), max(min(s + n, room), 0)) for s, n, room in zip(starts, crop.shape, shape, strict=True)
    )
    source = tuple(slice(part.start - s, part.stop - s) for part, s in zip(target, starts, strict=True))
    decomposition[target] = crop[source]
    return replace(
        seen,
        decomposition=decomposition,
        centres_px=seen.centres_px + corner_px,
        landmarks_px=seen.landmarks_px + corner_px,
        anchors=None,
    )


def evaluate_network(
    sets: dict[str, str] | str,
    *,
    foreign_sets: dict[str, str] | None = None,
    output_dir: str = "eval",
    study_limit: int | None = None,
    weights: str = "",
    title: str = TITLE,
    bundle_root: str | None = None,
    workers: Count = 1,
) -> None:
    """Prints the paper's Tables 1 to 3 with a row for each set, and a fourth of levels and findings.

    Args:
        sets: name to folder of study folders with their truth; or one folder, or a JSON file with such names and folders.
        foreign_sets: likewise; their images pass through an imaging chain that training never shows.
        output_dir: gets `tables.md`, `views.csv` (a row a view) and `landmarks.csv` (a row a landmark).
        study_limit: largest number of studies of each set.
        weights: of the network, if they are not the bundle's.
        title: first line of `tables.md`.
        bundle_root: folder of the network's bundle, if it is another one than the package's.
        workers: processes; more than one need the extra [cohort].

    Raises:
        InputError: if a set holds no studies, or one of them cannot be used.
    """
    places = view_places(read_sets(sets), read_sets(foreign_sets or {}), study_limit)
    names = [f"{place.study.name}, {place.view}" for place in places]
    report = Gathered(partial(write_tables, Path(output_dir), title=title))
    report_completed(FilmTask(bundle_dir(MULTITASK, bundle_root), weights), places, names, report, workers)


@dataclass(frozen=True)
class FilmTask:
    """The task of the processes that measure films.

    Args:
        bundle_root: folder of the network's bundle.
        weights: of the network, if they are not the bundle's.
    """

    bundle_root: Path
    weights: str

    def prepare(self) -> Callable[[ViewPlace], EvaluatedView]:
        """Loads the networks."""
        return partial(_evaluated, *load_locating_networks(self.bundle_root, self.weights))


def _evaluated(network: nn.Module, locator: nn.Module, place: ViewPlace) -> EvaluatedView:
    measured = measure_film(network, locator, read_known_film(place))
    return EvaluatedView(place.set_name, place.study.name, place.view, tuple(study_findings(place.study)), measured)
