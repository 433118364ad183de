"""What became of a study, as `outcome.json` in its folder: there is one for every study that was tried."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lumbar_ext.io.atomic import staged_output

OUTCOME_NAME = "outcome.json"


class What(StrEnum):
    """How a study ended; the value is the word that tables show."""

    OK = "ok"
    FLAGGED = "flagged"
    """There may be results; somebody should look at them."""
    BAD_INPUT = "bad input"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"


HAS_RESULTS = (What.OK, What.FLAGGED)


@dataclass(frozen=True)
class Outcome:
    """How a study ended, and of what.

    Args:
        study: its id.
        what: how it ended.
        sentence: why, where it did not end well.
        flags: what should be looked at, each a phrase.
        settings: `study_key.settings_key` of the run.
        inputs: `study_key.input_files`.
        attempts: how many times it was begun.
        seconds: wall time of the last attempt.
        cpu_seconds: its processor time.
        host: name of the machine.
        ended: when, UTC.
        log: the end of what the program wrote, where it did not end well.
    """

    study: str
    what: What
    sentence: str
    flags: Sequence[str]
    settings: str
    inputs: Mapping[str, Mapping[str, Any]]
    attempts: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    host: str = ""
    ended: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    log: str = ""


def write_outcome(folder: str | Path, outcome: Outcome) -> None:
    """Writes the outcome into a study's folder, which the caller publishes."""
    document = json.dumps(asdict(outcome), indent=1, ensure_ascii=False) + "\n"
    Path(folder, OUTCOME_NAME).write_text(document, encoding="utf-8", errors="backslashreplace")


def publish_outcome(folder: str | Path, outcome: Outcome) -> None:
    """Puts the outcome in the place of whatever the study's folder held."""
    with staged_output(folder, owned=("*",)) as staging:
        write_outcome(staging, outcome)


def read_outcome(folder: str | Path) -> Outcome | None:
    """The outcome in a study's folder; None where there is none that can be read."""
    try:
        document = json.loads(Path(folder, OUTCOME_NAME).read_text(encoding="utf-8"))
        return Outcome(**{**document, "what": What(document["what"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
