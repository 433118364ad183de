"""Builds the shape model and the anatomy file from vertebra meshes and label maps.

    lumbar-ext build-shape-model DATA OUT

runs the bundle's `build_ssm.json`. A data folder is scanned as `sources.folder` says, or described by a cohort file (see
`sources.cohort_file`). The output folder receives

| file | content |
|---|---|
| `model.pt` | the shape model, see `point_distribution` |
| `anatomy.pt` | what simulated subjects are made of, see `atlas` |
| `registration.csv` | what became of every input: residuals, self-intersections, repairs, or why it was skipped |
| `scree.csv`, `quality.csv`, `quality_summary.csv` | variance of the modes; generality and specificity |
| `scree.png`, `compactness.png`, `generality.png`, `specificity.png` | the same as plots |

The files appear together. Finished registrations stay in `--work_dir`, so an interrupted run continues where it stopped;
`registration.csv` is there as soon as all are done.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm.contrib.logging import logging_redirect_tqdm

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.shape.correspondence.choose_reference import choose_reference
from lumbar_ext.shape.correspondence.cohort_registration import RegisteredShape, register_cohort
from lumbar_ext.shape.correspondence.mirror import mirror_map
from lumbar_ext.shape.correspondence.registration_table import registration_rows, write_registration_csv
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel, fit_level_shapes, fit_shape_model
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.shape.population.background import build_background
from lumbar_ext.shape.population.level_statistics import complete_subject, level_statistics
from lumbar_ext.shape.population.widening import Widening, draw_build
from lumbar_ext.shape.quality.quality_plot import plot_quality
from lumbar_ext.shape.quality.quality_table import generality_rows, scree_rows, specificity_rows, summary_rows
from lumbar_ext.shape.sources.cohort_file import Cohort, load_cohort
from lumbar_ext.shape.sources.folder import scan_folder

_LOG = logging.getLogger(__name__)
PUBLIC_COHORT = Path(__file__).parent / "cohorts" / "public_lumbar.json"
_FILES = (
    *("anatomy.pt", "model.pt", "registration.csv", "scree.csv", "quality.csv", "quality_summary.csv"),
    *("scree.png", "compactness.png", "generality.png", "specificity.png"),
)
"""What a build may write: an older one's are removed with it."""
_LEAVE_ONE_OUT_SUBJECTS = 200
"""Simulated subjects behind a model with one real subject left out; with 400 generality changes by 0.01 mm or less."""


@dataclass(frozen=True)
class BuildOptions:
    """Sizes of the build.

    Args:
        n_vertices: wanted vertices of the shared topology.
        n_modes: modes stored per level; the paper has 14.
        n_subjects: simulated training subjects the modes are computed from (real deviations, published variation and a
            free-form residual); 0 computes them from the registered shapes alone, as is right for a large collection.
        background_triangles: triangles of each background bone.
        seed: of the simulated subjects.
        quality: measure generality and specificity (some minutes).

    Raises:
        InputError: if a number is out of range.
    """

    n_vertices: int = 10_000
    n_modes: int = 64
    n_subjects: int = 400
    background_triangles: int = 5_000
    seed: int = 0
    quality: bool = True

    def __post_init__(self) -> None:
        for name, least in (("n_vertices", 500), ("n_modes", 1), ("n_subjects", 0), ("background_triangles", 100)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} must be a whole number of at least {least}, found {value!r}")
        if self.n_subjects == 1:
            raise InputError("n_subjects is 1: expected 0 for the registered shapes themselves, or at least 2")


@dataclass(frozen=True)
class ShapeModelBuild:
    """The whole build, as the bundle config calls it.

    Args:
        cohort: the shapes, from `find_cohort`.
        data_dir: folder the paths in the cohort start from.
        output_dir: where the files go.
        work_dir: cache of finished registrations; `output_dir/work` when omitted.
        orientation_model: `model.pt` that orients the reference when meshes come without landmarks in an unknown
            orientation; not needed for label maps or landmarks.
        options: sizes.
    """

    cohort: Cohort
    data_dir: str | Path
    output_dir: str | Path
    work_dir: str | Path | None = None
    orientation_model: str | Path | None = None
    options: BuildOptions = field(default_factory=BuildOptions)

    def run(self) -> None:
        """Builds and writes all files.

        Raises:
            InputError: if fewer than two training subjects can be used, or a level has none.
        """
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        data, output = Path(self.data_dir), Path(self.output_dir)
        work = Path(self.work_dir) if self.work_dir else output / "work"
        for folder in (output, work):
            folder.mkdir(parents=True, exist_ok=True)
        orientation = VertebraShapeModel.load(self.orientation_model) if self.orientation_model else None
        _refuse_too_few({s.subject for s in self.cohort.shapes if s.split == "train" and s.weight > 0})
        with logging_redirect_tqdm():
            cohort, reference = choose_reference(self.cohort, data, work, self.options.n_vertices, orientation)
            registered = register_cohort(cohort, reference, data, work)
            table = registration_rows(cohort, registered)
            write_registration_csv(work / "registration.csv", table)  # for who has too few usable shapes
            shapes = registered.shapes
            _refuse_too_few({s.shape.subject for s in shapes if s.shape.split == "train" and s.shape.weight > 0})
            atlas = build_atlas(cohort, reference, shapes, data, self.options)
            model = build_model(atlas, self.options, shapes)
            if model.n_modes < self.options.n_modes:
                _LOG.warning(
                    "the shapes have %d modes, fewer than the %d asked for", model.n_modes, self.options.n_modes
                )
            quality = measure(cohort, reference, shapes, atlas, model, self.options) if self.options.quality else []
        with staged_output(output, _FILES) as folder:
            atlas.save(folder / "anatomy.pt")
            model.save(folder / "model.pt")
            scree = scree_rows(model)
            write_registration_csv(folder / "registration.csv", table)
            write_registration_csv(folder / "scree.csv", scree)
            if quality:
                write_registration_csv(folder / "quality.csv", quality)
                write_registration_csv(folder / "quality_summary.csv", summary_rows(quality))
            plot_quality(folder, scree, quality)
        _LOG.info("wrote %s and %s", output / "anatomy.pt", output / "model.pt")


def find_cohort(
    data_dir: str | Path,
    cohort: str | Path | None = None,
    label_values: dict[str, int] | None = None,
    test_subjects: Sequence[str] = (),
    validation_subjects: Sequence[str] = (),
) -> Cohort:
    """The cohort to build from: a file, the shipped public cohort, or what a scan of the data folder finds.

    Args:
        data_dir: the data folder.
        cohort: cohort file, "public" for `cohorts/public_lumbar.json`, or None to scan the folder.
        label_values: label of each level in label maps, for a scan.
        test_subjects: subjects to keep out for the test, for a scan.
        validation_subjects: subjects to keep out for choosing settings, for a scan.
    """
    if not str(data_dir) or not Path(data_dir).is_dir():
        raise InputError(f"data_dir is {str(data_dir)!r}, expected a folder with vertebra meshes or label maps")
    if cohort:
        return load_cohort(PUBLIC_COHORT if cohort == "public" else cohort)
    return scan_folder(data_dir, label_values, test_subjects, validation_subjects)


def build_atlas(
    cohort: Cohort, reference: Reference, shapes: Sequence[RegisteredShape], data_dir: Path, options: BuildOptions
) -> Atlas:
    """The anatomy file's contents from registered shapes.

    Raises:
        InputError: if a level has no training shape, or the background's L5 was not registered.
    """
    mirror = mirror_map(reference)
    training = [s for s in shapes if s.shape.split == "train"]
    statistics = level_statistics(training, reference, cohort.size_subject, mirror)
    whole: dict[str, list[RegisteredShape]] = {}
    for s in shapes:
        if s.shape.split != "train" or s.shape.subject in cohort.training_bases:
            whole.setdefault(s.shape.subject, []).append(s)
    bases = [complete_subject(group, statistics, reference) for group in whole.values()]
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
        base_names=tuple(whole),
        base_splits=tuple(group[0].shape.split for group in whole.values()),
        mirror=mirror,
        background=background,
    )


def build_model(atlas: Atlas, options: BuildOptions, shapes: Sequence[RegisteredShape] = ()) -> VertebraShapeModel:
    """The shape model of seeded simulated subjects, or of the registered training shapes.

    Args:
        atlas: means, deviations and topology.
        options: with `n_subjects` 0 the modes are those of `shapes`.
        shapes: registered shapes, needed only then.

    Raises:
        InputError: if the modes are to come from the shapes and a level has fewer than two.
    """
    if options.n_subjects == 0:
        used = [s for s in shapes if s.shape.split == "train" and s.shape.weight > 0]
        by_level = [
            np.array([s.vertices_mm for s in used if s.shape.level_index == level]) for level in range(len(LEVELS))
        ]
        return fit_level_shapes(by_level, atlas.reference, options.n_modes)
    widening = Widening(atlas)
    rng = np.random.default_rng(options.seed)
    subjects = np.stack(
        [widening.training_subject(rng, atlas.means_mm, draw_build(rng).log_size) for _ in range(options.n_subjects)]
    )
    return fit_shape_model(subjects, atlas.reference, options.n_modes)


def measure(
    cohort: Cohort,
    reference: Reference,
    shapes: Sequence[RegisteredShape],
    atlas: Atlas,
    model: VertebraShapeModel,
    options: BuildOptions,
) -> list[dict]:
    """Specificity, and generality on held-out subjects and with each training subject left out."""
    rows = specificity_rows(model, atlas, options.seed)
    rows += generality_rows("held_out", model, _outside_the_model(cohort, shapes))
    return rows + _leave_one_out_rows(cohort, reference, shapes, atlas, options)


def _outside_the_model(cohort: Cohort, shapes: Sequence[RegisteredShape]) -> list[RegisteredShape]:
    """Shapes of held-out subjects, and of training bases that weigh nothing."""
    weighed = {s.shape.subject for s in shapes if s.shape.split == "train" and s.shape.weight > 0}
    bases = set(cohort.training_bases) - weighed
    return [s for s in shapes if s.shape.split != "train" or s.shape.subject in bases]


def _leave_one_out_rows(
    cohort: Cohort, reference: Reference, shapes: Sequence[RegisteredShape], atlas: Atlas, options: BuildOptions
) -> list[dict]:
    """Generality of models rebuilt without one training subject, measured on that subject."""
    training = [s for s in shapes if s.shape.split == "train"]
    smaller_options = replace(options, n_subjects=min(options.n_subjects, _LEAVE_ONE_OUT_SUBJECTS))
    rows = []
    for subject in atlas.deviation_names:
        rest = [s for s in training if s.shape.subject != subject]
        left_out = [s for s in training if s.shape.subject == subject and s.shape.weight > 0]
        try:
            statistics = level_statistics(rest, reference, cohort.size_subject, atlas.mirror)
            smaller = replace(
                atlas,
                means_mm=statistics.means_mm,
                deviations_mm=statistics.deviations_mm,
                deviation_names=statistics.deviation_names,
            )
            rows += generality_rows("leave_one_out", build_model(smaller, smaller_options, rest), left_out)
        except InputError as error:
            _LOG.warning("%s cannot be left out: %s", subject, error)
    return rows


def _refuse_too_few(subjects: set[str]) -> None:
    """Raises InputError for fewer than two training subjects."""
    if len(subjects) < 2:
        raise InputError(
            f"{len(subjects)} training subject{'s' if len(subjects) != 1 else ''} that can be used"
            f"{': ' + next(iter(subjects)) if subjects else ''}; a shape model needs at least 2 "
            "(registration.csv says what became of each file)"
        )
