"""Whose results these are: a reconstruction's files join a DICOM study only if they were made from its radiographs.

`run.json` of a reconstruction holds the SHA-256 of the files it was made from. Headers that go into the objects must be
those of these files, and of one patient and one study; else one person's measurements would be filed under another's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydicom.dataset import Dataset

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import sha256

_SAME = {"PatientID": "patients", "StudyInstanceUID": "studies"}


def check_ownership(folder: Path, files: Mapping[str, Path], headers: Mapping[str, Dataset]) -> None:
    """Refuses radiographs that a reconstruction was not made from.

    Args:
        folder: the reconstruction's, with its `run.json`.
        files: by view, the radiograph.
        headers: by view, its header.

    Raises:
        InputError: if the two differ in patient or study, `run.json` is missing or says nothing of its inputs, or names others.
            No identifier stands in the message: it may be logged or shared.
    """
    for keyword, what in _SAME.items():
        if len({str(headers[view].get(keyword) or "").strip() for view in VIEWS}) > 1:
            raise InputError(f"{files['ap']} and {files['lat']}: of different {what}, expected one")
    made_from = _recorded(folder / "run.json")
    for view in VIEWS:
        if sha256(files[view]) != made_from[view]:
            raise InputError(
                f"{files[view]}: not the {view} radiograph that {folder} was reconstructed from (its SHA-256 is not the one in "
                f"{folder / 'run.json'}); results are filed only with the radiographs they were made from"
            )


def bundle_versions(folder: Path) -> str:
    """The bundles that a reconstruction was made with, as "lumbar_reconstruction 0.2.0, ..."; empty if its `run.json` does not
    tell."""
    try:
        bundles = json.loads((folder / "run.json").read_text(encoding="utf-8"))["bundles"]
        return ", ".join(f"{name} {version}" for name, version in sorted(bundles.items()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _recorded(path: Path) -> dict[str, str]:
    """By view, the SHA-256 of the radiograph that a reconstruction used."""
    try:
        inputs = json.loads(path.read_text(encoding="utf-8"))["inputs"]
        return {view: str(inputs[f"{view}_image"]["sha256"]) for view in VIEWS}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, expected the folder of a reconstruction") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: does not say which radiographs the reconstruction was made from ({error!r})"
        ) from error
