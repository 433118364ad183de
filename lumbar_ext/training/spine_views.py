"""Views of many studies for the second-generation network, in memory-mapped arrays that are written once.

Reading a study takes longer than augmenting a crop of it, and thousands do not fit into memory. So each folder of studies is
brought to the network grid once, into arrays that later runs map; the operating system keeps in memory what is used.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from monai.data import Dataset
from monai.transforms import Randomizable
from torch.utils.data import Sampler

from lumbar_ext.anatomy import LANDMARKS, LEVELS, SPINE_LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.landmarks.anchors import TrueAnchors, read_anchors
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.training.view_records import list_studies, read_truth
from lumbar_ext.transforms.intensity import NORMALISED_RANGE, as_uint16, from_uint16
from lumbar_ext.transforms.spine_targets import SpinePoints

_LOGGER = logging.getLogger(__name__)
# of the arrays on disk; another number when their content changes
_VERSION = 2
_FLAT_STANDARD_DEVIATION = 0.02  # of a normalised picture, whose own is about 0.4
_POINT_ARRAYS = ("landmarks_px", "centres_px", "s1_px", "known")
_PICTURES = ("images", "decompositions")


@dataclass(frozen=True)
class MappedFolder:
    """The views of one folder of studies.

    Args:
        images: uint16 [P] pixels of all N views, row by row; the normalised radiograph's range [-0.5, 1.5] as 0..65535.
        decompositions: uint16 [P], [0, 1] as 0..65535.
        sizes_px: [N, 2] rows and columns.
        points: [N] what is known of the vertebrae.
        views: [N] "ap" or "lat".
        studies: [N] folders.
    """

    images: np.ndarray
    decompositions: np.ndarray
    sizes_px: np.ndarray
    points: tuple[SpinePoints, ...]
    views: tuple[str, ...]
    studies: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.views)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.append(0, np.cumsum(self.sizes_px.prod(axis=1)))

    def sample(self, index: int) -> dict[str, Any]:
        """One view as float tensors [1, H, W] `image` and `decomposition`, with `points` and `view`."""
        pixels = slice(self._starts[index], self._starts[index + 1])
        image, decomposition = (a[pixels].reshape(self.sizes_px[index]) for a in (self.images, self.decompositions))
        return {
            "image": torch.from_numpy(from_uint16(image, *NORMALISED_RANGE))[None],
            "decomposition": torch.from_numpy(from_uint16(decomposition, 0.0, 1.0))[None],
            "points": self.points[index],
            "view": self.views[index],
        }


def map_folder(folder: str | Path, cache_dir: str | Path) -> MappedFolder:
    """The views of the studies in a folder; their arrays are made in `cache_dir` unless they are there.

    Studies that came or went since make new arrays. A view that cannot be used (a black picture) is left out with a warning.

    Raises:
        InputError: when there are no studies, or none that can be used.
    """
    studies = list_studies(folder)
    key = json.dumps([_VERSION, [[str(study.resolve()), _stamp(study)] for study in studies]])
    name = f"{Path(folder).name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    target = Path(cache_dir) / name
    if not target.is_dir():
        _write_arrays(studies, target)
    document = json.loads((target / "views.json").read_text(encoding="utf-8"))
    parts = {name: np.load(target / f"{name}.npy") for name in _POINT_ARRAYS}
    points = tuple(SpinePoints(*values) for values in zip(*parts.values(), strict=True))
    images, decompositions = (np.memmap(target / f"{name}.raw", np.uint16, "r") for name in _PICTURES)
    return MappedFolder(
        images,
        decompositions,
        np.array(document["sizes_px"], int),
        points,
        tuple(document["views"]),
        tuple(document["studies"]),
    )


def _stamp(study: Path) -> list[int]:
    truth = StudyFolder(study).truth
    return [path.stat().st_mtime_ns if path.is_file() else 0 for path in (truth.landmarks, truth.anchors)]


def _write_arrays(studies: Sequence[Path], target: Path) -> None:
    """All of a folder's arrays at once; of processes that make them at the same time, each makes the same."""
    with staged_output(target) as staging:
        _write_views(studies, staging)


def _write_views(studies: Sequence[Path], folder: Path) -> None:
    points: list[SpinePoints] = []
    document: dict[str, list[Any]] = {"views": [], "studies": [], "sizes_px": []}
    with (folder / "images.raw").open("wb") as images, (folder / "decompositions.raw").open("wb") as decompositions:
        for study, view in product(studies, VIEWS):
            try:
                image, decomposition, seen = read_spine_view(study, view)
            except InputError as error:
                _LOGGER.warning("left out: %s", error)
                continue
            as_uint16(image, *NORMALISED_RANGE).tofile(images)
            as_uint16(decomposition, 0, 1).tofile(decompositions)
            points.append(seen)
            for name, value in (("views", view), ("studies", str(study)), ("sizes_px", image.shape)):
                document[name].append(value)
    if not points:
        raise InputError(f"{studies[0].parent}: none of {len(studies)} studies can be used for training")
    for part in _POINT_ARRAYS:
        np.save(folder / f"{part}.npy", np.stack([getattr(p, part) for p in points]))
    (folder / "views.json").write_text(json.dumps(document), encoding="utf-8")


def read_spine_view(study: Path, view: str) -> tuple[np.ndarray, np.ndarray, SpinePoints]:
    """One whole film on the network grid: normalised image and decomposition [H, W], and what is known of T12 to S1.

    Raises:
        InputError: as `read_view`; and when the picture is black or otherwise empty.
    """
    truth, seen = read_truth(study, view, whole_film=True)
    if truth.image.std() < _FLAT_STANDARD_DEVIATION:
        raise InputError(f"{study}: the {view} picture is empty (standard deviation {truth.image.std():.3g})")
    points = SpinePoints.of_lumbar(truth.landmarks_px)
    anchors = read_anchors(StudyFolder(study).truth.anchors)
    if anchors is None:
        return truth.image, truth.decomposition, points
    camera = read_calibration(StudyFolder(study).calibration)[view]

    def on_grid(points_mm: np.ndarray) -> np.ndarray:
        return seen.to_canonical_px(camera.project(points_mm))

    l6_landmarks = on_grid(_l6_landmarks_mm(study))
    points = with_anchors(points, anchors, l6_landmarks, on_grid)
    if seen.swap_left_right:
        # the lumbar landmarks name the sides of the person it seems to be already
        turned = points.with_sides_exchanged()
        lumbar = slice(1, 1 + len(LEVELS))
        turned.landmarks_px[lumbar] = points.landmarks_px[lumbar]
        points = turned
    return truth.image, truth.decomposition, points


def with_anchors(
    lumbar: SpinePoints, anchors: TrueAnchors, l6_landmarks_px: np.ndarray, on_grid: Callable[[np.ndarray], np.ndarray]
) -> SpinePoints:
    """The points of a view with T12, L6 and S1.

    Args:
        lumbar: L1 to L5.
        anchors: in the world; what is NaN stays unknown, but where T12 or S1 is given an absent L6 is known to be absent.
        l6_landmarks_px: [7, 2], NaN where unknown.
        on_grid: world positions [..., 3] to pixels [..., 2].
    """
    t12, l6, s1 = (SPINE_LEVELS.index(name) for name in ("T12", "L6", "S1"))
    landmarks, centres, known = lumbar.landmarks_px.copy(), lumbar.centres_px.copy(), lumbar.known.copy()
    landmarks[l6] = l6_landmarks_px
    s1_px = on_grid(anchors.s1_mm)
    centres[t12], centres[l6], centres[s1] = on_grid(anchors.t12_centre_mm), on_grid(anchors.l6_centre_mm), s1_px[0]
    known[t12], known[l6], known[s1] = np.isfinite(centres[[t12, l6, s1]]).all(axis=1)
    # a file without any anchor says nothing; one with another says that there is no sixth
    known[l6] |= known[t12] | known[s1]
    return SpinePoints(landmarks, centres, s1_px, known)


def _l6_landmarks_mm(study: Path) -> np.ndarray:
    """[7, 3] of L6 from `landmarks.json`; NaN where it has none."""
    document = json.loads(StudyFolder(study).truth.landmarks.read_text(encoding="utf-8"))
    entry = document["vertebrae"].get("L6", {})
    unknown = [np.nan] * 3
    return np.array([entry.get(name, {}).get("position_mm", unknown) for name in LANDMARKS], float)


class SpineViews(Protocol):
    """Views that `SpineViewDataset` takes beside those of folders."""

    def __len__(self) -> int:
        """How many."""

    def sample(self, index: int) -> dict[str, Any]:
        """One of them, see `MappedFolder.sample`."""


class SpineViewDataset(Dataset):
    """Every view of some folders of studies, in order.

    Args:
        folders: of studies; or views that are in memory already.
        cache_dir: where the arrays are kept.
        transform: applied to the samples.
    """

    def __init__(
        self, folders: Sequence[str | Path | SpineViews], cache_dir: str | Path, transform: Callable | None = None
    ) -> None:
        mapped = [map_folder(part, cache_dir) if isinstance(part, str | Path) else part for part in folders]
        super().__init__([(part, index) for part in mapped for index in range(len(part))], transform)

    def _transform(self, index: int) -> Any:
        part, row = self.data[index]
        sample = part.sample(row)
        return self.transform(sample) if self.transform is not None else sample


class SpineDraws(SpineViewDataset):
    """Random samples of random views: item `i` depends on the seed, `i` and the data alone.

    So a run that goes on at draw i sees what it would have seen without the interruption, whatever the number of workers;
    and after data was added, draws go on over all of it.

    Args:
        folders: as `SpineViewDataset` takes them.
        cache_dir: where the arrays are kept.
        transform: applied to the samples; random ones are seeded anew for each.
        seed: of the draws.
    """

    def __init__(
        self,
        folders: Sequence[str | Path | SpineViews],
        cache_dir: str | Path,
        transform: Callable | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(folders, cache_dir, transform)
        self.seed = seed

    def _transform(self, index: int) -> Any:
        rng = np.random.default_rng([self.seed, index])
        chosen = int(rng.integers(len(self.data)))
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=int(rng.integers(2**31)))
        return super()._transform(chosen)

    def __getitem__(self, index: int) -> Mapping[Hashable, Any]:
        return self._transform(int(index))


class ConsecutiveDraws(Sampler):
    """Draw numbers from where a run stands, without end; one of `resume.ResumePoint`'s objects.

    Args:
        batch_size: draws of one iteration.
        replica, replicas: which of how many processes, each of which takes every `replicas`-th draw.
    """

    def __init__(self, batch_size: int, replica: int = 0, replicas: int = 1) -> None:
        self.batch_size, self.replica, self.replicas = batch_size, replica, replicas
        self.iterations = 0

    def attach(self, engine: Any) -> None:
        """Counts the iterations of a trainer."""
        from ignite.engine import Events

        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def _count(self) -> None:
        self.iterations += 1

    def __iter__(self) -> Any:
        draw = self.iterations * self.batch_size * self.replicas + self.replica
        while True:
            yield draw
            draw += self.replicas

    def state_dict(self) -> dict[str, int]:
        """The iterations done, for checkpoints."""
        return {"iterations": self.iterations}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restores what `state_dict` gave."""
        self.iterations = int(state["iterations"])
