"""Builds the shape model and the anatomy file from a cohort of meshes and label maps.

    python -m lumbar_ext.shape.build --data_dir DATA --output_dir bundles/lumbar_reconstruction/models

writes `model.pt` (see `point_distribution`), `anatomy.pt` (see `atlas`), `registration.csv` (residuals of every
shape) and `quality.csv` (compactness, generality, specificity). Own data: describe them in a JSON file as in `cohort`
and pass `--cohort`. Registered shapes are kept in `--work_dir`, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import fire
import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.shape.atlas import Atlas
from lumbar_ext.shape.background import build_background
from lumbar_ext.shape.cohort import Cohort, load_cohort
from lumbar_ext.shape.correspondence import RegisteredShape, load_reference, register_cohort
from lumbar_ext.shape.level_statistics import complete_subject, level_statistics
from lumbar_ext.shape.mirror import mirror_map
from lumbar_ext.shape.point_distribution import VertebraShapeModel, fit_shape_model
from lumbar_ext.shape.quality import Quality, generality, quality_rows
from lumbar_ext.shape.reference import Reference
from lumbar_ext.shape.widening import Widening, draw_build

_LOG = logging.getLogger(__name__)
PUBLIC_COHORT = Path(__file__).parent / "cohorts" / "public_lumbar.json"


@dataclass(frozen=True)
class BuildOptions:
    """Sizes of the build.

    Args:
        n_vertices: vertices of the shared topology.
        n_subjects: simulated training subjects the modes are computed from.
        n_modes: modes stored.
        background_triangles: triangles of each background bone.
        seed: of the training subjects.
    """

    n_vertices: int = 10_000
    n_subjects: int = 400
    n_modes: int = 64
    background_triangles: int = 5_000
    seed: int = 0


def build(
    data_dir: str,
    output_dir: str,
    cohort: str | None = None,
    work_dir: str | None = None,
    n_vertices: int = 10_000,
    n_subjects: int = 400,
    n_modes: int = 64,
    seed: int = 0,
    quality: bool = True,
) -> None:
    """Builds model.pt and anatomy.pt.

    Args:
        data_dir: folder the paths in the cohort start from.
        output_dir: where the files go.
        cohort: cohort JSON; the public lumbar cohort when omitted.
        work_dir: cache of registered shapes; `output_dir/work` when omitted.
        n_vertices: vertices of the shared topology.
        n_subjects: simulated training subjects behind the modes.
        n_modes: modes stored per level.
        seed: of the training subjects.
        quality: also measure the model (about a minute).
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = BuildOptions(n_vertices=n_vertices, n_subjects=n_subjects, n_modes=n_modes, seed=seed)
    output = Path(output_dir)
    work = Path(work_dir) if work_dir else output / "work"
    for folder in (output, work):
        folder.mkdir(parents=True, exist_ok=True)
    description = load_cohort(cohort or PUBLIC_COHORT)
    reference = load_reference(description, Path(data_dir), work, options.n_vertices)
    shapes = register_cohort(description, reference, Path(data_dir), work)
    write_csv(output / "registration.csv", registration_rows(shapes))
    atlas = build_atlas(description, reference, shapes, Path(data_dir), options)
    atlas.save(output / "anatomy.pt")
    model = build_model(atlas, options)
    model.save(output / "model.pt")
    _LOG.info("wrote %s and %s", output / "anatomy.pt", output / "model.pt")
    if quality:
        write_csv(output / "quality.csv", measure(description, reference, shapes, atlas, model, options))


def build_atlas(
    cohort: Cohort, reference: Reference, shapes: list[RegisteredShape], data_dir: Path, options: BuildOptions
) -> Atlas:
    """The anatomy file's contents from registered shapes.

    Raises:
        InputError: if a level has no training shape, or the background's L5 was not registered.
    """
    mirror = mirror_map(reference)
    training = [s for s in shapes if s.shape.split == "train"]
    statistics = level_statistics(training, reference, cohort.size_subject, mirror)
    held_out: dict[str, list[RegisteredShape]] = {}
    for s in shapes:
        if s.shape.split != "train":
            held_out.setdefault(s.shape.subject, []).append(s)
    bases = [complete_subject(group, statistics, reference) for group in held_out.values()]
    background = None
    if cohort.background:
        l5 = next((s for s in shapes if s.shape.name == cohort.background.get("l5")), None)
        if l5 is None:
            raise InputError(f"background l5 is {cohort.background.get('l5')!r}, expected the name of a registered L5")
        background = build_background(
            cohort.background,
            data_dir,
            reference,
            l5.world_from_vertebra,
            statistics.means_mm[0],
            options.background_triangles,
        )
    return Atlas(
        reference=reference,
        means_mm=statistics.means_mm,
        deviations_mm=statistics.deviations_mm,
        deviation_names=statistics.deviation_names,
        bases_mm=np.stack(bases) if bases else np.zeros((0, *statistics.means_mm.shape)),
        base_names=tuple(held_out),
        base_splits=tuple(group[0].shape.split for group in held_out.values()),
        mirror=mirror,
        background=background,
    )


def build_model(atlas: Atlas, options: BuildOptions) -> VertebraShapeModel:
    """The shape model of seeded training subjects drawn from the widened population."""
    widening = Widening(atlas)
    rng = np.random.default_rng(options.seed)
    subjects = np.stack(
        [widening.training_subject(rng, atlas.means_mm, draw_build(rng).log_size) for _ in range(options.n_subjects)]
    )
    return fit_shape_model(subjects, atlas.reference, options.n_modes)


def measure(
    cohort: Cohort,
    reference: Reference,
    shapes: list[RegisteredShape],
    atlas: Atlas,
    model: VertebraShapeModel,
    options: BuildOptions,
) -> list[dict]:
    """Compactness, specificity, and generality on held-out subjects and with each training subject left out."""
    held_out = [s for s in shapes if s.shape.split != "train"]
    rows = quality_rows(model, atlas, options.seed)
    rows += _generality_rows("held_out", model, held_out)
    return rows + _leave_one_out_rows(cohort, reference, shapes, atlas, options)


def _leave_one_out_rows(
    cohort: Cohort, reference: Reference, shapes: list[RegisteredShape], atlas: Atlas, options: BuildOptions
) -> list[dict]:
    """Generality of models rebuilt without one training subject, measured on that subject."""
    training = [s for s in shapes if s.shape.split == "train"]
    rows = []
    for subject in atlas.deviation_names:
        rest = [s for s in training if s.shape.subject != subject]
        left_out = [s for s in training if s.shape.subject == subject and s.shape.weight > 0]
        try:
            statistics = level_statistics(rest, reference, cohort.size_subject, atlas.mirror)
        except InputError as error:
            _LOG.warning("%s cannot be left out: %s", subject, error)
            continue
        smaller = replace(
            atlas,
            means_mm=statistics.means_mm,
            deviations_mm=statistics.deviations_mm,
            deviation_names=statistics.deviation_names,
        )
        rows += _generality_rows("leave_one_out", build_model(smaller, options), left_out)
    return rows


def _generality_rows(kind: str, model: VertebraShapeModel, shapes: list[RegisteredShape]) -> list[dict]:
    """One row per shape and number of modes."""
    rows = []
    for s in shapes:
        for modes in sorted({14, 30, model.n_modes}):
            if modes <= model.n_modes:
                error: Quality = generality(model, s.vertices_mm, s.shape.level_index, modes)
                row = {
                    "measure": f"generality_{kind}",
                    "level": s.shape.level,
                    "subject": s.shape.subject,
                    "modes": modes,
                }
                rows.append({**row, "mean_mm": f"{error.mean_mm:.3f}", "p95_mm": f"{error.p95_mm:.3f}", "value": ""})
    return rows


def registration_rows(shapes: list[RegisteredShape]) -> list[dict]:
    """Residuals of every registered shape, for a CSV."""
    return [
        {
            "shape": s.shape.name,
            "level": s.shape.level,
            "split": s.shape.split,
            "weight": s.shape.weight,
            "to_target_mean_mm": f"{s.template_to_target_mm[0]:.3f}",
            "to_target_p95_mm": f"{s.template_to_target_mm[1]:.3f}",
            "from_target_mean_mm": f"{s.target_to_template_mm[0]:.3f}",
            "from_target_p95_mm": f"{s.target_to_template_mm[1]:.3f}",
            "folded_fraction": f"{s.folded_fraction:.5f}",
        }
        for s in sorted(shapes, key=lambda s: (LEVELS.index(s.shape.level), s.shape.name))
    ]


def write_csv(path: Path, rows: list[dict]) -> None:
    """Writes rows of equal keys."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    fire.Fire(build)
