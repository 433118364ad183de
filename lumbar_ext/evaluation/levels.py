"""How many vertebrae get the right name: decided by each view alone, and by both together.

    lumbar-ext evaluate-levels "{'unseen people': 'FOLDER', 'findings': 'FOLDER'}"

reads folders of simulated studies with their truth, runs the network (half a second a study, no registration), and prints
a table. A vertebra is right when its centre lies within 13 mm of the height of the true one and no other true one is
nearer; wrong when it is not, or there is none of that name; missed when it is there and has no centre in both views.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS, SPINE_LEVELS, VIEWS
from lumbar_ext.bundle_paths import MULTITASK, bundle_dir
from lumbar_ext.engine.completed import Gathered, report_completed
from lumbar_ext.evaluation.truth import study_items
from lumbar_ext.geometry import triangulate
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.studies.biplanar_study import BiplanarStudy, read_study
from lumbar_ext.studies.study_folder import TruthFolder
from lumbar_ext.transforms.level_naming.joint_levels import LevelAssignment
from lumbar_ext.typed_values import Count
from lumbar_ext.workflow.observe import SeenViews, see_views, to_network_grids

RIGHT_CENTRE_MM = 13.0  # half the least distance of neighbouring lumbar centres, which lie 25-45 mm apart
ALONE, TOGETHER = "each view alone", "both views together"


@dataclass(frozen=True)
class LevelOutcome:
    """What became of one level of one study.

    Args:
        set_name, study, rule, level: which.
        outcome: "right", "wrong" or "missed"; "" where it is neither there nor found.
        probability: that the level is where it was found; NaN where the rule gives none.
        warned: whether the study's names were reported as doubtful.
    """

    set_name: str
    study: str
    rule: str
    level: str
    outcome: str
    probability: float
    warned: bool


def judged(true_height_mm: np.ndarray, found_height_mm: np.ndarray) -> list[str]:
    """The outcome of each level.

    Args:
        true_height_mm: [L] of the true centres, NaN where there is none of that name.
        found_height_mm: [L] of the found ones, NaN where there is none.
    """
    distance = np.abs(found_height_mm[:, None] - true_height_mm[None])
    distance = np.where(np.isfinite(distance), distance, np.inf)
    outcomes = []
    for level, found in enumerate(np.isfinite(found_height_mm)):
        own = distance[level, level]
        if not found:
            outcomes.append("missed" if np.isfinite(true_height_mm[level]) else "")
        else:
            outcomes.append("right" if own <= RIGHT_CENTRE_MM and own == distance[level].min() else "wrong")
    return outcomes


def measure_levels(set_name: str, study: str, seen: SeenViews, true_height_mm: np.ndarray) -> list[LevelOutcome]:
    """The outcomes of one study by both rules."""
    alone = _outcomes(set_name, study, ALONE, _heights_alone(seen), np.full(len(LEVELS), np.nan), False, true_height_mm)
    return alone + measure_assignment(set_name, study, seen.together(), true_height_mm)


def measure_assignment(
    set_name: str, study: str, levels: LevelAssignment, true_height_mm: np.ndarray, names: Sequence[str] = LEVELS
) -> list[LevelOutcome]:
    """The outcomes of one study as both views together name its vertebrae; `names` are those of the assignment's places."""
    places = [list(names).index(level) for level in LEVELS]
    pairs = [levels.best.pairs[place] for place in places]
    heights = np.array([np.nan if pair is None else pair.point_mm[2] for pair in pairs])
    probabilities = np.asarray(levels.level_probability)[places]
    return _outcomes(set_name, study, TOGETHER, heights, probabilities, bool(levels.warnings), true_height_mm)


def _outcomes(
    set_name: str,
    study: str,
    rule: str,
    height_mm: np.ndarray,
    probabilities: np.ndarray,
    warned: bool,
    true_height_mm: np.ndarray,
) -> list[LevelOutcome]:
    return [
        LevelOutcome(set_name, study, rule, level, outcome, float(probability), warned)
        for level, outcome, probability in zip(LEVELS, judged(true_height_mm, height_mm), probabilities, strict=True)
    ]


def _heights_alone(seen: SeenViews) -> np.ndarray:
    """[5] heights of the centres of equal names that each view chose by itself, NaN where one has none."""
    cells = [
        np.array([peak.centre_cells if peak else (np.nan, np.nan) for peak in seen.views[view].alone.peaks])
        for view in VIEWS
    ]
    found = triangulate(seen.geometry.ap, seen.geometry.lat, *map(LUMBAR_PACK.px_from_cells, cells))
    return found.points_mm[:, 2]


def levels_table(outcomes: list[LevelOutcome]) -> str:
    """The counts by set and rule, as Markdown."""
    header = (
        "set",
        "studies",
        "vertebrae",
        "decided by",
        "right",
        "wrong",
        "missed",
        "all right",
        "wrong, with a warning",
    )
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, rule in dict.fromkeys((own.set_name, own.rule) for own in outcomes):
        rows = [own for own in outcomes if (own.set_name, own.rule) == (name, rule)]
        studies = dict.fromkeys(own.study for own in rows)
        count = {kind: sum(own.outcome == kind for own in rows) for kind in ("right", "wrong", "missed")}
        faulty = {own.study for own in rows if own.outcome in ("wrong", "missed")}
        warned = sum(own.outcome == "wrong" and own.warned for own in rows)
        cells = [name, len(studies), sum(own.outcome != "" for own in rows), rule, *count.values()]
        cells += [len(studies) - len(faulty), "" if rule == ALONE else f"{warned} of {count['wrong']}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def evaluate_levels(
    sets: dict[str, str],
    *,
    first_generation: bool = False,
    bundle_root: str | None = None,
    output: str | None = None,
    workers: Count = 1,
) -> None:
    """Prints the table of some sets.

    Args:
        sets: name to folder of study folders with their truth.
        first_generation: measure the former network, each view alone and both together.
        bundle_root: folder of the network's bundle, if it is another one than the package's.
        output: CSV file with one row a level.
        workers: processes; more than one need the extra [cohort].
    """
    task = LevelTask(bundle_dir(MULTITASK, bundle_root), first_generation)
    items = [(name, item) for name, folder in sets.items() for item in study_items(folder, folder)]
    names = [Path(item["output_dir"]).name for _, item in items]
    report_completed(task, items, names, Gathered(partial(_report, output=output)), workers)


def _report(found: list[list[LevelOutcome]], output: str | None) -> None:
    outcomes = [outcome for study in found for outcome in study]
    if output is not None:
        with Path(output).open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, [field.name for field in fields(LevelOutcome)])
            rows.writeheader()
            rows.writerows(asdict(outcome) for outcome in outcomes)
    print(levels_table(outcomes))


LevelMeasure = Callable[[str, str, BiplanarStudy, np.ndarray], list[LevelOutcome]]


@dataclass(frozen=True)
class LevelTask:
    """The task of the processes that measure levels: of each set's name and study, the outcomes.

    Args:
        bundle_root: folder of the network's bundle.
        first_generation: the former network.
    """

    bundle_root: Path
    first_generation: bool

    def prepare(self) -> Callable[[tuple[str, Mapping[str, str]]], list[LevelOutcome]]:
        """Loads the networks."""
        measure = (_levels_of_the_first if self.first_generation else _located_levels)(self.bundle_root)
        return lambda named: _measured(measure, *named)


def _measured(measure: LevelMeasure, set_name: str, item: Mapping[str, str]) -> list[LevelOutcome]:
    study = read_study(item["ap_image"], item["lat_image"], item["calibration"])
    landmarks_mm = read_landmarks(TruthFolder(Path(item["truth_dir"])).landmarks).positions_mm
    return measure(set_name, Path(item["output_dir"]).name, study, landmarks_mm[:, :2, 2].mean(1))


def _levels_of_the_first(bundle_root: Path) -> LevelMeasure:
    from lumbar_ext.workflow.network_bundle import load_first_generation

    network = load_first_generation(bundle_root)

    def measure(name: str, study: str, films: BiplanarStudy, true_height_mm: np.ndarray) -> list[LevelOutcome]:
        return measure_levels(name, study, see_views(network, to_network_grids(films)), true_height_mm)

    return measure


def _located_levels(bundle_root: Path) -> LevelMeasure:
    from lumbar_ext.workflow.locate_and_look import observe_located
    from lumbar_ext.workflow.network_bundle import load_locating_networks

    network, locator = load_locating_networks(bundle_root)

    def measure(name: str, study: str, films: BiplanarStudy, true_height_mm: np.ndarray) -> list[LevelOutcome]:
        levels = observe_located(network, locator, films).levels
        return measure_assignment(name, study, levels, true_height_mm, SPINE_LEVELS)

    return measure
