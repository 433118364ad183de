"""Checkpoint files that are either whole or absent, and errors that say which file was wrong and how."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.io.weights import read_tensors


def write_checkpoint(path: str | Path, state: Any) -> None:
    """Writes a checkpoint atomically: a full disk, or a kill, leaves an older file at `path` as it was.

    Args:
        path: the file; its folder is made if absent.
        state: tensors, numbers and texts in dictionaries and lists.

    Raises:
        InputError: when the file cannot be written.
    """
    path = Path(path)
    with _failure_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, _failure_named(path):
            torch.save(state, temporary)


@contextmanager
def _failure_named(path: Path) -> Iterator[None]:
    """Says which checkpoint could not be written, and why."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as RuntimeError
        reason = "no space left" if getattr(error, "errno", None) == errno.ENOSPC else _first_line(error)
        raise InputError(
            f"{path}: the checkpoint could not be written ({reason}); any older file is untouched"
        ) from error


def read_checkpoint(path: str | Path) -> Any:
    """Reads a checkpoint onto the CPU, without running pickled code.

    Raises:
        InputError: when the file is missing, truncated or no checkpoint.
    """
    return read_tensors(path, "a checkpoint")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
