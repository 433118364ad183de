"""What a result depends on: the content of its inputs, and the weights, options and version that made it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lumbar_ext
from lumbar_ext.bundle_paths import bundles_dir
from lumbar_ext.io.input_file import MAX_RADIOGRAPH_BYTES, sha256

_NOT_OF_A_RECONSTRUCTION = ("batch", "cli", "deploy", "engine", "evaluation", "label", "pacs", "simulation", "training")
"""Folders of the package whose code no reconstruction runs."""


@dataclass(frozen=True)
class InputFile:
    """A file as it was when it was read.

    Args:
        path: absolute.
        size: in bytes; None where there was no regular file.
        mtime_ns: when it was last changed.
        sha256: of its content; None where it was not read.
    """

    path: str
    size: int | None
    mtime_ns: int | None
    sha256: str | None

    @classmethod
    def of(cls, path: str) -> InputFile:
        """Reads size, time and digest of a path; all None where it is no regular file or cannot be read."""
        try:
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode):
                return cls(path, None, None, None)
            digest = sha256(path) if found.st_size <= MAX_RADIOGRAPH_BYTES else None
        except (OSError, ValueError):
            return cls(path, None, None, None)
        return cls(path, found.st_size, found.st_mtime_ns, digest)

    def is_still(self, path: str) -> bool:
        """Whether a path holds the same content; it is read only if place, size or time are others."""
        with suppress(OSError, ValueError):
            found = os.stat(path)
            if (path, found.st_size, found.st_mtime_ns) == (self.path, self.size, self.mtime_ns):
                return True
        now = InputFile.of(path)
        return (now.size, now.sha256) == (self.size, self.sha256)


def input_files(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The files of a study by role, as plain values."""
    return {role: asdict(InputFile.of(path)) for role, path in files.items()}


def are_still(recorded: Mapping[str, Mapping[str, Any]], files: Mapping[str, str]) -> bool:
    """Whether a study's files are those that were recorded."""
    return recorded.keys() == files.keys() and all(
        InputFile(**recorded[role]).is_still(path) for role, path in files.items()
    )


def settings_key(options: Mapping[str, Any]) -> str:
    """A digest of what all studies of a run share: options, weights and configs of the bundles, and the code."""
    digest = hashlib.sha256(json.dumps([lumbar_ext.__version__, dict(options)], sort_keys=True, default=str).encode())
    package = Path(lumbar_ext.__file__).parent
    for path in sorted(package.rglob("*")):
        if (
            path.suffix in (".py", ".json", ".j2")
            and path.relative_to(package).parts[0] not in _NOT_OF_A_RECONSTRUCTION
        ):
            _add(digest, path, package)
    bundles = bundles_dir()
    for path in sorted(bundles.glob("*/*/*")):
        if path.is_file() and path.parent.name in ("configs", "models"):
            _add(digest, path, bundles)
    return digest.hexdigest()


def _add(digest: Any, path: Path, root: Path) -> None:
    digest.update(f"{path.relative_to(root)}\0{sha256(path)}\0".encode())
