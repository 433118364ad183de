"""JSON files read against a shipped JSON Schema, with messages a user can act on."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError, best_match

from lumbar_ext.errors import InputError


def read_document(path: str | Path, schema_name: str) -> dict[str, Any]:
    """Reads a JSON file and checks it.

    Args:
        path: the file.
        schema_name: file name of a schema in `lumbar_ext/io/schemas`.

    Raises:
        InputError: if the file is missing, is not JSON, repeats a key, holds NaN or infinity, or violates the schema.
            The message names the file, the key, what was found and what is expected.
    """
    path = Path(path)
    document = _parse(path)
    error = best_match(_validator(schema_name).iter_errors(document))
    if error is not None:
        raise InputError(f"{path}: {_explain(error)}")
    _require_finite(path, document, ())
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


def _parse(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    except _RepeatedKeyError as error:
        raise InputError(f"{path}: the key {error.args[0]!r} appears twice in one object") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file, expected JSON in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


class _RepeatedKeyError(Exception):
    """Carries the name of a key that appears twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json keeps the last of two equal keys in silence; in a calibration that would be the wrong camera.
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise _RepeatedKeyError(key)
    return dict(pairs)


def _explain(error: ValidationError) -> str:
    where = _key(tuple(error.absolute_path))
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        expected = "; ".join(f"{name!r}{_meaning(error.schema, name)}" for name in missing)
        return f"{where} lacks {expected}; found the keys {sorted(error.instance)}"
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        known = error.schema.get("properties", {})
        unknown = [name for name in error.instance if name not in known]
        return f"{where} has unknown keys {unknown}; expected only {sorted(known)}"
    expected = error.schema.get("description") or error.message
    return f"{where} is wrong: found {_shortened(error.instance)}, expected {expected} ({_shortened(error.message)})"


def _meaning(schema: dict[str, Any], name: str) -> str:
    description = schema.get("properties", {}).get(name, {}).get("description")
    return f" ({description})" if description else ""


def _key(parts: tuple[Any, ...]) -> str:
    return "key " + "/".join(str(part) for part in parts) if parts else "the document"


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _require_finite(path: Path, value: Any, parts: tuple[Any, ...]) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _require_finite(path, item, (*parts, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _require_finite(path, item, (*parts, index))
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{path}: {_key(parts)} is {value}, expected a finite number")
