"""Files and folders that are either complete or absent: nothing half-written is ever left under its final name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lumbar_ext.errors import InputError

_STAGING_PREFIX = ".lumbar_ext-staging-"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, with its suffixes, renamed to `path` when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and an older file at `path` stays as it was.

    Raises:
        InputError: if the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written, the folder {path.parent} does not exist")
    suffixes = "".join(path.suffixes[-2:])
    temporary = path.parent / f".{path.name.removesuffix(suffixes)}.{os.urandom(4).hex()}.tmp{suffixes}"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Writes `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode("utf-8", errors="backslashreplace"))


@contextmanager
def staged_output(output_dir: str | Path) -> Iterator[Path]:
    """A staging folder whose content moves into `output_dir` when the block ends well.

    The staging folder lies inside `output_dir`, so that moving is a rename even where `output_dir` is a mount of its
    own. It is made at once, so that an unusable `output_dir` is reported before any work is done. Files replace older
    ones of the same relative path; other files of `output_dir` are left alone. On any exception, Ctrl-C included, the
    staging folder and every folder made here are removed and the older files are as before, even if the exception comes
    while files are moving.

    Args:
        output_dir: the folder to fill; made, with its parents, if absent.

    Yields:
        The staging folder, to be filled by the caller.

    Raises:
        InputError: if `output_dir` is not a folder, or cannot be made or written to.
    """
    output_dir = Path(output_dir)
    made: list[Path] = []
    try:
        staging = _make_staging(output_dir, made)
    except OSError as error:
        _remove_empty(made)
        raise InputError(f"{output_dir}: not usable as output folder ({error.strerror or error})") from error
    done = False
    try:
        yield staging
        _publish(staging, output_dir)
        done = True
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not done:
            _remove_empty(made)


def _make_staging(output_dir: Path, made: list[Path]) -> Path:
    """Makes `output_dir` and the staging folder in it; `made` gathers the new folders, outermost first."""
    missing = [folder for folder in (output_dir, *output_dir.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.append(folder)
    return Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=output_dir))


def _publish(staging: Path, output_dir: Path) -> None:
    """Renames every staged file into `output_dir`; puts everything back if that is interrupted."""
    staged = sorted(path.relative_to(staging) for path in staging.rglob("*") if not path.is_dir())
    made: list[Path] = []
    with tempfile.TemporaryDirectory(prefix=_STAGING_PREFIX, dir=output_dir) as older:
        undo: list[tuple[Path, Path]] = []
        try:
            for relative in staged:
                _make_folders(output_dir, relative.parent, made)
                target, backup = output_dir / relative, Path(older) / str(len(undo))
                if target.is_symlink() or target.exists():
                    undo.append((backup, target))
                    os.replace(target, backup)
                undo.append((target, staging / relative))
                os.replace(staging / relative, target)
        except BaseException:
            for moved_to, moved_from in reversed(undo):
                with suppress(FileNotFoundError):
                    os.replace(moved_to, moved_from)
            _remove_empty(made)
            raise


def _make_folders(output_dir: Path, relative: Path, made: list[Path]) -> None:
    """Makes the folders of `relative` in `output_dir`, noting the new ones."""
    folder = output_dir
    for part in relative.parts:
        folder = folder / part
        if not folder.is_dir():
            folder.mkdir()
            made.append(folder)


def _remove_empty(folders: list[Path]) -> None:
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()
