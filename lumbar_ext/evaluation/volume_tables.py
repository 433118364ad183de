"""The tables of volumes: fields of several weights and the shape model's route, against the known volumes of studies.

    lumbar-ext evaluate-volumes "{'unseen people': 'FOLDER', 'findings': 'FOLDER'}" OUT

    lumbar-ext evaluate-volumes "{...}" OUT --weights "{'lambda 1': 'volume.pt', 'lambda 0': 'intensity.pt'}" --shape_model true

Every method answers on the grid of the truth, cut to the lumbar vertebrae and what lies within 15 mm of them.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.api import reconstruct
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.engine.completed import Gathered, report_completed
from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.evaluation.volume_scores import ALL_LUMBAR, REGIONS_OF_VOLUME, VolumeScores, volume_scores
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy
from lumbar_ext.studies.biplanar_study import BiplanarStudy, read_study
from lumbar_ext.studies.study_folder import CALIBRATION_NAME, StudyFolder, study_folders
from lumbar_ext.studies.truth_volume import TruthVolume, read_truth_volume
from lumbar_ext.transforms.tissue import NO_HU, TISSUE_LABELS
from lumbar_ext.typed_values import Count
from lumbar_ext.volumes.study_field import ReconstructedVolume, StudyField
from lumbar_ext.volumes.volume_stages import found_landmarks
from lumbar_ext.workflow.network_bundle import load_bundle_network, load_locating_networks

SHAPE_MODEL = "shape model, voxelised"
_MARGIN_MM = 15.0  # around the vertebrae
_FILES = ("volumes.csv", "volumes.md")
_COLUMNS = ("set", "study", "method", "quantity", "where", "value")

Method = Callable[[StudyFolder, BiplanarStudy, VoxelGrid], ReconstructedVolume]


@dataclass(frozen=True)
class ScoredVolume:
    """A volume of one method.

    Args:
        set_name, study, method: which.
        scores: against the truth.
        seconds: processor time of the method.
    """

    set_name: str
    study: str
    method: str
    scores: VolumeScores
    seconds: float

    def rows(self) -> list[tuple[str, str, str, str, str, float]]:
        """Rows of `volumes.csv`: set, study, method, quantity (with its unit), region or level, value."""
        scores = self.scores
        named = [("psnr_db", where, value) for where, value in scores.psnr_db.items()]
        named += [("ssim", where, value) for where, value in scores.ssim.items()]
        for where, overlap in scores.overlap.items():
            named += [(name, where, value) for name, value in vars(overlap).items()]
        named.append(("seconds", "", self.seconds))
        return [(self.set_name, self.study, self.method, *row) for row in named]


def evaluate_volumes(
    sets: dict[str, str],
    output_dir: str,
    *,
    weights: dict[str, str] | None = None,
    shape_model: bool = False,
    n_studies: int | None = None,
    bundle_root: str | None = None,
    workers: Count = 1,
) -> None:
    """Writes `volumes.csv` and `volumes.md`, the tables, and prints these.

    Args:
        sets: name to folder of studies with known volumes (`lumbar-ext simulate-volumes`).
        output_dir: folder of the results.
        weights: name to weights of the field network; the bundle's if omitted. Differences are against the first.
        shape_model: whether the reconstruction by the shape model is compared too, its meshes in voxels.
        n_studies: how many studies of each set, from the first by name.
        bundle_root: folder of the reconstruction bundle, if it is another one than the package's.
        workers: processes; more than one need the extra [cohort].

    Raises:
        InputError: if there is no set, or one holds no study with a volume.
    """
    root = bundle_dir(RECONSTRUCTION, bundle_root)
    named = weights or {"structure": str(root / "models" / "volume.pt")}
    studies = [(name, study) for name, folder in sets.items() for study in _with_volumes(name, folder)[:n_studies]]
    if not studies:
        raise InputError("sets: expected at least one name with its folder of studies, found none")
    names = [study.name for _, study in studies]
    report = Gathered(partial(_report, output_dir))
    report_completed(VolumeTask(root, named, shape_model), studies, names, report, workers)


def _report(output_dir: str, found: list[list[ScoredVolume]]) -> None:
    scored = [score for study in found for score in study]
    tables = volume_tables(scored)
    with staged_output(output_dir, _FILES) as folder:
        with (folder / _FILES[0]).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([_COLUMNS, *(row for score in scored for row in score.rows())])
        (folder / _FILES[1]).write_text(tables + "\n", encoding="utf-8")
    print(tables)


@dataclass(frozen=True)
class VolumeTask:
    """The task of the processes that make and compare volumes: of each set's name and study, the scores.

    Args:
        bundle_root: folder of the reconstruction bundle.
        weights: name to weights of the field network.
        shape_model: whether the reconstruction by the shape model is compared too.
    """

    bundle_root: Path
    weights: Mapping[str, str]
    shape_model: bool

    def prepare(self) -> Callable[[tuple[str, Path]], list[ScoredVolume]]:
        """Loads the networks."""
        methods = {name: field_method(self.bundle_root, path) for name, path in self.weights.items()}
        if self.shape_model:
            methods[SHAPE_MODEL] = shape_model_method
        return lambda named: scored_study(named[0], StudyFolder(named[1]), methods)


def scored_study(set_name: str, study: StudyFolder, methods: Mapping[str, Method]) -> list[ScoredVolume]:
    """The scores of all methods on one study."""
    truth = about_vertebrae(read_truth_volume(study.truth))
    films = read_study(study.radiograph("ap"), study.radiograph("lat"), study.calibration)
    scored = []
    for name, method in methods.items():
        started = time.process_time()
        found = method(study, films, truth.grid)
        seconds = time.process_time() - started
        scores = volume_scores(found, truth, intensity=bool((found.values_hu != NO_HU).any()))
        scored.append(ScoredVolume(set_name, study.path.name, name, scores, seconds))
    return scored


def field_method(bundle_root: Path, weights: str) -> Method:
    """The method that reads a field network with the weights of a file, told the landmarks that the shipped network finds."""
    network = load_bundle_network(bundle_root, weights, config="volume_inference.json")
    landmark_networks = load_locating_networks(bundle_dir(MULTITASK))

    def answer(_: StudyFolder, films: BiplanarStudy, grid: VoxelGrid) -> ReconstructedVolume:
        return StudyField.of(network, films, found_landmarks(*landmark_networks, films)).on_grid(grid)

    return answer


def shape_model_method(study: StudyFolder, _: BiplanarStudy, grid: VoxelGrid) -> ReconstructedVolume:
    """The reconstruction of the bundle, its meshes in voxels; it states no CT numbers."""
    labels = np.full(grid.shape, TISSUE_LABELS["soft_tissue"], np.uint8)
    try:
        found = reconstruct(study.radiograph("ap"), study.radiograph("lat"), study.path / CALIBRATION_NAME)
        for level, (vertices_mm, triangles) in found.meshes.items():
            labels[occupancy(Surface(vertices_mm, triangles), grid)] = VERSE_LABELS[level]
    except NothingUsableError:
        pass  # nothing found: all levels are missed
    return ReconstructedVolume(np.full(grid.shape, NO_HU, np.int16), labels, grid)


def about_vertebrae(truth: TruthVolume, margin_mm: float = _MARGIN_MM) -> TruthVolume:
    """The part of a known volume about the lumbar vertebrae."""
    places = np.argwhere(np.isin(truth.labels, list(VERSE_LABELS.values())))
    rim = round(margin_mm / truth.grid.voxel_mm)
    low = np.maximum(places.min(0) - rim, 0)
    high = np.minimum(places.max(0) + rim + 1, truth.grid.shape)
    part = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return TruthVolume(truth.values_hu[part], truth.labels[part], truth.grid.part(part))


def volume_tables(scored: Sequence[ScoredVolume]) -> str:
    """Markdown tables, set by set: means over studies with their standard errors, and differences between methods."""
    parts = []
    for set_name in dict.fromkeys(score.set_name for score in scored):
        own = [score for score in scored if score.set_name == set_name]
        studies = len({score.study for score in own})
        parts += [f"## {set_name} ({studies} studies)", _main_table(own), _level_table(own)]
        if differences := _difference_table(own):
            parts.append(differences)
    return "\n\n".join(parts)


def _main_table(scored: Sequence[ScoredVolume]) -> str:
    images = [("psnr_db", name, 1) for name in REGIONS_OF_VOLUME] + [("ssim", name, 3) for name in REGIONS_OF_VOLUME]
    titles = [f"PSNR {name}, dB" for name in REGIONS_OF_VOLUME] + [f"SSIM {name}" for name in REGIONS_OF_VOLUME]
    rows = [["method", "Dice", "ASSD, mm", "HD95, mm", *titles, "processor s"]]
    for method, own in _by_method(scored).items():
        overlaps = (("dice", 3), ("average_distance_mm", 2), ("hausdorff95_mm", 1))
        cells = [_mean([_of_vertebrae(score, name) for score in own], digits) for name, digits in overlaps]
        cells += [_mean([getattr(score.scores, kind)[name] for score in own], digits) for kind, name, digits in images]
        rows.append([method, *cells, f"{np.mean([score.seconds for score in own]):.1f}"])
    return _table(rows)


def _level_table(scored: Sequence[ScoredVolume]) -> str:
    rows = [["Dice", *LEVELS, "all as one bone"]]
    for method, own in _by_method(scored).items():
        cells = [
            _mean([score.scores.overlap[name].dice for score in own if name in score.scores.overlap], 3)
            for name in (*LEVELS, ALL_LUMBAR)
        ]
        rows.append([method, *cells])
    return _table(rows)


def _difference_table(scored: Sequence[ScoredVolume]) -> str:
    """What the first method gains over the others, study by study; empty where it is the only one."""
    by_method = _by_method(scored)
    first, *others = by_method
    rows = [[f"{first} less ...", "Dice", *(f"PSNR {name}, dB" for name in REGIONS_OF_VOLUME)]]
    for other in others:
        pairs = list(zip(by_method[first], by_method[other], strict=True))
        gains = [[_of_vertebrae(a, "dice") - _of_vertebrae(b, "dice") for a, b in pairs]]
        gains += [[a.scores.psnr_db[name] - b.scores.psnr_db[name] for a, b in pairs] for name in REGIONS_OF_VOLUME]
        rows.append([other, *(_mean(values, 3 if i == 0 else 2) for i, values in enumerate(gains))])
    return _table(rows) if others else ""


def _of_vertebrae(score: ScoredVolume, name: str) -> float:
    """Mean over the levels that a person has; of distances, over those found."""
    values = [getattr(score.scores.overlap[level], name) for level in LEVELS if level in score.scores.overlap]
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _by_method(scored: Sequence[ScoredVolume]) -> dict[str, list[ScoredVolume]]:
    return {name: [s for s in scored if s.method == name] for name in dict.fromkeys(s.method for s in scored)}


def _mean(values: Sequence[float], digits: int) -> str:
    """Mean and its standard error over studies."""
    known = np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return ""
    error = f" ± {known.std(ddof=1) / np.sqrt(len(known)):.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{error}"


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _with_volumes(name: str, folder: str) -> list[Path]:
    found = [study for study in study_folders(folder) if StudyFolder(study).truth.labels.is_file()]
    if not found:
        raise InputError(
            f"{folder}: the set {name!r} holds no study with truth/labels.nii.gz: lumbar-ext simulate-volumes"
        )
    return found
