"""JSON files read against a shipped JSON Schema, with messages a user can act on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError, best_match

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_DOCUMENT_BYTES, one_line, require_file

_MOST_VALUES = 50_000  # in one document
_LARGEST_NUMBER = 1e15  # of any unit: beyond it float64 no longer resolves tenths
_MOST_LISTED = 10  # keys that a message names
_MOST_EXPLAINED = 3  # of the missing ones
_LONGEST_KEY = 40  # characters of each


def read_document(path: str | Path, schema_name: str) -> dict[str, Any]:
    """Reads a JSON file and checks it.

    Args:
        path: the file.
        schema_name: file name of a schema in `lumbar_ext/io/schemas`.

    Raises:
        InputError: if the file is missing, is not JSON, repeats a key, holds NaN or infinity, or violates the schema.
            The message names the file, the key, what was found and what is expected.
    """
    document = parse_json(path)
    error = best_match(_validator(schema_name).iter_errors(document))
    if error is not None:
        raise InputError(f"{path}: {_explain(error)}")
    return document


def parse_json(path: str | Path, what: str = "a JSON document") -> Any:
    """What a JSON file holds, unchecked but for what no document of this package has.

    Args:
        path: the file.
        what: what it is expected to be, for the message.

    Raises:
        InputError: if the file is missing, too large, is not JSON in UTF-8, repeats a key, is nested too deeply, holds
            too many values, or a number that is not finite or beyond 1e15.
    """
    path = require_file(path, what, MAX_DOCUMENT_BYTES)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    except _RepeatedKeyError as error:
        raise InputError(f"{path}: the key {_shortened(error.args[0])!r} appears twice in one object") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file, expected JSON in UTF-8") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply, expected {what}") from error
    except ValueError as error:  # numbers of thousands of digits
        raise InputError(f"{path}: not valid JSON ({one_line(error)})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    _require_plain(path, document, what)
    return document


def check_document(document: dict[str, Any], schema_name: str) -> None:
    """Raises InputError if a document about to be written violates its schema."""
    error = best_match(_validator(schema_name).iter_errors(document))
    if error is not None:
        raise InputError(_explain(error))


@cache
def _validator(schema_name: str) -> jsonschema.Draft202012Validator:
    text = resources.files("lumbar_ext.io.schemas").joinpath(schema_name).read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


class _RepeatedKeyError(Exception):
    """Carries the name of a key that appears twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json keeps the last of two equal keys in silence; in a calibration that would be the wrong camera.
    found = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found


def _explain(error: ValidationError) -> str:
    where = _key(tuple(error.absolute_path))
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        explained = len(missing) <= _MOST_EXPLAINED
        expected = "; ".join(f"{name!r}{_meaning(error.schema, name) if explained else ''}" for name in missing)
        return f"{where} lacks {expected}; found the keys {_listed(error.instance)}"
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        known = error.schema.get("properties", {})
        unknown = [name for name in error.instance if name not in known]
        return f"{where} has unknown keys {_listed(unknown)}; expected only {sorted(known)}"
    expected = error.schema.get("description") or error.message
    return f"{where} is wrong: found {_shortened(error.instance)}, expected {expected} ({_shortened(error.message)})"


def _meaning(schema: dict[str, Any], name: str) -> str:
    description = schema.get("properties", {}).get(name, {}).get("description")
    return f" ({description})" if description else ""


def _key(parts: tuple[Any, ...]) -> str:
    return "key " + "/".join(str(part) for part in parts) if parts else "the document"


def _shortened(value: Any, most: int = 120) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def _listed(keys: Iterable[str]) -> str:
    """Keys for a message, the first ones of many."""
    keys = sorted(keys)
    shown = [_shortened(key, _LONGEST_KEY) for key in keys[:_MOST_LISTED]]
    return f"{shown}" + (f" and {len(keys) - _MOST_LISTED} more" if len(keys) > _MOST_LISTED else "")


def _require_plain(path: Path, document: Any, what: str) -> None:
    """Refuses numbers that are not finite or are giant, and more values than any document has."""
    left: list[tuple[Any, tuple[Any, ...]]] = [(document, ())]
    seen = 0
    while left:
        value, parts = left.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise InputError(f"{path}: more than {_MOST_VALUES} values, expected {what}")
        if isinstance(value, dict):
            left += [(item, (*parts, name)) for name, item in value.items()]
        elif isinstance(value, list):
            left += [(item, (*parts, index)) for index, item in enumerate(value)]
        elif isinstance(value, int | float) and not abs(value) <= _LARGEST_NUMBER:
            finite = isinstance(value, int) or math.isfinite(value)
            found = "beyond 1e15" if finite else value
            raise InputError(f"{path}: {_key(parts)} is {found}, expected a finite number")
