"""A cohort from a folder as it lies: per-level meshes and label maps, no description needed.

Meshes (STL, PLY, OBJ) carry the level at the end of their name: `SUBJECT/L1.stl`, `SUBJECT_L1.stl` or
`SUBJECT/SUBJECT_L1.stl`. Label maps (NIfTI, NRRD, MetaImage) are one file per subject, `SUBJECT.nii.gz`,
`SUBJECT_msk.nii.gz` or `SUBJECT/seg.nrrd`. Landmarks, if there are any, lie beside the mesh as `SUBJECT_L1.json` or
`SUBJECT/L1.json` (for a label map `SUBJECT_msk_L1.json`): names of `anatomy.LANDMARKS` to positions [x, y, z] in the
file's own unit and world.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.errors import InputError
from lumbar_ext.shape.sources.cohort_file import Cohort, CohortShape
from lumbar_ext.shape.sources.label_map import LABEL_MAP_SUFFIXES, is_label_map_name, load_label_map

_LOG = logging.getLogger(__name__)
_MESH_SUFFIXES = (".stl", ".ply", ".obj")
_LEVEL_AT_END = re.compile(r"(?:^|[_\-. ])L([1-5])$", re.IGNORECASE)
_LABEL_WORDS = re.compile(r"[_\-.](msk|mask|seg|segmentation|label|labels|labelmap)$", re.IGNORECASE)
_WHOLE_NAME_WORDS = ("msk", "mask", "seg", "segmentation", "label", "labels", "labelmap")


def scan_folder(
    folder: str | Path,
    label_values: Mapping[str, int] | None = None,
    test_subjects: Collection[str] = (),
    validation_subjects: Collection[str] = (),
) -> Cohort:
    """Finds the vertebrae in a folder.

    Args:
        folder: where to look, with its subfolders.
        label_values: label of each level in label maps; VerSe's 20 to 24 when omitted.
        test_subjects: subjects kept out of the model, for its test.
        validation_subjects: subjects kept out of the model, for choosing settings.

    Returns:
        A cohort without a named reference: the build chooses one.

    Raises:
        InputError: if the folder is missing or holds no vertebra, if a vertebra is there twice, or a subject that is
        named is not among those found.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with vertebra meshes or label maps")
    label_values = checked_label_values(VERSE_LABELS if label_values is None else label_values)
    splits = dict.fromkeys(validation_subjects, "validation") | dict.fromkeys(test_subjects, "test")
    shapes: list[CohortShape] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(folder))):
        if path.suffix.lower() in _MESH_SUFFIXES:
            shapes += _mesh_entry(path, folder, splits)
        elif is_label_map_name(path):
            shapes += _label_entries(path, folder, label_values, splits)
    _check(shapes, folder, splits)
    _log_missing_levels(shapes)
    return Cohort(tuple(shapes), None, None)


def checked_label_values(label_values: Mapping[str, int]) -> dict[str, int]:
    """Label values by level.

    Raises:
        InputError: if a key is no level, a value no positive whole number, or a value is given twice.
    """
    if unknown := sorted(set(label_values) - set(LEVELS)):
        raise InputError(f"label_values has the keys {unknown}, expected {', '.join(LEVELS)}")
    values = list(label_values.values())
    if any(isinstance(v, bool) or not isinstance(v, int) or v <= 0 for v in values) or len(set(values)) < len(values):
        raise InputError(f"label_values must be different positive whole numbers, found {dict(label_values)}")
    return dict(label_values)


def _mesh_entry(path: Path, folder: Path, splits: Mapping[str, str]) -> list[CohortShape]:
    """The vertebra of a mesh file; none if its name has no level."""
    match = _LEVEL_AT_END.search(path.stem)
    if match is None:
        _LOG.warning("%s is skipped: its name does not end in L1 to L5", path)
        return []
    subject = _subject(path, path.stem[: match.start()], folder)
    level = f"L{match.group(1)}"
    return [_entry(path, path.stem, folder, subject, level, splits, orientation="unknown")]


def _label_entries(
    path: Path, folder: Path, label_values: Mapping[str, int], splits: Mapping[str, str]
) -> list[CohortShape]:
    """The lumbar vertebrae of a label map; none, with a warning, if the file cannot be used."""
    stem = path.name
    for suffix in sorted(LABEL_MAP_SUFFIXES, key=len, reverse=True):
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    try:
        present = load_label_map(path).labels
    except InputError as error:
        _LOG.warning("%s is skipped: %s", path, error)
        return []
    found = [(level, value) for level, value in label_values.items() if value in present]
    if not found:
        _LOG.warning(
            "%s is skipped: none of the labels %s is in it, found %s", path, sorted(label_values.values()), present
        )
    name = "" if stem.lower() in _WHOLE_NAME_WORDS else _LABEL_WORDS.sub("", stem)
    subject = _subject(path, name, folder)
    return [
        _entry(path, f"{stem}_{level}", folder, subject, level, splits, label=value, surface="mask")
        for level, value in found
    ]


def _entry(
    path: Path, stem: str, folder: Path, subject: str, level: str, splits: Mapping[str, str], **details: object
) -> CohortShape:
    """One vertebra, with the landmarks beside it if there are any."""
    landmarks = path.with_name(f"{stem}.json")
    return CohortShape(
        name=f"{subject}_{level}",
        subject=subject,
        level=level,
        file=str(path.relative_to(folder)),
        split=splits.get(subject, "train"),
        landmarks=str(landmarks.relative_to(folder)) if landmarks.is_file() else None,
        **details,
    )


def _subject(path: Path, prefix: str, folder: Path) -> str:
    """The subject's name from the folders above a file and the part of its name before the level."""
    parts = list(path.relative_to(folder).parent.parts)
    prefix = prefix.strip("_-. ")
    if prefix and (not parts or prefix != parts[-1]):
        parts.append(prefix)
    if not parts:
        raise InputError(f"{path}: the name holds no subject, expected SUBJECT_L1 or a folder for every subject")
    return "_".join(parts)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _check(shapes: list[CohortShape], folder: Path, splits: Mapping[str, str]) -> None:
    """Raises InputError for an empty cohort, vertebrae found twice, and named subjects that are not there."""
    if not shapes:
        raise InputError(
            f"{folder}: no lumbar vertebra found, expected meshes like SUBJECT_L1.stl or label maps like SUBJECT.nii.gz"
        )
    first: dict[str, str] = {}
    for shape in shapes:
        if shape.name in first:
            raise InputError(
                f"{folder}: {shape.level} of subject {shape.subject!r} is there twice, as {first[shape.name]} and "
                f"{shape.file}: keep one of them"
            )
        first[shape.name] = shape.file
    subjects = {s.subject for s in shapes}
    if absent := sorted(set(splits) - subjects):
        raise InputError(f"{folder}: subjects {absent} are to be held out, but only {sorted(subjects)} were found")


def _log_missing_levels(shapes: list[CohortShape]) -> None:
    for subject in sorted({s.subject for s in shapes}):
        missing = [level for level in LEVELS if level not in {s.level for s in shapes if s.subject == subject}]
        if missing:
            _LOG.info("subject %s has no %s", subject, ", ".join(missing))
