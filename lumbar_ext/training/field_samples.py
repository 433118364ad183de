"""Training samples of a field network: both radiographs of a study, and points whose CT number and tissue are known.

Half of the points lie about the surfaces of the lumbar vertebrae; the others are spread over the inside of bones, the surfaces
of other bones and all else, where structure tells nothing, and around the box of the truth, so that nothing is found there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.transforms import Randomizable
from torch import Tensor

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.losses.field_loss import field_target
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.radiograph import with_bone_bright
from lumbar_ext.studies.study_folder import StudyFolder, study_folders
from lumbar_ext.studies.truth_volume import TruthVolume, read_truth_volume
from lumbar_ext.transforms.field_views import FIELD_SIZE_PX, POSITION_MM, FieldViews, no_landmarks
from lumbar_ext.transforms.intensity import NORMALISED_RANGE, as_uint16, from_uint16, normalise_intensity
from lumbar_ext.transforms.tissue import NO_HU, NO_LUMBAR_INDEX, TISSUES, UNASKED_INDEX, tissue_index

_LOGGER = logging.getLogger(__name__)
_LUMBAR = [TISSUES.index(level) for level in LEVELS]
_OTHER_BONE = [TISSUES.index("other_bone"), TISSUES.index("sacrum")]
_LANDMARK_ERROR_MM = (1.0, 1.0, 3.5, 3.5, 1.5, 1.5, 3.5)
"""Standard deviation along each axis by `anatomy.LANDMARKS`, beside that of the whole vertebra. The network's, measured on 120
vertebrae of 24 validation people: 0.8 to 1.3 at endplates, 1.1 to 2.7 at pedicles, 2.6 to 7.0 at processes."""
_VERTEBRA_ERROR_MM = 0.7  # of all seven together
_LEVEL_MISSING = 0.04  # 4 of those 120 were missing or another level's
_ATTEMPTS = 10  # to draw a study that can be used
_AROUND = 2.0  # sides of the box around the truth's from which points are drawn, against the truth's own


@dataclass(frozen=True)
class PointShares:
    """Which share of a sample's points lies where; the rest is spread evenly over the truth's box.

    Args:
        surface: about surfaces of lumbar vertebrae.
        inside: in lumbar vertebrae.
        other_surface: about surfaces of other bones.
        around: around the box.
        spread_mm: standard deviation of the distances from the surfaces along each axis.

    Raises:
        InputError: for shares that are negative or more than all together.
    """

    surface: float = 0.5
    inside: float = 0.1
    other_surface: float = 0.1
    around: float = 0.08
    spread_mm: float = 2.0

    def __post_init__(self) -> None:
        shares = [getattr(self, each.name) for each in fields(self) if each.name != "spread_mm"]
        if min(shares) < 0 or sum(shares) > 1 or self.spread_mm <= 0:
            raise InputError(f"shares of points: expected none below 0, at most 1 together, found {self}")


@dataclass(frozen=True, eq=False)
class FieldRecord:
    """A study in memory, but for its volume, which is read anew each time.

    Args:
        folder: of the study.
        views: its pictures' cameras, and its true landmarks; the images are in `images`.
        images: uint16 [2, rows, columns], the normalised radiographs' range as 0..65535.
    """

    folder: Path
    views: FieldViews
    images: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> FieldRecord:
        """Reads the radiographs of a study folder; bone counts as bright unless a file's own tags say otherwise.

        Raises:
            InputError: if a file cannot be used.
        """
        files = StudyFolder(folder)
        geometry = read_calibration(files.calibration)
        pixels = {}
        for view in VIEWS:
            radiograph = read_radiograph(files.radiograph(view))
            pixels[view] = (with_bone_bright(radiograph) if radiograph.polarity == "bone_dark" else radiograph).pixels
        landmarks_mm = read_landmarks(files.truth.landmarks).positions_mm
        views = FieldViews.of(pixels, geometry, size_px=FIELD_SIZE_PX, landmarks_mm=landmarks_mm)
        stored = as_uint16(np.stack([views.images[view] for view in VIEWS]), *NORMALISED_RANGE)
        return cls(folder, replace(views, images={}), stored)

    def with_landmarks(self, landmarks_mm: np.ndarray) -> FieldRecord:
        """The same, of which other landmarks [5, 7, 3] are known."""
        return replace(self, views=replace(self.views, landmarks_mm=landmarks_mm))

    def float_images(self) -> np.ndarray:
        """float32 [2, rows, columns], AP and lateral radiograph as the network sees them."""
        return from_uint16(self.images, *NORMALISED_RANGE)

    def volume(self) -> TruthVolume:
        """CT numbers and tissues of the study, read from its folder at every call."""
        return read_truth_volume(StudyFolder(self.folder).truth)


@dataclass(eq=False)
class FieldStudies:
    """The studies of some folders that have volumes; each is read when it is first asked for.

    Args:
        folders: of studies.

    Raises:
        InputError: if none of them has a volume.
    """

    folders: Sequence[str | Path]
    paths: list[Path] = field(init=False)
    _records: dict[int, FieldRecord] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        found = [study for folder in self.folders for study in study_folders(folder)]
        self.paths = [study for study in found if StudyFolder(study).truth.labels.is_file()]
        if not self.paths:
            raise InputError(
                f"none of {len(found)} studies in {', '.join(map(str, self.folders))} has truth/labels.nii.gz: "
                "lumbar-ext simulate-volumes makes them"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> FieldRecord:
        if index not in self._records:
            self._records[index] = FieldRecord.read(self.paths[index])
        return self._records[index]


class FieldDraws(Dataset):
    """Random points of random studies: item `i` depends on the seed, `i` and the data alone, as in `spine_views.SpineDraws`.

    A sample: `image` [2, rows, columns], `places` [P, 2, 2], `positions` [P, 3], `guides` [P, 41] (`transforms.field_views`),
    `label` [P, 2] (`losses.field_loss.field_target`).

    Args:
        folders: of studies; those without volumes are left out.
        points: of a sample.
        shares: where they lie.
        appearance: changes the radiograph under the key "image" [1, rows, columns]; seeded anew for each.
        mirror_probability: with which the person is the mirrored one.
        shift_mm: largest shift along each axis of the middle that positions are told of.
        told: share of the samples whose landmarks are told, as far as a network would find them (`as_found`).
        seed: of the draws.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        points: int = 8192,
        shares: PointShares | None = None,
        *,
        appearance: Callable | None = None,
        mirror_probability: float = 0.5,
        shift_mm: float = 15.0,
        told: float = 0.85,
        seed: int = 0,
    ) -> None:
        self.studies = FieldStudies(folders)
        super().__init__(self.studies.paths)
        self.points, self.shares, self.appearance = int(points), shares or PointShares(), appearance
        self.mirror_probability, self.shift_mm, self.told, self.seed = mirror_probability, shift_mm, told, seed

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, int(index)])
        for attempt in range(_ATTEMPTS):
            try:
                return self._sample(self.studies[int(rng.integers(len(self.studies)))], rng)
            except InputError as error:
                # a file may be damaged, or still be written
                if attempt == _ATTEMPTS - 1:
                    raise
                _LOGGER.warning("another study instead: %s", error)
        raise AssertionError("the last attempt returns or raises")

    def _sample(self, record: FieldRecord, rng: np.random.Generator) -> dict[str, Tensor]:
        volume = record.volume()
        places_mm, values_hu, tissue = drawn_points(volume, self.points, self.shares, rng)
        images = np.stack([self._changed(image, rng) for image in record.float_images()])
        landmarks_mm = as_found(record.views.landmarks_mm, rng) if rng.random() < self.told else no_landmarks()
        sample = point_sample(record.with_landmarks(landmarks_mm), images, places_mm, values_hu, tissue)
        sample["positions"] += rng.uniform(-self.shift_mm, self.shift_mm, 3).astype(np.float32) / POSITION_MM
        if rng.random() < self.mirror_probability:
            sample = mirrored(sample)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in sample.items()}

    def _changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.appearance is None:
            return image
        if isinstance(self.appearance, Randomizable):
            self.appearance.set_random_state(seed=int(rng.integers(2**31)))
        return normalise_intensity(np.asarray(self.appearance({"image": torch.from_numpy(image)[None]})["image"])[0])


class FieldLattice(Dataset):
    """All voxels of a coarse lattice of each study's truth, for validation; samples as those of `FieldDraws`.

    Args:
        folders: of studies.
        step: every so many voxels along each axis.
        limit: of studies.
    """

    def __init__(self, folders: Sequence[str | Path], step: int = 3, limit: int | None = None) -> None:
        self.studies = FieldStudies(folders)
        super().__init__(self.studies.paths[:limit])
        self.step = step

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        record = self.studies[int(index)]
        volume = record.volume()
        lines = [np.arange(self.step // 2, n, self.step) for n in volume.grid.shape]
        voxels = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, 3)
        points, values_hu, tissue = _known_at(volume, voxels)
        found = record.with_landmarks(as_found(record.views.landmarks_mm, np.random.default_rng(int(index))))
        sample = point_sample(found, record.float_images(), points, values_hu, tissue)
        return {name: torch.from_numpy(array) for name, array in sample.items()}


def point_sample(
    record: FieldRecord, images: np.ndarray, points_mm: np.ndarray, values_hu: np.ndarray, tissue: np.ndarray
) -> dict[str, np.ndarray]:
    """A sample of points [P, 3] with their CT numbers and tissues [P]; nothing is asked of those out of view."""
    places = record.views.places(points_mm)
    shown = record.views.shown(places)
    label = field_target(
        torch.from_numpy(np.where(shown, values_hu, np.nan)), torch.from_numpy(np.where(shown, tissue, UNASKED_INDEX))
    )
    return {
        "image": images,
        "places": places,
        "positions": record.views.positions(points_mm),
        "guides": record.views.guides(points_mm),
        "label": label.numpy(),
    }


def mirrored(sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sample of the person mirrored at the sagittal plane: the AP picture turns round, the lateral one stays."""
    image, places, positions, guides = (sample[name].copy() for name in ("image", "places", "positions", "guides"))
    image[0] = image[0, :, ::-1]
    places[:, 0, 0] *= -1
    positions[:, 1] *= -1
    guides[:, 1 : 3 * len(LEVELS) : 3] *= -1
    nearest = guides[:, 4 * len(LEVELS) :].reshape(len(guides), -1, 3)[:, list(LEFT_RIGHT_SWAP)]
    nearest[..., 1] *= -1
    guides[:, 4 * len(LEVELS) :] = nearest.reshape(len(guides), -1)
    return {**sample, "image": image, "places": places, "positions": positions, "guides": guides}


def as_found(landmarks_mm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """True landmarks [5, 7, 3] as two views of a network give them: off by what it is off, now and then a level missing."""
    off_mm = rng.normal(0, 1, landmarks_mm.shape) * np.array(_LANDMARK_ERROR_MM)[:, None]
    off_mm += rng.normal(0, _VERTEBRA_ERROR_MM, (len(LEVELS), 1, 3))
    missing = rng.random(len(LEVELS)) < _LEVEL_MISSING
    return np.where(missing[:, None, None], np.nan, landmarks_mm + off_mm)


def drawn_points(
    volume: TruthVolume, count: int, shares: PointShares, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [P, 3] world mm, their CT numbers [P] (NaN where unknown) and tissues [P].

    Args:
        volume: the truth.
        count: of points.
        shares: where they lie.
        rng: the source of randomness.
    """
    tissue = tissue_index(volume.labels)
    shape = np.array(volume.grid.shape)
    lumbar, other = np.isin(tissue, _LUMBAR), np.isin(tissue, _OTHER_BONE)
    counts = {name: int(count * getattr(shares, name)) for name in ("surface", "inside", "other_surface", "around")}
    spread = shares.spread_mm / volume.grid.voxel_mm
    chosen = [
        _about(_surface_voxels(lumbar), counts["surface"], spread, shape, rng),
        _about(np.flatnonzero(lumbar), counts["inside"], 0.0, shape, rng),
        _about(_surface_voxels(other), counts["other_surface"], spread, shape, rng),
    ]
    chosen.append(rng.integers(0, shape, (count - counts["around"] - sum(map(len, chosen)), 3)))
    points, values_hu, known = _known_at(volume, np.concatenate(chosen), tissue)
    around = _around(volume, counts["around"], rng)
    return (
        np.concatenate([points, around]),
        np.concatenate([values_hu, np.full(len(around), np.nan)]),
        np.concatenate([known, np.full(len(around), NO_LUMBAR_INDEX)]),
    )


def _known_at(
    volume: TruthVolume, voxels: np.ndarray, tissue: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World points, CT numbers and tissues of voxels [N, 3]."""
    index = tuple(voxels.T)
    values = volume.values_hu[index].astype(np.float32)
    known = tissue_index(volume.labels[index]) if tissue is None else tissue[index]
    points = volume.grid.origin_mm + voxels * volume.grid.voxel_mm
    return points, np.where(values == NO_HU, np.float32(np.nan), values), known.astype(np.int64)


def _surface_voxels(mask: np.ndarray) -> np.ndarray:
    """Flat indices of voxels whose next one along an axis is of the other kind."""
    surface = np.zeros(mask.shape, bool)
    for axis in range(3):
        near = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        surface[near] |= np.diff(mask, axis=axis)
    return np.flatnonzero(surface)


def _about(flat: np.ndarray, count: int, spread: float, shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Voxels [N, 3] at normally distributed distances from some of those given; none where none are given."""
    if not len(flat):
        return np.empty((0, 3), int)
    voxels = np.stack(np.unravel_index(rng.choice(flat, count), tuple(shape)), -1)
    moved = voxels + np.rint(rng.normal(0, spread, voxels.shape)).astype(int) if spread else voxels
    return np.clip(moved, 0, shape - 1)


def _around(volume: TruthVolume, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points [N, 3] outside the truth's box but within a larger one."""
    size = np.array(volume.grid.shape) * volume.grid.voxel_mm
    middle = volume.grid.origin_mm + (size - volume.grid.voxel_mm) / 2
    # each axis in turn leaves the box, the others are anywhere
    offset = rng.uniform(-_AROUND / 2, _AROUND / 2, (count, 3))
    axis = rng.integers(0, 3, count)
    beyond = rng.uniform(0.5, _AROUND / 2, count) * rng.choice([-1, 1], count)
    offset[np.arange(count), axis] = beyond
    return middle + offset * size


def prepare_field_batch(
    batch: Mapping[str, Tensor], device: torch.device | None = None, non_blocking: bool = False, **_: Any
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], dict]:
    """Input, target and further arguments of the network; the signature is that of MONAI's `prepare_batch`."""
    names = ("image", "label", "places", "positions", "guides")
    image, label, *further = (batch[name].to(device=device, non_blocking=non_blocking) for name in names)
    return image, label, tuple(further), {}
