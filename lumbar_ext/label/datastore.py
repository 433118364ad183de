"""MONAI Label's folder of studies, guarded: no path leaves it, no label is half-written, no index is lost."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path, write_text
from lumbar_ext.label.image_markups import read_markups
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.label.names import partner_of
from lumbar_ext.landmarks.markups import SUFFIX

IMAGE_SUFFIXES = (".dcm", ".png", ".nii.gz")
WORK_FOLDER = ".lumbar_ext"
INDEX = "datastore_v2.json"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")


class GuardedDatastore(LocalDatastore):
    """Images lie in the studies folder itself, labels in `labels/<tag>/`.

    Args:
        folder: the studies folder.
        auto_reload: whether to follow files that come and go.

    Raises:
        InputError: if the folder cannot be used, or its index is damaged.
    """

    def __init__(self, folder: str | Path, auto_reload: bool) -> None:
        extensions = [f"*{suffix}" for suffix in (*IMAGE_SUFFIXES, SUFFIX)]
        self.folder = Path(folder).resolve()
        try:
            super().__init__(str(self.folder), datastore_config=INDEX, extensions=extensions, auto_reload=auto_reload)
        except OSError as error:
            raise InputError(f"{self.folder}: not usable as studies folder ({error.strerror or error})") from error
        except ValueError as error:
            raise InputError(
                f"{self.folder / INDEX}: a damaged index; without it a new one is made of the images and labels there"
            ) from error

    @property
    def work_folder(self) -> Path:
        """Where the app keeps trained weights, made if absent."""
        path = self.folder / WORK_FOLDER
        path.mkdir(exist_ok=True)
        return path

    def image_path(self, image_id: Any) -> Path:
        """The file of an image.

        Raises:
            InputError: if there is no image of that name, or more than one, or its file lies outside the studies folder.
        """
        uri = super().get_image_uri(image_id) if isinstance(image_id, str) else ""
        if not uri or not Path(uri).is_file():
            raise InputError(f"image {str(image_id)[:120]!r}: not among the images of the studies folder")
        if not self._inside(uri):
            raise InputError(f"image {image_id!r}: lies outside the studies folder")
        same = sorted(name for name in self._list_files(str(self.folder), []) if self._to_id(name)[0] == image_id)
        if len(same) > 1:
            raise InputError(
                f"image {image_id!r}: there are {len(same)} of that name ({', '.join(same)}), expected one"
            )
        return Path(uri)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copies an image into the studies folder; it is complete or absent there.

        Raises:
            InputError: for a name that is no plain word or an unknown file type.
        """
        _require_word("image", image_id)
        suffix = next((known for known in IMAGE_SUFFIXES if str(image_filename).lower().endswith(known)), None)
        if suffix is None:
            raise InputError(f"image {image_id!r}: expected a file of type {', '.join(IMAGE_SUFFIXES)}")
        if image_id in self.list_images():
            raise InputError(f"image {image_id!r}: there is one of that name already; remove it first")
        with FileLock(self._lock_file):
            entry = _kept(image_filename, self.folder / f"{image_id}{suffix}", suffix, image_info)
            self._datastore.objects[image_id] = ImageLabelModel(image=entry)
            self._update_datastore_file(lock=False)
        return image_id

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Checks a markups file against its image, then keeps it; an older label of the tag stays until then.

        Raises:
            InputError: for an unknown image, a tag that is no plain word, or a file that is no fitting markups file.
        """
        tag = str(getattr(label_tag, "value", label_tag))
        _require_word("tag", tag)
        path = self.image_path(image_id)
        if not str(label_filename).endswith(SUFFIX):
            raise InputError(f"label of {image_id!r}: expected a markups file ({SUFFIX})")
        try:
            read_markups(label_filename, ImageSpace.of_file(path))
        except InputError as error:
            raise InputError(str(error).replace(str(label_filename), f"label of {image_id!r}")) from error
        folder = Path(self._datastore.label_path(tag))
        with FileLock(self._lock_file):
            folder.mkdir(exist_ok=True)
            entry = _kept(label_filename, folder / f"{image_id}{SUFFIX}", SUFFIX, label_info)
            self._datastore.objects[image_id].labels[tag] = entry
            self._update_datastore_file(lock=False)
        return image_id

    def get_image_uri(self, image_id: str) -> str:
        """The file of an image; empty for none, and for a link that leads out of the studies folder."""
        return self._inside(super().get_image_uri(image_id))

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The file of a label; empty for none, and for a link that leads out of the studies folder."""
        return self._inside(super().get_label_uri(label_id, label_tag))

    def remove_image(self, image_id: str) -> None:
        """Removes an image and its labels.

        Raises:
            InputError: if there is no such image, or it is a link out of the studies folder.
        """
        self.image_path(image_id)
        super().remove_image(image_id)

    def label_path(self, image_id: str, tag: str) -> Path:
        """The file of a label that is there."""
        return Path(self.get_label_uri(image_id, tag))

    def _inside(self, uri: str) -> str:
        """The path of a file in the studies folder, empty for any other."""
        return uri if uri and Path(uri).resolve().is_relative_to(self.folder) else ""

    def _on_any_event(self, event: Any) -> None:
        with _noted():
            super()._on_any_event(event)

    def _on_modify_event(self, event: Any) -> None:
        with _noted():
            super()._on_modify_event(event)

    def partner(self, image_id: str) -> str:
        """The name of the other view of the same case, `_ap` and `_lat` in capitals or not.

        Raises:
            InputError: if the name does not end in _ap or _lat.
        """
        wanted = partner_of(image_id)
        case, view = wanted.rsplit("_", 1)
        loud, images = f"{case}_{view.upper()}", self.list_images()
        return loud if loud in images and wanted not in images else wanted

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        """Markups are labels, never images; hidden files are neither, as files are hidden until they are complete."""
        in_images = Path(path).resolve() == self.folder
        suffixes = IMAGE_SUFFIXES if in_images else tuple(pattern.lstrip("*") for pattern in patterns)
        names = (name for name in os.listdir(path) if not name.startswith("."))
        return {name: name for name in names if name.lower().endswith(suffixes)}

    def _to_id(self, file: str) -> tuple[str, str]:
        """Name and suffix of a file; the suffix as the file has it, in capitals or not."""
        known = (*IMAGE_SUFFIXES, SUFFIX)
        length = max((len(suffix) for suffix in known if file.lower().endswith(suffix)), default=len(Path(file).suffix))
        return file[: len(file) - length], file[len(file) - length :]

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Writes the index of images and labels, atomically: a full disk leaves the old one."""
        with FileLock(self._lock_file) if lock else nullcontext():
            self._ignore_event_config = True
            content = self._datastore.model_dump(exclude={"base_path"})
            write_text(self._datastore_config_path, json.dumps(content, indent=2, default=str))
            self._config_ts = os.stat(self._datastore_config_path).st_mtime


@contextmanager
def _noted() -> Iterator[None]:
    """A full or dead disk is logged; as an exception it would end the thread that follows the folder, for good."""
    try:
        yield
    except (OSError, InputError) as error:
        logging.getLogger(__name__).error("the studies folder cannot be followed: %s", error)


def _kept(source: str, path: Path, suffix: str, info: dict[str, Any] | None) -> DataModel:
    """The index entry of a file that is copied to its place."""
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)
    return DataModel(info={**(info or {}), "ts": int(time.time()), "name": path.name}, ext=suffix)


def _require_word(what: str, text: str) -> None:
    if not _WORD.fullmatch(text) or ".." in text:
        raise InputError(f"{what} {text[:120]!r}: expected letters, digits, '_', '-' and '.', no path")
