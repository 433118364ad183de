"""The command that writes a cohort of simulated studies.

    lumbar-ext simulate --output_dir DIR --n 100 --seed 0 --split train --workers 2
    lumbar-ext simulate --output_dir DIR --n 50 --split test --pathology mixed --meshes true
    lumbar-ext simulate --output_dir DIR --n 8 --split test --protocol poses18
    lumbar-ext simulate --output_dir DIR --n 16 --split test --variation none --renderer voxels
    lumbar-ext simulate --output_dir DIR --n 10 --split test --geometry slot

A run that was interrupted is resumed by the same command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lumbar_ext.bundle_paths import default_anatomy
from lumbar_ext.engine.completed import completed
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import remove_leftovers
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.parameter_file import read_parameters, record_parameters
from lumbar_ext.simulation.protocol import StudyPlan, plan_studies
from lumbar_ext.simulation.simulated_study import RENDERERS, simulate_study
from lumbar_ext.simulation.study_files import is_complete, write_study
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.typed_values import typed

DEFAULT_ANATOMY = default_anatomy()


@dataclass(frozen=True)
class CohortJob:
    """What all studies of a cohort share; the task of the processes that write them.

    Args:
        output_dir: folder of the study folders.
        anatomy: anatomy file.
        meshes: whether to write meshes.
        spec: the studies, but for what a `StudyPlan` says of each.
    """

    output_dir: Path
    anatomy: Path
    meshes: bool
    spec: StudySpec

    def prepare(self) -> Callable[[StudyPlan], None]:
        """Loads the population, and returns what writes a planned study."""
        return partial(self._write, Population.load(self.anatomy))

    def _write(self, population: Population, plan: StudyPlan) -> None:
        spec = replace(
            self.spec, seed=plan.seed, person_seed=plan.person_seed, direction=plan.direction, level=plan.level
        )
        write_study(simulate_study(population, spec), self.output_dir / plan.name, meshes=self.meshes)


def write_cohort(
    output_dir: str,
    n: int = 100,
    seed: int = 0,
    split: str = "train",
    *,
    workers: int = 1,
    meshes: bool = False,
    size_px: int = 512,
    inverted_share: float | None = None,
    anatomy: str = str(DEFAULT_ANATOMY),
    parameters: str | None = None,
    pathology: str = "none",
    protocol: str = "single",
    variation: str = "full",
    renderer: str = "meshes",
    voxel_mm: float = 1.0,
    geometry: str = "cone",
) -> None:
    """Writes studies of `n` people, named by split, pathology, variation, renderer and seed, skipping those that exist.

    Args:
        output_dir: folder to fill.
        n: number of people; their seeds are `seed` to `seed + n - 1`.
        seed: first seed.
        split: "train", "validation" or "test"; held-out splits start from real subjects.
        workers: processes; more than one need the extra [cohort].
        meshes: whether to write the vertebrae as STL files.
        size_px: rows and columns of the panel of 427 mm.
        inverted_share: share of pictures written with dark bone, noted in meta.json; instead of the parameters' own.
        anatomy: anatomy file.
        parameters: JSON file that overrides ranges of `parameters`, "plain" for `parameter_file.PLAIN`, or "noisy_cameras"
            for the same with cameras stated 1 mm off; all are written to `parameters.json` in the folder.
        pathology: "none", one of `pathology.KINDS` for all, or "mixed" for the shares of the parameters.
        protocol: "single", a study of each person; "poses18": six directions of motion at three excursions; or
            "poses_in_turn": a study of each person, each in the next of these eighteen.
        variation: "full", people drawn from the population, or "none", the real subjects of a held-out split as they are.
        renderer: "meshes", or "voxels": rays through a volume of CT numbers, which training never sees.
        voxel_mm: edge of its voxels, 0.4 to 2.
        geometry: "cone", two cone beams, or "slot", the films of a biplanar slot scanner of the same people.

    Raises:
        InputError: for an unknown split, parameter, pathology, protocol, variation, renderer or geometry, voxels out of
            range, a missing anatomy file, or a folder with other parameters.
    """
    if renderer not in RENDERERS:
        raise InputError(f"renderer must be one of {', '.join(RENDERERS)}, found {renderer!r}")
    ranges = read_parameters(parameters)
    if inverted_share is not None:
        ranges = replace(ranges, appearance=replace(ranges.appearance, inverted_share=float(inverted_share)))
    spec = StudySpec(
        int(seed),
        split,
        pathology=pathology,
        variation=variation,
        geometry=geometry,
        size_px=int(size_px),
        voxel_mm=float(voxel_mm),
        parameters=ranges,
    )
    spec = spec if renderer == "voxels" else replace(spec, voxel_mm=None)
    # A word from Python: "false" would count as true.
    job = CohortJob(Path(output_dir), Path(anatomy), typed("meshes", meshes, bool), spec)
    plans = plan_studies(protocol, int(n), int(seed), _label(spec, renderer))
    job.output_dir.mkdir(parents=True, exist_ok=True)
    remove_leftovers(job.output_dir)
    record_parameters(ranges, job.output_dir / "parameters.json")
    todo = [plan for plan in plans if not is_complete(job.output_dir / plan.name)]
    for plan in set(plans) - set(todo):
        _refuse_other_voxels(job.output_dir / plan.name, spec.voxel_mm)
    started = time.perf_counter()
    written = completed(job, todo, [plan.name for plan in todo], int(workers), threads=1)
    for _ in tqdm(written, total=len(todo), desc=f"{split} studies"):
        pass
    elapsed = time.perf_counter() - started
    rate = len(todo) / max(elapsed, 1e-9)
    print(f"{len(todo)} studies written, {len(plans) - len(todo)} found, {elapsed:.1f} s, {rate:.2f} studies/s")


def _label(spec: StudySpec, renderer: str) -> str:
    """How the names of the folders begin: what is not the default."""
    parts = [spec.split, spec.pathology if spec.pathology != "none" else "", "real" if spec.variation == "none" else ""]
    parts += [renderer if renderer != "meshes" else "", spec.geometry if spec.geometry != "cone" else ""]
    return "-".join(part for part in parts if part)


def _refuse_other_voxels(study: Path, voxel_mm: float | None) -> None:
    """Raises InputError if a finished study was rendered with other voxels: one folder holds studies of one kind."""
    found = StudyFolder(study).truth.read_meta().get("voxel_mm")
    if found != voxel_mm:
        raise InputError(f"{study}: was made with voxel_mm {found}, expected {voxel_mm}, or another folder")
