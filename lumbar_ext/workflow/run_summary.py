"""What a finished run says on the terminal: what it found, how far to rely on it, and where it lies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.uncertainty.assessment import Assessment, Measurement
from lumbar_ext.measurements.uncertainty.grade import Grade
from lumbar_ext.measurements.values.definitions import BY_ID
from lumbar_ext.report.content import HEADLINES, UNITS
from lumbar_ext.workflow.edited_landmarks import overruled
from lumbar_ext.workflow.error_reporting import ExitStatus, is_shown


def is_usable(assessment: Assessment) -> bool:
    """Whether a vertebra was found whose reconstruction has not failed."""
    return any(quality.grade is not Grade.FAILED for quality in assessment.quality.values())


def reconstruction_summary(data: Mapping[str, Any]) -> str:
    """Some lines on a reconstruction.

    Args:
        data: what the bundle's stages have gathered.
    """
    assessment: Assessment = data["assessment"]
    lines = [f"{level}: {_graded(assessment, level)}" for level in LEVELS]
    lines += [_headline(m) for m in assessment.measurements if m.id in HEADLINES]
    lines += [f"warning: {text}" for text in all_warnings(data) if not is_shown(text)]
    if data.get("output_dir") is not None:
        folder = Path(data["output_dir"]).resolve()
        lines += [f"results: {folder}", f"report: {folder / 'report.html'}"]
    return "\n".join(lines)


def all_warnings(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What is doubtful of a reconstruction, a sentence each: of its files, its levels, a user's landmarks, its fits.

    Args:
        data: what the stages have gathered.
    """
    by_hand = overruled(data["landmarks"], data["by_hand"], data["pred"])
    return (*data["study"].warnings, *level_warnings(data), *by_hand, *data["pred"].warnings)


def level_warnings(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Doubts about whether films show a spine, which vertebra is which, and where those are that were guessed."""
    observed = data["observed"]
    named = () if observed.levels is None else observed.levels.warnings
    return (*observed.doubts, *named, *data.get("guessed", ()))


def gathered(evaluator: Engine) -> dict[str, Any]:
    """What the stages have gathered of the last study; MONAI parts it in the batch and the output."""
    return {**evaluator.state.batch, **evaluator.state.output}


def end_reconstruction(evaluator: Engine) -> None:
    """Prints the summary; ends the process where nothing is usable.

    Args:
        evaluator: that has run.

    Raises:
        SystemExit: with `ExitStatus.NOTHING_USABLE`, if no vertebra was found that can be relied on.
    """
    data = gathered(evaluator)
    print(reconstruction_summary(data), flush=True)
    if not is_usable(data["assessment"]):
        print("error: every vertebra is missing or its reconstruction has failed: nothing is usable", file=sys.stderr)
        raise SystemExit(int(ExitStatus.NOTHING_USABLE))


def _graded(assessment: Assessment, level: str) -> str:
    quality = assessment.quality[level]
    return f"{quality.grade}" + (f" ({'; '.join(quality.reasons)})" if quality.reasons else "")


def _headline(measurement: Measurement) -> str:
    name, unit = BY_ID[measurement.id].title, UNITS[BY_ID[measurement.id].unit]
    if measurement.value is None:
        return f"{name}: {measurement.reason}"
    low, high = measurement.interval_90 or (None, None)
    held = f", held {measurement.held} test cases" if measurement.held else ""
    interval = f"90 % interval {low:.1f} to {high:.1f}{held}" if low is not None else measurement.no_interval
    return f"{name}: {measurement.value:.1f}{unit}" + (f" ({interval})" if interval else "")
