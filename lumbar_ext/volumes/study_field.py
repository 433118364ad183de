"""The field of one study: radiographs are encoded once, then CT number and tissue may be asked for anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.losses.field_loss import hounsfield
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.networks.inference import has_bfloat16, reproducible_inference
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.transforms.field_views import FieldViews
from lumbar_ext.transforms.tissue import NO_HU, NOT_SEEN_LABEL, label_values

_CHUNK = 2**15  # points a thread works on: some 150 MB
_VOXEL_BYTES = 12  # of a grid while it is filled, and of its files while they are written
_WORK_BYTES = 6e8  # for chunks and the network


@dataclass(frozen=True)
class ReconstructedVolume:
    """CT numbers and tissues of a grid.

    Args:
        values_hu: int16 [I, J, K]; `transforms.tissue.NO_HU` where one film does not show the voxel.
        labels: uint8 [I, J, K], see `transforms.tissue`; `NOT_SEEN_LABEL` there.
        grid: the voxels, along the world's axes.
    """

    values_hu: np.ndarray
    labels: np.ndarray
    grid: VoxelGrid

    @property
    def seen_share(self) -> float:
        """Share of the voxels that both films show."""
        return float((self.labels != NOT_SEEN_LABEL).mean())


class StudyField:
    """A field network that has seen a study.

    The answer does not depend on how many threads there are: each works on whole chunks of points.

    Args:
        network: a `networks.field_network.FieldNet` in evaluation mode.
        views: the radiographs.
        bfloat16: whether to compute the perceptron so, where the processor or GPU can; answers differ in the third digit.
        threads: how many chunks at once; the processors there are if omitted. On a GPU one.
    """

    def __init__(
        self, network: nn.Module, views: FieldViews, *, bfloat16: bool = True, threads: int | None = None
    ) -> None:
        self.network, self.views = network.eval(), views
        self.device = next(network.parameters()).device
        self.bfloat16 = bfloat16 and has_bfloat16(self.device)
        self.threads = 1 if self.device.type != "cpu" else threads or len(os.sched_getaffinity(0))
        with reproducible_inference(), self._precision():
            self._features = [self._encoded(index, view) for index, view in enumerate(VIEWS)]

    @classmethod
    def of(
        cls,
        network: nn.Module,
        study: BiplanarStudy,
        landmarks_mm: np.ndarray | None = None,
        **settings: bool | int | None,
    ) -> StudyField:
        """The field of a study as it was read; what is known of its landmarks [5, 7, 3], NaN where nothing is."""
        pixels = {view: study[view].pixels for view in VIEWS}
        return cls(network, FieldViews.of(pixels, study.geometry, landmarks_mm=landmarks_mm), **settings)

    def at(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """CT numbers float32 [N] and indices of tissues uint8 [N] at points [N, 3], and bool [N], whether both films show them.

        Where they do not, the values are 0.
        """
        places = self.views.places(points_mm)
        shown = self.views.shown(places)
        values, tissue = np.zeros(len(points_mm), np.float32), np.zeros(len(points_mm), np.uint8)
        chosen = np.flatnonzero(shown)
        parts = [chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK)]
        for part, (hu, index) in zip(parts, self._answers(points_mm, places, parts), strict=True):
            values[part], tissue[part] = hu, index
        return values, tissue, shown

    def on_grid(self, grid: VoxelGrid) -> ReconstructedVolume:
        """The field at the voxels of a grid, some slices at a time.

        Raises:
            InputError: if there is not memory enough for the grid, or no film shows any of it.
        """
        require_memory(grid)
        values, labels = np.full(grid.shape, NO_HU, np.int16), np.full(grid.shape, NOT_SEEN_LABEL, np.uint8)
        slice_points = grid.shape[1] * grid.shape[2]
        step = max(1, self.threads * _CHUNK // slice_points)
        for start in range(0, grid.shape[0], step):
            part = slice(start, min(start + step, grid.shape[0]))
            hu, tissue, shown = self.at(_points_mm(grid, part))
            values[part].reshape(-1)[shown] = np.rint(hu[shown]).astype(np.int16)
            labels[part].reshape(-1)[shown] = label_values(tissue[shown])
        if (labels == NOT_SEEN_LABEL).all():
            raise InputError(
                f"the grid from {np.round(grid.origin_mm).tolist()} mm, {grid.shape} voxels of {grid.voxel_mm} mm: no voxel is "
                "seen in both radiographs; expected a box where both beams cross"
            )
        return ReconstructedVolume(values, labels, grid)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def _encoded(self, index: int, view: str) -> list[torch.Tensor]:
        image = torch.from_numpy(self.views.images[view])[None, None].to(self.device)
        return [plane.float() for plane in self.network.encoder(image, torch.tensor([index], device=self.device))]

    def _answers(
        self, points_mm: np.ndarray, places: np.ndarray, parts: list[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        def answer(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            # inference mode and autocast are each thread's own
            with torch.inference_mode(), self._precision():
                points = points_mm[part]
                given = (places[part], self.views.positions(points), self.views.guides(points))
                tensors = (torch.from_numpy(array)[None].to(self.device) for array in given)
                found = self.network.decode(self._features, *tensors)[0]
                tissue = found[:, 1:].argmax(-1).to(torch.uint8)
                return hounsfield(found[:, 0]).cpu().numpy(), tissue.cpu().numpy()

        with reproducible_inference(), ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(answer, parts)


def require_memory(grid: VoxelGrid) -> None:
    """Refuses a grid for which there is not memory enough.

    Raises:
        InputError: naming the grid, what it needs and what is free.
    """
    needed = _WORK_BYTES + _VOXEL_BYTES * float(np.prod([float(n) for n in grid.shape]))
    free = float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    if needed > free:
        raise InputError(
            f"a grid of {' x '.join(map(str, grid.shape))} voxels needs about {needed / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free: larger voxels or a smaller box are expected"
        )


def _points_mm(grid: VoxelGrid, part: slice) -> np.ndarray:
    """World points [N, 3] of some slices along the first axis."""
    lines = [start + grid.voxel_mm * np.arange(n) for start, n in zip(grid.origin_mm, grid.shape, strict=True)]
    return np.stack(np.meshgrid(lines[0][part], *lines[1:], indexing="ij"), -1).reshape(-1, 3)
