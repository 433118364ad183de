"""The first and the last operator where a study comes from an archive and its results go back there, by DICOMweb."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from lumbar_ext.errors import InputError
from lumbar_ext.pacs.archive import Archive, ArchiveError
from lumbar_ext.radiographs.cameras.dicom_calibration import SIDECAR


@contextmanager
def _ends_the_application() -> Iterator[None]:
    """An archive that does not answer ends the application in a line; others wait for it, and try again."""
    try:
        yield
    except ArchiveError as error:
        raise InputError(str(error)) from error


@dataclass(frozen=True)
class ArchivedStudy:
    """A study in an archive; what is asked raises InputError if the archive cannot be used, or does not answer.

    Args:
        archive: where it is.
        uid: its Study Instance UID.
    """

    archive: Archive
    uid: str

    @_ends_the_application()
    def is_done(self) -> bool:
        """Whether results of this package lie with it."""
        return self.archive.has_results(self.uid)

    @_ends_the_application()
    def fetch(self, folder: Path) -> None:
        """Writes its radiographs into a folder."""
        self.archive.fetch(self.uid, folder)

    @_ends_the_application()
    def store_files(self, paths: Sequence[Path]) -> None:
        """Stores DICOM files with it; InputError also if the archive does not take one."""
        self.archive.store_files(self.uid, paths)


class ArchiveFetchOperator(Operator):
    """Fetches the radiographs of a study, and lays the calibration of the input folder, if there is one, beside them.

    Output port: `folder`, that of the radiographs.

    Args:
        fragment: the application.
        study: what to fetch.
        input_path: folder in which `calibration.json` of the rig may lie.
        work_folder: an existing folder for the radiographs.
    """

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        study: ArchivedStudy,
        input_path: str | Path,
        work_folder: str | Path,
        **kwargs: Any,
    ) -> None:
        self.study, self.input_path, self.work_folder = study, Path(input_path), Path(work_folder)
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """No input, the folder as output."""
        spec.output("folder")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Fetches and emits.

        Raises:
            InputError: if the archive cannot be used, or does not answer.
        """
        folder = self.work_folder / "fetched"
        folder.mkdir()
        self.study.fetch(folder)
        if (self.input_path / SIDECAR).is_file():
            shutil.copyfile(self.input_path / SIDECAR, folder / SIDECAR)
        op_output.emit(folder, "folder")


class ArchiveStoreOperator(Operator):
    """Stores with a study what the writers have written.

    Args:
        fragment: the application.
        study: with which.
        writers: an input port for the files of each.
    """

    def __init__(
        self, fragment: Fragment, *args: Any, study: ArchivedStudy, writers: Sequence[str], **kwargs: Any
    ) -> None:
        self.study, self.writers = study, tuple(writers)
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """One port a writer."""
        for name in self.writers:
            spec.input(name)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Stores all; the report last.

        Raises:
            InputError: if the archive cannot be used, does not answer, or does not take an object.
        """
        paths = [path for name in self.writers for path in op_input.receive(name)]
        self.study.store_files(paths)
        logging.getLogger(__name__).info("stored: %d objects", len(paths))
