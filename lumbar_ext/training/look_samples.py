"""Training samples of the second look: a view of a study with true meshes, and a first pass, made up each time or stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.transforms import Compose, Randomizable, RandomizableTransform

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.drr import MeshProjector
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera
from lumbar_ext.mesh.files import read_stl_of_topology
from lumbar_ext.networks.look_network import LOOK_STRIDE
from lumbar_ext.shape.model.level_shape import LevelShape, level_shapes
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.training.first_pass import FirstPassErrors, TrueVertebra, first_pass, true_vertebra
from lumbar_ext.transforms.augmentation.warp import planar_warp
from lumbar_ext.transforms.canonical import to_network_grid
from lumbar_ext.transforms.intensity import UINT16_MAX, normalise_intensity, stretched_to_uint16
from lumbar_ext.transforms.look import group_pictures, look_planes

_LOG = logging.getLogger(__name__)
_OUTLINE_STEP = 50
"""Every so many vertices suffice to find the box of a spine."""


@dataclass(frozen=True, eq=False)
class LookRecord:
    """One view of a study in memory.

    Args:
        study: its folder.
        view: "ap" or "lat".
        image: uint16 [rows, columns] radiograph on the network grid, bone bright, its range as 0..65535.
        camera: of the image.
        vertebrae: true ones by level, shared by the two views.
        number: its place in a data set.
        first_pass_mm: by level, [V, 3] float32 what a registration of this study left, world mm; empty where none is stored.
    """

    study: Path
    view: str
    image: np.ndarray
    camera: Camera
    vertebrae: Mapping[str, TrueVertebra]
    number: int = 0
    first_pass_mm: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_records(
    study: str | Path, shapes: tuple[LevelShape, ...], first_pass: str | Path | None = None
) -> list[LookRecord]:
    """Both views of a study folder with `truth/L1.stl` to `truth/L5.stl` in the topology of the shape model.

    Args:
        study: the folder.
        shapes: of the five levels.
        first_pass: folder of what `lumbar-ext reconstruct` made of it, which may lack levels or be missing; None for none.

    Raises:
        InputError: if a file cannot be used, or there is no true mesh.
    """
    folder, triangles = Path(study), shapes[0].surface.triangles
    vertebrae = {
        level: true_vertebra(own, shapes[LEVELS.index(level)])
        for level, own in _meshes(folder / "truth", triangles).items()
    }
    if not vertebrae:
        raise InputError(f"{folder / 'truth'}: holds no mesh, expected L1.stl to L5.stl (simulate with --meshes true)")
    pictures = read_study(*(folder / name for name in ("ap.png", "lat.png", "calibration.json")))
    left = {} if first_pass is None else _meshes(Path(first_pass), triangles)
    records = []
    for view in VIEWS:
        seen = to_network_grid(pictures[view].pixels, pictures.geometry[view], view)
        pixels = stretched_to_uint16(seen.pixels)
        records.append(LookRecord(folder, view, pixels, seen.camera, vertebrae, first_pass_mm=left))
    return records


def _meshes(folder: Path, triangles: np.ndarray) -> dict[str, np.ndarray]:
    paths = {level: folder / f"{level}.stl" for level in LEVELS}
    return {level: read_stl_of_topology(path, triangles) for level, path in paths.items() if path.is_file()}


class LookDataset(Dataset):
    """Both views of the given studies, read once; `transform` makes a sample of a `LookRecord`.

    A study with an unusable file is left out with a warning: of hundreds of simulated ones, one may be black.

    Args:
        studies: study folders.
        shape_model: the model whose topology their meshes have.
        transform: such as `RandLook`.
        repeats: list every view so many times: a validation set sees it with as many first passes.
        first_passes_dir: folder with what `lumbar-ext reconstruct --looks 0` made of studies, each in a folder of its study's
            name; empty for none.

    Raises:
        InputError: if no study can be used, or `first_passes_dir` holds none of them.
    """

    def __init__(
        self,
        studies: Sequence[str | Path],
        shape_model: torch.nn.Module,
        transform=None,
        repeats: int = 1,
        first_passes_dir: str = "",
    ):
        shapes, stored = level_shapes(shape_model), Path(first_passes_dir) if first_passes_dir else None
        records = [record for study in studies for record in _usable_records(Path(study), shapes, stored)]
        if not records:
            raise InputError(f"none of {len(studies)} studies can be used, see the warnings above")
        if stored is not None and not any(record.first_pass_mm for record in records):
            raise InputError(
                f"{stored}: holds no results of these studies, expected folders such as {records[0].study.name}"
            )
        super().__init__([replace(record, number=i) for i, record in enumerate(records * repeats)], transform)

    def _transform(self, index: int) -> Any:
        return self.data[index] if self.transform is None else self.transform(self.data[index])


class RandLook(RandomizableTransform):
    """Makes a sample of a view: a first pass, a crop about it, and the truth of that crop.

    `image` [4, rows, columns] (`transforms.look.look_planes`), `label` [2, rows, columns] the true pictures, `view`.

    Args:
        shape_model: the model that first passes are made with.
        errors: of first passes.
        size_px: (rows, columns) of the crop, multiples of 16.
        appearance: changes the radiograph under the key "image"; None leaves it as it is.
        warped_share: chance that the crop is turned and magnified; the others keep the radiograph's own pixels.
        rotation_deg: largest rotation either way.
        scale: smallest and largest magnification.
        shift_px: largest distance of the crop's centre from that of the first pass along each axis.
        mirror_probability: of AP views; the person is then the mirrored one.
        stored_share: chance that a view whose first pass is stored shows that one, as it was left, in place of one made up.
        fixed_seed: draw the errors of a view from this and its number, the same each time (for validation); None draws
            anew.

    Raises:
        InputError: for a size that is no multiple of 16.
    """

    def __init__(
        self,
        shape_model: torch.nn.Module,
        errors: FirstPassErrors | None = None,
        *,
        size_px: tuple[int, int] = (352, 192),
        appearance: Randomizable | Compose | None = None,
        warped_share: float = 0.5,
        rotation_deg: float = 5.0,
        scale: tuple[float, float] = (0.9, 1.1),
        shift_px: float = 12.0,
        mirror_probability: float = 0.5,
        stored_share: float = 0.5,
        fixed_seed: int | None = None,
    ) -> None:
        super().__init__()
        if any(size < LOOK_STRIDE or size % LOOK_STRIDE for size in size_px):
            raise InputError(f"size_px: expected multiples of {LOOK_STRIDE}, found {size_px}")
        self.shapes = level_shapes(shape_model)
        self.errors = errors or FirstPassErrors()
        self.size_px = (int(size_px[0]), int(size_px[1]))
        self.appearance = appearance
        self.warped_share = warped_share
        self.rotation_rad = np.radians(rotation_deg)
        self.log_scale = np.log(scale)
        self.shift_px = shift_px
        self.mirror_probability = mirror_probability
        self.stored_share = stored_share
        self.fixed_seed = fixed_seed

    def __call__(self, record: LookRecord) -> dict[str, Any]:
        """The sample of a view."""
        drawn = self.R.randint(2**31 - 1) if self.fixed_seed is None else (self.fixed_seed, record.number)
        rng = np.random.default_rng(drawn)
        if record.first_pass_mm and rng.random() < self.stored_share:
            found = record.first_pass_mm
        else:
            found = first_pass(record.vertebrae, self.shapes, self.errors, rng)
        image, camera = self._crop(record, found, rng)
        projector, triangles = MeshProjector(camera), self.shapes[0].surface.triangles
        truth = {level: vertebra.vertices_mm for level, vertebra in record.vertebrae.items()}
        label = group_pictures(projector, truth, triangles)
        groups = group_pictures(projector, found, triangles)
        if record.view == "ap" and rng.random() < self.mirror_probability:
            image, label, groups = (np.ascontiguousarray(picture[..., ::-1]) for picture in (image, label, groups))
        planes = look_planes(self._changed(image), groups, record.view)
        return {"image": torch.from_numpy(planes), "label": torch.from_numpy(label), "view": record.view}

    def _crop(
        self, record: LookRecord, found: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> tuple[np.ndarray, Camera]:
        """The radiograph [rows, columns] about a first pass, and its camera."""
        outline = record.camera.project(np.concatenate([own[::_OUTLINE_STEP] for own in found.values()]))
        centre = (outline.min(axis=0) + outline.max(axis=0)) / 2 + rng.uniform(-self.shift_px, self.shift_px, 2)
        rotation, scale = 0.0, 1.0
        if rng.random() < self.warped_share:
            rotation, scale = rng.uniform(-self.rotation_rad, self.rotation_rad), np.exp(rng.uniform(*self.log_scale))
        else:
            centre = np.round(centre - 0.5) + 0.5  # crops have even sizes: whole pixels
        warp = planar_warp(centre, self.size_px, rotation_rad=rotation, scale=scale)
        image = torch.from_numpy(record.image.astype(np.float32))[None] / UINT16_MAX
        return warp.apply_to_images(image)[0].numpy(), warp.apply_to_camera(record.camera)

    def _changed(self, image: np.ndarray) -> np.ndarray:
        if self.appearance is None:
            return image
        return np.asarray(self.appearance({"image": normalise_intensity(image)[None]})["image"])[0]


def _usable_records(study: Path, shapes: tuple[LevelShape, ...], stored: Path | None) -> list[LookRecord]:
    try:
        return read_records(study, shapes, None if stored is None else stored / study.name)
    except InputError as error:
        _LOG.warning("left out: %s", error)
        return []
