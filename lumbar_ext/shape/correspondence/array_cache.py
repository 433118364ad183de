"""Arrays that a build keeps for the next one: atomic, under a key of what they were made from, their check sums verified."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.io.input_file import one_line

_LOG = logging.getLogger(__name__)


def store_arrays(path: Path, key: str, **arrays: object) -> None:
    """Writes arrays (.npz) with their key, and their names: a damaged directory of the archive can lose one in silence."""
    with atomic_path(path) as temporary:
        np.savez(temporary, key=key, names=sorted(arrays), **arrays)


def stored_arrays(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """The arrays of an earlier build; None if there are none, of another key, or damaged, which is said."""
    if not path.is_file():
        return None
    try:
        with np.load(path) as stored:
            arrays = dict(stored)
        found, names = str(arrays.pop("key")), arrays.pop("names").tolist()
        if names != sorted(arrays):
            raise ValueError(f"holds {', '.join(arrays)}, expected {', '.join(names)}")
        return arrays if found == key else None
    except Exception as error:  # numpy, zipfile and zlib have errors of their own
        _LOG.warning("%s cannot be read and is made again (%s)", path, one_line(error))
        return None
