"""The stages of `lumbar-ext volume` between the reading of a study and its files; a bundle's config lists them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.inferers import Inferer
from monai.transforms import Transform
from torch import nn

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.geometry.axes import lps_from_world
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.io.provenance import provenance
from lumbar_ext.io.volume import write_volume
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.mesh.files import write_ply
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.sources.label_surface import surface_from_mask
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.transforms.tissue import HU_WINDOW, NO_HU, NOT_SEEN_LABEL, TISSUE_LABELS
from lumbar_ext.volumes.back_projection import BackProjection, back_projections
from lumbar_ext.volumes.lumbar_box import given_box, lumbar_box
from lumbar_ext.volumes.study_field import ReconstructedVolume, StudyField
from lumbar_ext.volumes.volume_page import draw_page
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.outputs import write_json
from lumbar_ext.workflow.progress import Progress
from lumbar_ext.workflow.run_summary import gathered
from lumbar_ext.workflow.stages import INPUTS

VOLUME_STAGES = ("read the study", "find the landmarks", "reconstruct the volume", "write the volume")
"""Of `Progress`; the first is that of `workflow.stages.ReadStudy`."""

VOLUME_FILES = (
    *(f"{level}.ply" for level in LEVELS),
    *("volume.nii.gz", "labels.nii.gz", "volume.png", "volume.json", "run.json"),
)
"""Every file that a volume may leave; a new one replaces them all."""

LEAST_VERTEBRA_MM3 = 5000.0
"""Of a label that is a vertebra: a fifth of a small one, as in `shape.sources.label_surface`."""


class FindLandmarks(Transform):
    """Looks for the landmarks of L1 to L5 in both radiographs; where it finds none, the field is told none.

    Args:
        network, locator: see `workflow.locate_and_look.observe_located`.
        progress: shows the stage.
    """

    def __init__(self, network: nn.Module, locator: nn.Module, progress: Progress) -> None:
        self.network, self.locator, self.progress = network.eval(), locator.eval(), progress

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `landmarks_mm` [5, 7, 3], NaN where unknown."""
        with self.progress.stage(VOLUME_STAGES[1]):
            return {**data, "landmarks_mm": found_landmarks(self.network, self.locator, data["study"])}


def found_landmarks(network: nn.Module, locator: nn.Module, study: BiplanarStudy) -> np.ndarray:
    """[5, 7, 3] the landmarks that both views show, world mm; NaN where one does not."""
    observed = observe_located(network, locator, study)
    return triangulate_landmarks(observed.geometry, observed.landmarks).positions_mm


@dataclass(frozen=True)
class ToldStudy:
    """What the inferer is given: a study and what is known of its landmarks [5, 7, 3]."""

    study: BiplanarStudy
    landmarks_mm: np.ndarray


def prepare_volume(
    batch: dict[str, Any], device: torch.device | None = None, non_blocking: bool = False, **_: Any
) -> tuple[ToldStudy, None]:
    """What the inferer is given; the signature is that of MONAI's `prepare_batch`."""
    return ToldStudy(batch["study"], batch["landmarks_mm"]), None


class ReconstructVolume(Inferer):
    """Fills a grid with the field of a study: the inferer of the bundle.

    Args:
        progress: shows the stage.
        voxel_mm: edge of the voxels.
        box: least x, y, z and greatest x, y, z in world mm; None for the box about the lumbar vertebrae.
        bfloat16: see `StudyField`.
    """

    def __init__(
        self, progress: Progress, voxel_mm: float = 1.5, box: list[float] | None = None, bfloat16: bool = True
    ) -> None:
        super().__init__()
        self.progress, self.voxel_mm, self.box, self.bfloat16 = progress, voxel_mm, box, bfloat16

    def __call__(self, inputs: ToldStudy, network: nn.Module, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The volume, the field's views, the surface of each vertebra and both projections.

        Raises:
            NothingUsableError: if no lumbar vertebra was found and no box is given.
            InputError: for a box that neither film shows, or one too large for the memory.
        """
        with self.progress.stage(VOLUME_STAGES[2]):
            try:
                field = StudyField.of(network, inputs.study, inputs.landmarks_mm, bfloat16=self.bfloat16)
                grid = given_box(self.box, self.voxel_mm) if self.box else lumbar_box(field, self.voxel_mm)
                volume = field.on_grid(grid)
            except MemoryError as error:
                raise InputError(
                    f"not memory enough for voxels of {self.voxel_mm} mm: larger ones are expected"
                ) from error
            surfaces, missing = vertebra_surfaces(volume)
            projections = back_projections(volume, field.views)
            return {
                "volume": volume,
                "views": field.views,
                "surfaces": surfaces,
                "missing": missing,
                "projections": projections,
            }


def vertebra_surfaces(volume: ReconstructedVolume) -> tuple[dict[str, Surface], dict[str, str]]:
    """The surface of each lumbar vertebra of the labels, largest part; and why others have none."""
    surfaces, missing = {}, {}
    for level in LEVELS:
        mask = volume.labels == VERSE_LABELS[level]
        size_mm3 = float(mask.sum()) * volume.grid.voxel_mm**3
        if size_mm3 < LEAST_VERTEBRA_MM3:
            missing[level] = f"its label fills {size_mm3:.0f} mm3, expected at least {LEAST_VERTEBRA_MM3:.0f}"
            continue
        surfaces[level] = surface_from_mask(mask, volume.grid.world_from_voxel).surface
    return surfaces, missing


class WriteVolume(Transform):
    """Writes all files of a volume, or none; those that an earlier run left and this one does not make are removed.

    Args:
        weights: role to path of the files of weights that were used.
        parameters: what was asked of the run, for `run.json`.
        progress: stages and their seconds.
    """

    def __init__(self, weights: dict[str, str], parameters: dict[str, Any], progress: Progress) -> None:
        self.weights, self.parameters, self.progress = weights, parameters, progress

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the files; adds nothing."""
        if data.get("output_dir") is None:
            return dict(data)
        found = data["pred"]
        for level, reason in found["missing"].items():
            warnings.warn(f"{level}: {reason}; no mesh is written", stacklevel=2)
        with staged_output(data["output_dir"], VOLUME_FILES) as folder:
            with self.progress.stage(VOLUME_STAGES[3]):
                _write_volume_files(folder, found)
            document = volume_document(found["volume"], found["missing"], found["projections"])
            write_json(folder / "volume.json", document | {"stage_seconds": dict(self.progress.seconds)})
            inputs = {name: data[name] for name in INPUTS}
            run = provenance(inputs=inputs, weights=self.weights, parameters=self.parameters)
            write_json(folder / "run.json", run | {"warnings": list(data["study"].warnings)})
        return dict(data)


def _write_volume_files(folder: Path, found: Mapping[str, Any]) -> None:
    volume: ReconstructedVolume = found["volume"]
    write_volume(folder / "volume.nii.gz", volume.values_hu, volume.grid.world_from_voxel)
    write_volume(folder / "labels.nii.gz", volume.labels, volume.grid.world_from_voxel)
    for level, surface in found["surfaces"].items():
        write_ply(folder / f"{level}.ply", lps_from_world(surface.vertices_mm), surface.triangles, {})
    draw_page(volume, found["surfaces"], found["views"], found["projections"]).save(folder / "volume.png")


def volume_document(
    volume: ReconstructedVolume, missing: Mapping[str, str], projections: Mapping[str, BackProjection]
) -> dict[str, Any]:
    """The content of `volume.json`: grid, labels, volumes in ml, what is missing, how well both films are explained."""
    cubic_mm = volume.grid.voxel_mm**3
    return {
        "voxel_mm": volume.grid.voxel_mm,
        "shape": list(volume.grid.shape),
        "first_voxel_mm": volume.grid.origin_mm.tolist(),
        "seen_share": volume.seen_share,
        "labels": {**TISSUE_LABELS, "not_seen": NOT_SEEN_LABEL},
        "hu_window": list(HU_WINDOW),
        "hu_where_not_seen": NO_HU,
        "volumes_ml": {
            name: float((volume.labels == value).sum()) * cubic_mm / 1e3 for name, value in TISSUE_LABELS.items()
        },
        "mean_hu": {
            level: float(volume.values_hu[volume.labels == VERSE_LABELS[level]].mean())
            for level in LEVELS
            if (volume.labels == VERSE_LABELS[level]).any()
        },
        "missing_levels": dict(missing),
        "unexplained": {view: projections[view].unexplained for view in VIEWS},
    }


def end_volume(evaluator: Engine) -> None:
    """Says on the terminal what was found.

    Raises:
        NothingUsableError: if the volume holds no lumbar vertebra.
    """
    data = gathered(evaluator)
    found = data["pred"]
    volume: ReconstructedVolume = found["volume"]
    if data.get("output_dir") is not None:
        print(f"results: {Path(data['output_dir']).resolve()}")
    lines = [f"{level}: {found['missing'].get(level, 'found')}" for level in LEVELS]
    lines.append(
        f"{' x '.join(map(str, volume.grid.shape))} voxels of {volume.grid.voxel_mm:g} mm, {volume.seen_share:.0%} seen"
    )
    lines += [
        f"{view}: {found['projections'][view].unexplained:.0%} of the film's detail is unexplained" for view in VIEWS
    ]
    print("\n".join(lines), flush=True)
    if not found["surfaces"]:
        raise NothingUsableError("the volume holds no lumbar vertebra: nothing is usable")
