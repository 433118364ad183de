"""Files and folders that are either complete or absent: nothing half-written is ever left under its final name.

What is being written lies under a hidden name, locked by the process that writes it. A process that is killed leaves
that behind with its lock free, and whoever writes to the same place next removes it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from lumbar_ext.errors import InputError

_STAGING_PREFIX = ".lumbar_ext-staging-"
_CONTENT = "new"
_MOST_STRANGERS = 1000
"""Files of others in an output folder up to which it is replaced as a whole: each is linked into the new folder."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_RENAME_EXCHANGE = 2  # flag of renameat2(2), linux/fs.h
_AT_FDCWD = -100  # paths count from the working folder, fcntl.h


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, with its suffixes, renamed to `path` when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and an older file at `path` stays as it was. Temporary
    files that killed processes left of the same `path` are removed.

    Yields:
        The path of an empty file, to be written by the caller.

    Raises:
        InputError: if the folder does not exist, or the disk is full.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written, the folder {path.parent} does not exist")
    suffixes = "".join(path.suffixes[-2:])
    start, end = f".{path.name.removesuffix(suffixes)}.", f".tmp{suffixes}"
    _remove_abandoned_files(path.parent, start, end)
    temporary = path.parent / f"{start}{os.urandom(4).hex()}{end}"
    with _disk_full_named(path), _locked(temporary):
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
def staged_output(output_dir: str | Path, owned: Sequence[str] = ()) -> Iterator[Path]:
    """A staging folder that becomes the content of `output_dir` when the block ends well: all of it in one moment.

    A new folder appears by one rename. An older one is exchanged for the new one by one system call, with links to the
    files in it that are not of this set, so that a kill at any moment leaves the old set or the new, and of two runs
    at once the later one's set. Where that is impossible (`output_dir` is a mount point or this process's working folder,
    holds more than 1000 other files, belongs to another user, or the file system knows no exchange), files are renamed
    one by one; that takes a moment, in which a kill leaves a mixture that the next run replaces.

    On any exception, Ctrl-C included, the staging folder and every folder made here are removed and the older files are
    as before, even if the exception comes while files are moving.

    Args:
        output_dir: the folder to fill; made, with its parents, if absent. Other files in it are left alone.
        owned: patterns of the relative paths that such a set may hold; older files of these names that are not part of
            the new set are removed with the rest of the old set.

    Yields:
        The staging folder, to be filled by the caller.

    Raises:
        InputError: if `output_dir` is not a folder, cannot be made or written to, holds a folder in the place of a file,
            or the disk is full.
    """
    output_dir = Path(output_dir)
    target = Path(os.path.realpath(output_dir))
    made: list[Path] = []
    done = False
    try:
        with _disk_full_named(output_dir), _staging_for(output_dir, target, made) as staging:
            _refuse_folders(target, owned)
            yield staging
            _refuse_folders(target, [str(path) for path in _files(staging)])
            _publish(staging, target, owned)
            done = True
    finally:
        if not done:
            _remove_empty(made)


@contextmanager
def _staging_for(output_dir: Path, target: Path, made: list[Path]) -> Iterator[Path]:
    """The staging folder, beside the target where it can be switched, else in it; `made` gathers new folders."""
    try:
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        beside = _can_be_switched(target)
        _make_folders(target.parent if beside else target, made)
        for place in {target.parent, target}:
            remove_leftovers(place)
        wrapper, lock = _locked_folder(target.parent if beside else target)
    except OSError as error:
        _remove_empty(made)
        raise InputError(f"{output_dir}: not usable as output folder ({error.strerror or error})") from error
    try:
        content = wrapper / _CONTENT
        content.mkdir()
        yield content
    finally:
        shutil.rmtree(wrapper, ignore_errors=True)
        os.close(lock)


def _can_be_switched(target: Path) -> bool:
    """Whether the folder can be replaced by another one without anybody missing the old one."""
    if not target.exists():
        return True
    if not os.access(target, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "Permission denied")
    here, parent = target.stat(), target.parent.stat()
    is_own = here.st_uid == os.geteuid() and os.access(target.parent, os.W_OK | os.X_OK)
    is_used = Path(os.path.realpath(os.curdir)).is_relative_to(target)
    return is_own and not is_used and here.st_dev == parent.st_dev and _few_entries(target)


def _few_entries(folder: Path) -> bool:
    count = 0
    for _, names, files in os.walk(folder):
        count += len(names) + len(files)
        if count > _MOST_STRANGERS:
            return False
    return True


def _publish(staging: Path, target: Path, owned: Sequence[str]) -> None:
    """Puts the staged set in the place of the older one; at once if the staging folder lies beside the target."""
    if target not in staging.parents:
        with suppress(OSError):
            _switch(staging, target, owned)
            return
    with _exclusive(target):
        _move_files(staging, target, owned)


def _switch(staging: Path, target: Path, owned: Sequence[str]) -> None:
    """Exchanges the folders; the staging folder then holds the older set.

    Raises:
        OSError: if that is impossible; nothing has changed then.
    """
    while not target.exists():
        try:
            os.rename(staging, target)
            return
        except OSError as error:
            # Another run made it in the meantime.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    staged = set(_files(staging))
    _link_strangers(target, staging, staged, owned)
    shutil.copystat(target, staging)
    with suppress(OSError):
        os.chown(staging, -1, target.stat().st_gid)
    _exchange(staging, target)
    # Empty folders, and what others made between linking and exchanging.
    for name in set(os.listdir(staging)) - set(os.listdir(target)):
        if not _is_of_set(Path(name), staged, owned) and not name.startswith(_STAGING_PREFIX):
            with suppress(OSError):
                os.rename(staging / name, target / name)


def _link_strangers(old: Path, new: Path, staged: set[Path], owned: Sequence[str]) -> None:
    """Gives the new folder the files that the old one holds beside a set, as links to the same content."""
    for relative in _files(old):
        if not _is_of_set(relative, staged, owned):
            (new / relative).parent.mkdir(parents=True, exist_ok=True)
            os.link(old / relative, new / relative, follow_symlinks=False)


def _is_of_set(relative: Path, staged: set[Path], owned: Sequence[str]) -> bool:
    return relative in staged or any(fnmatch(str(relative), pattern) for pattern in owned)


def _exchange(one: Path, other: Path) -> None:
    """Exchanges two folders of one file system in one step (renameat2, Linux 3.15, glibc 2.28)."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _move_files(staging: Path, output_dir: Path, owned: Sequence[str]) -> None:
    """Renames every staged file into `output_dir`; puts everything back if that is interrupted."""
    staged = sorted(_files(staging))
    obsolete = [path for path in _files(output_dir) if path not in set(staged) and _is_of_set(path, set(), owned)]
    made: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="older-", dir=staging.parent) as older:
        undo: list[tuple[Path, Path]] = []
        try:
            for relative in (*obsolete, *staged):
                target, backup = output_dir / relative, Path(older) / str(len(undo))
                _make_folders(target.parent, made)
                if target.is_symlink() or target.exists():
                    undo.append((backup, target))
                    os.replace(target, backup)
                if relative not in obsolete:
                    undo.append((target, staging / relative))
                    os.replace(staging / relative, target)
        except BaseException:
            for moved_to, moved_from in reversed(undo):
                with suppress(FileNotFoundError):
                    os.replace(moved_to, moved_from)
            _remove_empty(made)
            raise


def refuse_unwritable(output_dir: str | Path, owned: Sequence[str] = ()) -> None:
    """Refuses what `staged_output` could not fill, before the work for it is done; makes no folder that stays.

    Raises:
        InputError: as of `staged_output`.
    """
    target = Path(os.path.realpath(output_dir))
    with _disk_full_named(Path(output_dir)):
        try:
            nearest = next(place for place in (target, *target.parents) if place.exists())
            if not nearest.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "not a folder")
            folder, lock = _locked_folder(nearest)
        except OSError as error:
            raise InputError(f"{output_dir}: not usable as output folder ({error.strerror or error})") from error
        os.close(lock)
        folder.rmdir()
    _refuse_folders(target, owned)


def refuse_to_replace(inputs: Iterable[str | Path], output_dir: str | Path, owned: Sequence[str]) -> None:
    """Refuses an output folder in which results would take the place of files that are read to make them.

    Args:
        inputs: files that are read.
        output_dir: where results go.
        owned: patterns of the relative paths that results may have, as of `staged_output`.

    Raises:
        InputError: if an input lies there under such a path, be it by a link.
    """
    target = Path(os.path.realpath(output_dir))
    for path in map(Path, inputs):
        for place in (Path(os.path.realpath(path.parent), path.name), Path(os.path.realpath(path))):
            if place.is_relative_to(target) and _is_of_set(place.relative_to(target), set(), owned):
                raise InputError(
                    f"{path}: is read here, and results in {output_dir} would take its place; choose another folder for them"
                )


def refuse_same_file(source: str | Path, output: str | Path) -> None:
    """Refuses to write a file over the one that it is made of.

    Raises:
        InputError: if both paths lead to one file, be it by a link.
    """
    if os.path.realpath(source) == os.path.realpath(output):
        raise InputError(f"{output}: is the file that it would be made of; choose another name for the result")


def _refuse_folders(output_dir: Path, patterns: Sequence[str]) -> None:
    """Raises InputError if a folder lies where a file of the set goes, or a file where a folder goes."""
    for pattern in patterns:
        for found in output_dir.glob(pattern) if pattern != "*" else ():
            if found.is_dir() and not found.is_symlink():
                raise InputError(
                    f"{found}: is a folder where a file of the results goes; move it away, or choose another folder"
                )
        above = output_dir / Path(pattern).parent
        if above != output_dir and above.exists() and not above.is_dir():
            raise InputError(
                f"{above}: is a file where a folder of the results goes; move it away, or choose another folder"
            )


def _files(folder: Path) -> list[Path]:
    """Relative paths of everything below a folder but folders, without what other runs stage there."""
    found = []
    for here, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(_STAGING_PREFIX)]
        links = [name for name in names if os.path.islink(os.path.join(here, name))]
        found += [Path(here, name).relative_to(folder) for name in (*files, *links)]
    return found


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Makes a folder and its parents, noting the new ones, outermost first."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        made.append(place)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder")


def _remove_empty(folders: list[Path]) -> None:
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _disk_full_named(place: Path) -> Iterator[None]:
    """Says in one sentence where there was no space."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InputError(f"{place}: the disk is full; nothing was written, any older results are untouched") from error


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Makes a staging folder; its lock is free as soon as the file descriptor is closed, or the process has died."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=parent))
        # Another process may take it for abandoned, and remove it, before it is locked.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            if _lock(lock) and folder.exists():
                return folder, lock
            os.close(lock)


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    """Makes an empty file that is locked as long as the block runs."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Takes a lock that only living processes hold; False if another one has it. File systems without locks have no owner."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Waits until no other process is moving files into the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems lock no folders.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(parent: Path) -> None:
    """Removes the staging folders that killed processes left in a folder."""
    for folder in _entries(parent, _STAGING_PREFIX, ""):
        with _if_abandoned(folder) as abandoned:
            if abandoned:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned_files(parent: Path, start: str, end: str) -> None:
    """Removes the temporary files in a folder whose processes are gone."""
    for file in _entries(parent, start, end):
        with _if_abandoned(file) as abandoned:
            if abandoned:
                file.unlink(missing_ok=True)


def _entries(parent: Path, start: str, end: str) -> list[Path]:
    try:
        names = os.listdir(parent)
    except OSError:
        return []
    return [parent / name for name in names if name.startswith(start) and name.endswith(end)]


@contextmanager
def _if_abandoned(place: Path) -> Iterator[bool]:
    """Whether nobody holds the lock, which is held meanwhile; not so where there are no locks, as nothing is known there."""
    try:
        descriptor = os.open(place, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
