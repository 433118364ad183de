"""The simulator's ranges as a JSON file: any of the defaults in `parameters` can be overridden.

{"beam": {"tube_kv_ap": [60, 70]}, "trunk": {"table_share": 0.5}}
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.io.json_document import parse_json
from lumbar_ext.simulation.ranges import SimulationParameters

PLAIN = {
    "geometry": {
        "format_share": 0.0,
        "cut_share": 0.0,
        "off_centre_share": 0.0,
        "calibration_noise_mm": [0.0, 0.0],
        "calibration_turn_deg": [0.0, 0.0],
        "calibration_distance_mm": [0.0, 0.0],
        "calibration_spacing_percent": [0.0, 0.0],
    },
    "appearance": {"stitch_offset_mm": [0.0, 0.0]},
    "wear": {"share": 0.0},
    "slot": {"film_width_mm": [512 * 0.834 / 1.3] * 2, "film_height_mm": [512 * 0.834 / 1.3] * 2},
}
"""What `--parameters plain` overrides, for tables of accuracy: unworn spines, films that show five vertebrae in their
middle and fill the network's grid, and exact cameras."""

NOISY_CAMERAS = {
    **PLAIN,
    "geometry": {
        **PLAIN["geometry"],
        "calibration_noise_mm": [1.0, 1.0],
        "calibration_turn_deg": [0.3, 0.3],
    },
}
"""What `--parameters noisy_cameras` overrides: plain, but cameras are stated 1 mm off (standard deviation of source and
detector along each axis), twice what the simulator draws at most for training, and the lateral view turned by 0.3 deg."""

_NAMED = {"plain": PLAIN, "noisy_cameras": NOISY_CAMERAS}


def read_parameters(path: str | Path | None) -> SimulationParameters:
    """The defaults, overridden by a JSON file.

    Args:
        path: the file; None for the defaults, "plain" for `PLAIN`, "noisy_cameras" for `NOISY_CAMERAS`.

    Raises:
        InputError: naming the key, for one that is unknown or a value of another kind than the default's.
    """
    if path is None:
        return SimulationParameters()
    if str(path) in _NAMED:
        return _overridden(SimulationParameters(), _NAMED[str(path)], str(path))
    document = parse_json(path, "a file of parameters")
    return _overridden(SimulationParameters(), document, str(path))


def parameters_document(parameters: SimulationParameters) -> dict[str, Any]:
    """All values, as they go into a JSON file."""
    return json.loads(json.dumps(dataclasses.asdict(parameters)))


def record_parameters(parameters: SimulationParameters, path: str | Path) -> None:
    """Writes all values beside the data made with them.

    Raises:
        InputError: if the file is there and says something else: one folder holds studies of one kind.
    """
    path, document = Path(path), parameters_document(parameters)
    if path.is_file():
        if (found := json.loads(path.read_text())) != document:
            changed = [
                f"{group}.{key}" for group, values in document.items() for key in values
                if found.get(group, {}).get(key) != values[key]
            ]  # fmt: skip
            raise InputError(
                f"{path}: the studies in this folder were made with other parameters ({', '.join(changed) or 'removed'}); "
                "expected the same, or another folder"
            )
        return
    write_text(path, json.dumps(document, indent=1) + "\n")


def _overridden(value: Any, document: Any, where: str) -> Any:
    """A dataclass with the fields that a JSON object names replaced."""
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object, found {document!r}")
    known = [field.name for field in dataclasses.fields(value)]
    changes = {}
    for key, new in document.items():
        place = f"{where}: {key}" if ": " not in where else f"{where}.{key}"
        if key not in known:
            raise InputError(f"{place} is unknown, expected one of {', '.join(known)}")
        old = getattr(value, key)
        changes[key] = _overridden(old, new, place) if dataclasses.is_dataclass(old) else _converted(old, new, place)
    return dataclasses.replace(value, **changes)


def _converted(old: Any, new: Any, place: str) -> Any:
    """`new` in the type and shape of `old`: a number, or a tuple of numbers or of tuples."""
    try:
        array = np.asarray(new, dtype=float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.shape != np.shape(old) or not np.isfinite(array).all():
        expected = f"{np.shape(old)} numbers" if np.ndim(old) else "a number"
        raise InputError(f"{place} is {new!r}, expected {expected} such as {old!r}")
    if isinstance(old, int) and not isinstance(old, bool):
        if array != np.round(array):
            raise InputError(f"{place} is {new!r}, expected a whole number")
        return int(array)
    return _as_tuples(array, old)


def _as_tuples(array: np.ndarray, old: Any) -> Any:
    if array.ndim == 0:
        return float(array)
    whole = all(isinstance(v, int) for v in old)
    return tuple((int(v) if whole else float(v)) if array.ndim == 1 else _as_tuples(v, old[0]) for v in array)
