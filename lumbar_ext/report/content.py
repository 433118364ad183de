"""What a report says, apart from how it looks: the page and the paper are made from the same content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lumbar_ext.anatomy import ANCHOR_POINTS, LANDMARKS, LEVELS, VIEWS
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks
from lumbar_ext.measurements.document import INTENDED_USE
from lumbar_ext.measurements.uncertainty.assessment import Assessment, Measurement
from lumbar_ext.measurements.uncertainty.grade import Grade
from lumbar_ext.measurements.uncertainty.interval_calibration import NOT_CALIBRATED
from lumbar_ext.measurements.values.definitions import BY_ID, DEFINITIONS, Scope, subject_name
from lumbar_ext.measurements.values.lumbar_alignment import APEX_OFFSET, T12_OFFSET, EndplateLine, LineKind
from lumbar_ext.studies.biplanar_study import BiplanarStudy

Flag = Literal["above", "below"]
UNITS = {"mm": "mm", "mm2": "mm²", "deg": "°", "%": "%", "1": ""}
_DECIMALS = {"mm": 1, "mm2": 0, "deg": 1, "%": 0, "1": 2}  # by unit, one more than the uncertainty warrants
NOT_STATED = "not stated"
VIEW_TITLES = {"ap": "Anteroposterior", "lat": "Lateral"}
MISSING = "\N{EN DASH}"
"""What a cell shows where there is no value."""

HEADLINES = ("lordosis_l1_l5", "cobb", "lordosis_l1_s1", "sacral_slope")


@dataclass(frozen=True)
class Cell:
    """One value in a table.

    Args:
        text: the value with its 90 % interval; a dash where there is none.
        reference: the usual range, empty where none is known.
        flag: on which side it lies outside of it, or None.
        grade: a class of the literature, or empty.
        hint: where the range comes from, or why there is no value.
        held: how often such intervals held the truth in the check, or why there is none; empty without a value.
    """

    text: str
    reference: str
    flag: Flag | None
    grade: str
    hint: str
    held: str = ""


@dataclass(frozen=True)
class Row:
    """A kind of value: its name, unit, definition and a cell for each column; `held` is what is known of its intervals."""

    title: str
    unit: str
    definition: str
    cells: tuple[Cell, ...]
    held: str = ""


@dataclass(frozen=True)
class Table:
    """A table of values; `columns` name the subjects."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class QualityRow:
    """The grade of a vertebra in words."""

    level: str
    grade: Grade
    reasons: str
    signs: tuple[str, ...]


@dataclass(frozen=True)
class ReportContent:
    """Everything a report says in words and numbers.

    Args:
        header: (name, value) of the study.
        headlines: (title, cell) of the values a reader looks for first.
        flagged: values outside their reference range with their whole interval, each a sentence.
        captions: by view, what the film shows.
        film_values: by view and name of a line on the film, the value to write beside it.
        quality: by vertebra.
        tables: of values.
        warnings: doubts about study and result, each a sentence.
        limits: what the result is not, each a sentence.
        run: (name, value) of what was run.
    """

    header: tuple[tuple[str, str], ...]
    headlines: tuple[tuple[str, Cell], ...]
    flagged: tuple[str, ...]
    captions: Mapping[str, str]
    film_values: Mapping[str, Mapping[str, str]]
    quality: tuple[QualityRow, ...]
    tables: tuple[Table, ...]
    warnings: tuple[str, ...]
    limits: tuple[str, ...]
    run: tuple[tuple[str, str], ...]


LIMITS = (
    INTENDED_USE,
    "Values describe a reconstruction from two radiographs; what neither view shows is filled in from a statistical shape "
    'model. "Outside reference" compares a number with a published range; it is not a diagnosis.',
    "Of S1 only the superior endplate is located, by its five landmarks, and of T12 only the centre; neither has a mesh. "
    "Of the pelvis nothing is said but incidence and tilt, and these only where femoral heads were marked.",
    "The axial rotation of a vertebra is relative to the X-ray system; a turn of the whole person is part of it.",
)


def report_content(
    study: BiplanarStudy,
    assessment: Assessment,
    missing_levels: tuple[str, ...],
    run: Mapping[str, Any],
    seconds: Mapping[str, float],
    doubts: Sequence[str] = (),
) -> ReportContent:
    """Puts the content together.

    Args:
        study: the radiographs.
        assessment: what was measured.
        missing_levels: levels without a mesh.
        run: the content of `run.json`.
        seconds: of the stages so far.
        doubts: sentences beside those about the study and the missing levels.
    """
    doubts = [*study.warnings, *doubts]
    reasons = {level: "; ".join(assessment.quality[level].reasons) for level in missing_levels}
    for reason in dict.fromkeys(reasons.values()):
        levels = ", ".join(level for level, own in reasons.items() if own == reason)
        doubts.append(f"{levels}: {reason}; values that need them are missing.")
    if not assessment.calibrated:
        doubts.append("Uncertainties are not calibrated for this shape model and are left out.")
    return ReportContent(
        header=_header(study, run),
        headlines=tuple((BY_ID[name].title, _cell(_of_spine(assessment, name))) for name in HEADLINES),
        flagged=tuple(_flag_sentence(m) for m in assessment.measurements if _flag(m)),
        captions={view: _caption(view, assessment) for view in VIEWS},
        film_values={view: _film_values(view, assessment) for view in VIEWS},
        quality=tuple(_quality_row(level, assessment) for level in LEVELS),
        tables=tuple(_tables(assessment)),
        warnings=tuple(doubts),
        limits=(*LIMITS, assessment.intervals) if assessment.intervals else LIMITS,
        run=_run_rows(run, seconds),
    )


def landmark_marks(landmarks: StudyLandmarks, view: str) -> list[dict[str, Any]]:
    """The landmarks of a view that the network saw: level, name, u, v in pixels and confidence."""
    names = [(level, name) for level in LEVELS for name in LANDMARKS]
    pixels, confidence = landmarks.positions_px[view].reshape(-1, 2), landmarks.confidence[view].ravel()
    beside = landmarks.anchors
    pixels = np.concatenate([pixels, beside.positions_px[view]])
    confidence = np.concatenate([confidence, beside.confidence[view]])
    return [
        {
            "level": level,
            "name": name.replace("_", " "),
            "u": float(place[0]),
            "v": float(place[1]),
            "confidence": float(np.nan_to_num(sure)),
        }
        for (level, name), place, sure in zip((*names, *ANCHOR_POINTS), pixels, confidence, strict=True)
        if np.isfinite(place).all()
    ]


def _tables(assessment: Assessment) -> list[Table]:
    return [
        _table("Alignment", Scope.SPINE, ("spine",), assessment),
        _table("Motion segments", Scope.SEGMENT, _columns(Scope.SEGMENT), assessment),
        _table("Vertebrae", Scope.VERTEBRA, _columns(Scope.VERTEBRA), assessment),
    ]


def _columns(scope: Scope) -> tuple[str, ...]:
    """What all definitions of a scope belong to."""
    first = next(d for d in DEFINITIONS if d.scope is scope)
    return tuple(subject_name(levels) for levels in first.subjects)


def _table(title: str, scope: Scope, columns: tuple[str, ...], assessment: Assessment) -> Table:
    rows = []
    for d in DEFINITIONS:
        if d.scope is scope:
            cells = tuple(_cell(assessment.get(subject_name(levels), d.id)) for levels in d.subjects)
            rows.append(Row(d.title, UNITS[d.unit], d.text, cells, _row_held(columns, cells)))
    return Table(title, columns, tuple(rows))


def _row_held(columns: tuple[str, ...], cells: tuple[Cell, ...]) -> str:
    """What the cells of a row say of their intervals, once where it is the same; the segment L5-S1 may differ."""
    said = {cell.held: column for column, cell in zip(columns, cells, strict=True) if cell.held}
    return "; ".join(f"{column}: {text}" if text != next(iter(said)) else text for text, column in said.items())


def _of_spine(assessment: Assessment, name: str) -> Measurement:
    """The value of a definition that has one subject."""
    (levels,) = BY_ID[name].subjects
    return assessment.get(subject_name(levels), name)


def _cell(m: Measurement) -> Cell:
    decimals = unit_decimals(BY_ID[m.id].unit)
    reference = _range_text(m, decimals)
    if m.value is None:
        return Cell(MISSING, reference, None, "", m.reason or "")
    text = f"{number_text(m.value, decimals)}"
    if m.interval_90 is not None:
        text += f" ± {(m.interval_90[1] - m.interval_90[0]) / 2:.{decimals}f}"
    # That nothing is calibrated is said once, among the warnings.
    no_interval = m.no_interval if m.no_interval != NOT_CALIBRATED else None
    held = f"± held {m.held}" if m.held else no_interval or ""
    return Cell(text, reference, _flag(m), m.grade or "", m.reference.source if m.reference else "", held)


def unit_decimals(unit: str) -> int:
    """How many decimals a value of a unit is printed with."""
    return _DECIMALS[unit]


def number_text(value: float, decimals: int) -> str:
    """A number with a true minus sign, and without one where it rounds to zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def _flag_sentence(m: Measurement) -> str:
    definition, cell = BY_ID[m.id], _cell(m)
    unit = UNITS[definition.unit]
    space = " " if unit.isalpha() or unit == "mm²" else ""
    sentence = f"{m.subject} {definition.title}: {cell.text}{space}{unit}, {cell.flag} {cell.reference}{space}{unit}"
    return f"{sentence} ({cell.grade})" if cell.grade else sentence


def _caption(view: str, assessment: Assessment) -> str:
    title = VIEW_TITLES[view]
    lines = _of_kind(assessment, view)
    told = []
    if lines[LineKind.DIRECTION]:
        told.append(f"dashed: {_listed([line.name for line in lines[LineKind.DIRECTION]])}")
    if lines[LineKind.VERTICAL]:
        places = [_PLACES[line.name] for line in lines[LineKind.OFFSET]]
        beside = f", with {_listed(places)} beside it" if places else ""
        told.append(f"dotted: the vertical over the middle of S1's endplate{beside}")
    return f"{title}. White, {'; '.join(told)}. Values were measured in 3D" if told else title


_PLACES = {T12_OFFSET: "T12's centre", APEX_OFFSET: "the apex"}


def _of_kind(assessment: Assessment, view: str) -> dict[LineKind, list[EndplateLine]]:
    lines = assessment.lines.get(view, ())
    return {kind: [line for line in lines if line.kind is kind] for kind in LineKind}


def _film_values(view: str, assessment: Assessment) -> dict[str, str]:
    """By name of a line on the film, its value: that of an angle at the first of its endplates."""
    lines = _of_kind(assessment, view)
    names = [line.name for line in lines[LineKind.DIRECTION]]
    if view == "ap":
        ids = {"Cobb": (names[:1], "cobb")}
        offsets = {T12_OFFSET: "t12_coronal_offset", APEX_OFFSET: "apical_translation"}
    else:
        sacral = any(name.startswith("S1") for name in names)
        lordosis = ("L1-S1", "lordosis_l1_s1") if sacral else ("L1-L5", "lordosis_l1_l5")
        ids = {lordosis[0]: (names[:1], lordosis[1]), "slope": (names[2:], "sacral_slope")}
        offsets = {T12_OFFSET: "t12_sagittal_offset", APEX_OFFSET: "lordosis_apex_offset"}
    told = {line: (word, name) for word, (own, name) in ids.items() for line in own}
    for line in lines[LineKind.OFFSET]:
        name = offsets[line.name]
        told[line.name] = (_of_spine(assessment, name).grade or line.name, name)
    return {
        line: f"{word} {_told(assessment, name)}"
        for line, (word, name) in told.items()
        if _of_spine(assessment, name).value is not None
    }


def _told(assessment: Assessment, name: str) -> str:
    """A value of the spine with its interval and unit."""
    value = _cell(_of_spine(assessment, name)).text
    unit = UNITS[BY_ID[name].unit]
    return f"{value} {unit}" if unit.isalpha() else f"{value}{unit}"


def _listed(names: Sequence[str]) -> str:
    """Such as "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _flag(m: Measurement) -> Flag | None:
    if not m.outside_reference or m.reference is None or m.value is None:
        return None
    return "below" if m.reference.low is not None and m.value < m.reference.low else "above"


def _range_text(m: Measurement, decimals: int) -> str:
    if m.reference is None:
        return ""
    low, high = m.reference.low, m.reference.high
    if high is None:
        return f"≥ {number_text(low, decimals)}"
    if low is None:
        return f"≤ {number_text(high, decimals)}"
    return f"{number_text(low, decimals)} to {number_text(high, decimals)}"


def _quality_row(level: str, assessment: Assessment) -> QualityRow:
    quality = assessment.quality[level]
    signs = (
        _optional(quality.residual, ".3f", ""),
        _optional(quality.gap_mm, ".1f", " mm"),
        _optional(quality.bound_hits, "d", ""),
        _optional(quality.vertex_sd_mm, ".2f", " mm"),
    )
    return QualityRow(level, quality.grade, "; ".join(quality.reasons), signs)


def _optional(value: float | None, form: str, unit: str) -> str:
    return MISSING if value is None else f"{value:{form}}{unit}"


def _header(study: BiplanarStudy, run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    radiographs = [study[view] for view in VIEWS]
    patient = study.patient_id or NOT_STATED
    date = next((r.study_date for r in radiographs if r.study_date), None)
    when = f"{date[:4]}-{date[4:6]}-{date[6:8]}" if date and len(date) == 8 else NOT_STATED
    images = [f"{r.path.name} ({r.size_px[0]} x {r.size_px[1]} px)" for r in radiographs]
    by_hand = run.get("landmarks_by_hand", [])
    return (
        ("Patient", patient),
        ("Study date", when),
        ("AP radiograph", images[0]),
        ("Lateral radiograph", images[1]),
        ("Reconstructed", str(run.get("date", NOT_STATED)).replace("T", " ").replace("+00:00", " UTC")),
        *((("Landmarks set by hand", ", ".join(by_hand).replace("_", " ")),) if by_hand else ()),
    )


def _run_rows(run: Mapping[str, Any], seconds: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    rows = [(name, str(value)) for name, value in run.get("versions", {}).items()]
    for group in ("inputs", "weights"):
        for role, record in run.get(group, {}).items():
            name = str(record["path"]).replace("\\", "/").rsplit("/", 1)[-1]
            rows.append((f"{role.replace('_', ' ')} ({name})", f"sha256 {record['sha256']}"))
    rows += [(f"seconds: {stage}", f"{value:.1f}") for stage, value in seconds.items()]
    return tuple(rows)
