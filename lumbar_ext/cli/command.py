"""The command: finds the verb, binds its arguments, runs it.

Nothing heavy is imported before a verb is known, so that `lumbar-ext --help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import lumbar_ext
from lumbar_ext.errors import InputError
from lumbar_ext.workflow.error_reporting import report_input_errors, show_warning


@dataclass(frozen=True)
class Verb:
    """One thing that the command does.

    Args:
        name: as the user types it.
        place: "module:function" below `lumbar_ext`.
        line: what it does.
        extra: of the package that it needs.
    """

    name: str
    place: str
    line: str
    extra: str = ""

    def function(self) -> Callable:
        """What runs; its module is imported only now."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(f"lumbar_ext.{module}"), name)


VERB_GROUPS: dict[str, tuple[Verb, ...]] = {
    "One person": (
        Verb("reconstruct", "cli.bundle_verbs:reconstruct", "L1 to L5 in 3D from two calibrated radiographs"),
        Verb("volume", "cli.bundle_verbs:volume", "CT numbers and tissues of the lumbar spine from two radiographs"),
        Verb("decompose", "cli.bundle_verbs:decompose", "what the network sees in single radiographs"),
        Verb(
            "motion",
            "measurements.flexion_extension:compare_postures",
            "how far each segment moves between two reconstructions",
        ),
        Verb(
            "follow-up", "report.follow_up_page:follow_up", "what has changed between studies of one person, on a page"
        ),
        Verb("dicom", "report.dicom.export:write_dicom", "a reconstruction as DICOM objects", "dicom"),
        Verb("picture", "report.reconstruction_picture:draw_picture", "overlays and meshes side by side as PNG"),
        Verb(
            "deidentify",
            "radiographs.dicom_deidentified:deidentify",
            "copies of two DICOM radiographs without their person",
        ),
        Verb(
            "calibrate-films",
            "cli.uncalibrated_films:calibrate_films",
            "calibration.json of two films that nobody calibrated, from the landmarks on them",
        ),
        Verb(
            "calibrate-phantom",
            "radiographs.cameras.phantom_points:write_phantom_calibration",
            "calibration.json of two cone beams from the markers of a phantom",
        ),
        Verb(
            "calibrate-slot-scan",
            "radiographs.cameras.dicom_slot_scan:write_slot_calibration",
            "calibration.json of a slot scanner's two films from their DICOM headers",
        ),
        Verb("own-vertebrae", "cli.bundle_verbs:own_vertebrae", "your CT's vertebrae where two radiographs show them"),
    ),
    "Many people": (
        Verb(
            "cohort", "batch.cohort_verbs:cohort", "all studies of a manifest; again, those that are missing", "cohort"
        ),
        Verb(
            "cohort-status", "batch.cohort_verbs:cohort_status", "how many ended how, how long it will go on", "cohort"
        ),
        Verb("cohort-retry", "batch.cohort_verbs:cohort_retry", "what crashed or timed out once more", "cohort"),
        Verb("cohort-report", "batch.cohort_verbs:cohort_report", "tables and page as they are now", "cohort"),
        Verb("pacs", "pacs.pacs_verb:pacs", "studies of a DICOM archive, results stored with them", "pacs"),
    ),
    "Simulated studies": (
        Verb("simulate", "simulation.cohort:write_cohort", "study folders of simulated people"),
        Verb("simulate-ct", "simulation.ct.from_ct:write_ct_studies", "study folders of a real CT with labels"),
        Verb(
            "simulate-volumes",
            "simulation.simulated_volume:write_simulated_volumes",
            "CT numbers and tissues of simulated people",
        ),
        Verb("contact-sheet", "simulation.checks.contact_sheet:contact_sheet", "a picture of many studies"),
        Verb(
            "pathology-sheet",
            "simulation.checks.pathology_sheet:pathology_sheet",
            "one person, every pathology",
        ),
        Verb(
            "morphometry",
            "simulation.checks.morphometry:morphometry",
            "the population's dimensions against the literature",
        ),
        Verb(
            "posture-check",
            "simulation.checks.posture_check:posture_check",
            "simulated postures against the literature",
        ),
        Verb(
            "posture-statistics",
            "simulation.posture.posture_statistics:make_posture_statistics",
            "statistics of curvature from keypoints",
        ),
    ),
    "Shape models": (
        Verb("build-shape-model", "cli.bundle_verbs:build_shape_model", "from your meshes or label maps", "build"),
        Verb("mode-picture", "shape.quality.mode_picture:mode_picture", "a model's means and first modes as PNG"),
    ),
    "The network": (
        Verb("train", "cli.bundle_verbs:train", "trains the network; the same command continues"),
        Verb("train-first-generation", "cli.bundle_verbs:train_first_generation", "the same of the former network"),
        Verb(
            "evaluate-network",
            "evaluation.network.located_views:evaluate_network",
            "the paper's tables on sets of studies",
        ),
        Verb(
            "evaluate-first-generation",
            "cli.bundle_verbs:evaluate_first_generation",
            "the same of the former network, or of one you train",
        ),
        Verb(
            "evaluate-levels",
            "evaluation.levels:evaluate_levels",
            "how many vertebrae are named rightly on sets of studies",
        ),
        Verb("evaluate-real", "evaluation.films.bench:evaluate_real", "how it does on your own marked films"),
        Verb(
            "calibrate-network",
            "evaluation.network.confidence_calibration:fit_confidence_calibration",
            "confidences of the former network that are probabilities",
        ),
        Verb(
            "network-reliability",
            "evaluation.network.confidence_calibration:diagram",
            "draws how reliable they are",
            "build",
        ),
        Verb(
            "network-errors",
            "evaluation.network.network_error:measure_network_error",
            "the size of the former network's errors on a cohort",
        ),
        Verb(
            "cross-validate",
            "evaluation.network.cross_validation:cross_validate",
            "the former network by folds of subjects",
        ),
        Verb("ablate", "evaluation.network.ablation:ablate", "the paper's ablation, of the former network"),
        Verb("export-onnx", "training.onnx_export:export", "the network as an ONNX file", "export"),
        Verb("pack-weights", "training.weight_parts:pack_weights", "weights in half precision, in parts if need be"),
        Verb("join-weights", "training.weight_parts:join_weights", "parts of weights in one file"),
        Verb(
            "pack-campaign", "training.campaign_state:pack_campaign", "a campaign's state, small, for another machine"
        ),
        Verb("campaign-weights", "training.campaign_state:campaign_weights", "the averaged weights of a campaign"),
    ),
    "How good it is": (
        Verb("evaluate", "cli.bundle_verbs:evaluate", "error tables of reconstructions of a cohort"),
        Verb(
            "evaluate-volumes", "evaluation.volume_tables:evaluate_volumes", "volumes against those of simulated people"
        ),
        Verb("evaluate-measurements", "cli.bundle_verbs:evaluate_measurements", "errors of measurements of a cohort"),
        Verb(
            "evaluate-shape-values",
            "evaluation.closest_instances:evaluate_shape_values",
            "errors of measurements that the shape model leaves",
        ),
        Verb("evaluate-anchors", "evaluation.anchor_study:evaluate_anchors", "errors of values with T12 and S1"),
        Verb(
            "calibrate-measurements",
            "measurements.uncertainty.interval_fit:fit_interval_calibration",
            "chooses the factors of their intervals on sets of validation studies",
        ),
        Verb(
            "check-measurements",
            "measurements.uncertainty.interval_check:check",
            "how often their intervals hold the truth, by kind and set",
            "build",
        ),
        Verb(
            "check-grades",
            "evaluation.grade_tables:check_grades",
            "how grades of vertebrae and true errors go together",
            "build",
        ),
        Verb(
            "apportion-biases",
            "evaluation.bias_tables:apportion_biases",
            "how much of a bias is the shape model's, the registration's, the network's",
        ),
        Verb("definitions", "measurements.values.definitions_table:print_table", "how each measurement is defined"),
    ),
    "Installation": (
        Verb("warm-up", "cli.bundle_verbs:warm_up", "compiles all kernels"),
        Verb("package-map", "deploy.packaging:stage", "the folder that becomes a MONAI Application Package"),
    ),
}
VERBS = {verb.name: verb for group in VERB_GROUPS.values() for verb in group}

EXIT_STATUS = """Exit status: 0 done; 1 an error of the program; 2 a file, option or folder that cannot be used; 3 nothing
usable was found; 130 interrupted; 143 terminated."""


def main(words: Sequence[str] | None = None) -> None:
    """Runs the command; what cannot be used ends in one line on standard error and its exit status."""
    report_input_errors()
    warnings.showwarning = show_warning
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", FutureWarning)
    run(list(sys.argv[1:] if words is None else words))


def run(words: Sequence[str]) -> None:
    """Runs the verb that the first word names on the others.

    Raises:
        InputError: if there is no such verb, or its arguments or input cannot be used.
    """
    if not words or words[0] in ("--help", "-h", "help"):
        print(overview())
        return
    if words[0] == "--version":
        print(lumbar_ext.__version__)
        return
    verb = VERBS.get(words[0])
    if verb is None:
        close = get_close_matches(words[0], VERBS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"lumbar-ext {words[0]}: no such verb{hint}; lumbar-ext --help lists all")
    function = verb.function()
    from lumbar_ext.cli.arguments import bound_arguments, help_text

    if {"--help", "-h"} & set(words[1:]):
        print(help_text(verb.name, function) + (f"\n\nNeeds the extra [{verb.extra}]." if verb.extra else ""))
        return
    function(**bound_arguments(verb.name, function, words[1:]))


def overview() -> str:
    """What `lumbar-ext --help` prints: all verbs in their groups, one line each, and the exit statuses."""
    lines = ["lumbar-ext VERB ...: a 3D model of the lumbar spine from two calibrated radiographs", ""]
    for title, verbs in VERB_GROUPS.items():
        lines.append(title)
        for verb in verbs:
            extra = f"  [{verb.extra}]" if verb.extra else ""
            lines.append(f"  {verb.name:<26}{verb.line}{extra}")
        lines.append("")
    lines += [
        "lumbar-ext VERB --help shows a verb's options; [extra] what pip install 'lumbar_ext[extra]' must add.",
        "",
    ]
    return "\n".join([*lines, EXIT_STATUS])
