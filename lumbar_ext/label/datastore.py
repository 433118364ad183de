"""MONAI Label's folder of studies, guarded: no path leaves it, no label is half-written, no index is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, LocalDatastore

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path, write_text
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.label.markups import SUFFIX, read_markups

IMAGE_SUFFIXES = (".dcm", ".png", ".nii.gz")
WORK_FOLDER = ".lumbar_ext"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")


class GuardedDatastore(LocalDatastore):
    """Images lie in the studies folder itself, labels in `labels/<tag>/`.

    Args:
        folder: the studies folder.
        auto_reload: whether to follow files that come and go.
    """

    def __init__(self, folder: str | Path, auto_reload: bool) -> None:
        extensions = [f"*{suffix}" for suffix in (*IMAGE_SUFFIXES, SUFFIX)]
        self.folder = Path(folder).resolve()
        super().__init__(str(self.folder), extensions=extensions, auto_reload=auto_reload)

    @property
    def work_folder(self) -> Path:
        """Where the app keeps trained weights, made if absent."""
        path = self.folder / WORK_FOLDER
        path.mkdir(exist_ok=True)
        return path

    def image_path(self, image_id: Any) -> Path:
        """The file of an image.

        Raises:
            InputError: if there is no image of that name, or its file lies outside the studies folder.
        """
        uri = self.get_image_uri(image_id) if isinstance(image_id, str) else ""
        if not uri or not Path(uri).is_file():
            raise InputError(f"image {str(image_id)[:120]!r}: not among the images of the studies folder")
        if not Path(uri).resolve().is_relative_to(self.folder):
            raise InputError(f"image {image_id!r}: lies outside the studies folder")
        return Path(uri)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copies an image into the studies folder.

        Raises:
            InputError: for a name that is no plain word or an unknown file type.
        """
        _require_word("image", image_id)
        if not str(image_filename).endswith(IMAGE_SUFFIXES):
            raise InputError(f"image {image_id!r}: expected a file of type {', '.join(IMAGE_SUFFIXES)}")
        if image_id in self.list_images():
            raise InputError(f"image {image_id!r}: there is one of that name already; remove it first")
        return super().add_image(image_id, image_filename, image_info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Checks a markups file against its image, then keeps it; an older label of the tag stays until then.

        Raises:
            InputError: for an unknown image, a tag that is no plain word, or a file that is no fitting markups file.
        """
        _require_word("tag", str(getattr(label_tag, "value", label_tag)))
        path = self.image_path(image_id)
        if not str(label_filename).endswith(SUFFIX):
            raise InputError(f"label of {image_id!r}: expected a markups file ({SUFFIX})")
        try:
            read_markups(label_filename, ImageSpace.of_file(path))
        except InputError as error:
            raise InputError(str(error).replace(str(label_filename), f"label of {image_id!r}")) from error
        tag = str(getattr(label_tag, "value", label_tag))
        folder = Path(self._datastore.label_path(tag))
        with FileLock(self._lock_file):
            folder.mkdir(exist_ok=True)
            name = f"{image_id}{SUFFIX}"
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(label_filename, temporary)
            info = {**(label_info or {}), "ts": int(time.time()), "name": name}
            self._datastore.objects[image_id].labels[tag] = DataModel(info=info, ext=SUFFIX)
            self._update_datastore_file(lock=False)
        return image_id

    def label_path(self, image_id: str, tag: str) -> Path:
        """The file of a label that is there."""
        return Path(self.get_label_uri(image_id, tag))

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        """Markups are labels, never images."""
        in_images = Path(path).resolve() == self.folder
        fitting = [f"*{suffix}" for suffix in IMAGE_SUFFIXES] if in_images else patterns
        return super()._list_files(path, fitting)

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Writes the index of images and labels, atomically: a full disk leaves the old one."""
        with FileLock(self._lock_file) if lock else nullcontext():
            self._ignore_event_config = True
            content = self._datastore.model_dump(exclude={"base_path"})
            write_text(self._datastore_config_path, json.dumps(content, indent=2, default=str))
            self._config_ts = os.stat(self._datastore_config_path).st_mtime


def _require_word(what: str, text: str) -> None:
    if not _WORD.fullmatch(text) or ".." in text:
        raise InputError(f"{what} {text[:120]!r}: expected letters, digits, '_', '-' and '.', no path")
