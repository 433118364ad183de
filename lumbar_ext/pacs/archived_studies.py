"""The task of an archive: fetch a study, reconstruct it, store the results with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_outcome import What
from lumbar_ext.batch.study_task import ReconstructStudies, published
from lumbar_ext.pacs.archive import Archive
from lumbar_ext.radiographs.cameras.dicom_calibration import provide_calibration
from lumbar_ext.radiographs.dicom_folder import find_radiographs
from lumbar_ext.radiographs.dicom_pairing import pair_radiographs
from lumbar_ext.report.dicom.export import write_dicom


@dataclass(frozen=True)
class ReconstructArchived:
    """Reconstructs studies of an archive, which are named by their UIDs.

    Args:
        archive: where they are.
        reconstruct: how a study's files become a folder.
        calibration: calibration file of all of them; empty where their headers hold their own.
    """

    archive: Archive
    reconstruct: ReconstructStudies
    calibration: str = ""

    def prepare(self) -> Callable[[Study], What]:
        """Loads the bundles.

        Raises:
            InputError: as `ReconstructStudies.prepare` does.
        """
        fill = self.reconstruct.loaded()
        return lambda study: published(
            self.reconstruct.studies_dir,
            self.reconstruct.settings,
            study,
            lambda study, folder: self._fill(fill, study.name, folder),
        )

    def _fill(self, fill: Callable[[Study, Path], Sequence[str]], study_uid: str, folder: Path) -> list[str]:
        with tempfile.TemporaryDirectory(prefix="lumbar_ext-") as fetched:
            self.archive.fetch(study_uid, fetched)
            pair = pair_radiographs(find_radiographs(fetched))
            calibration = self.calibration or str(provide_calibration(pair, fetched, fetched))
            files = {view: str(pair[view].path) for view in VIEWS}
            flags = fill(Study(study_uid, {**files, "calibration": calibration}), folder)
            # Where no vertebra was found there is nothing to store.
            if (folder / "measurements.json").is_file():
                write_dicom(str(folder), files["ap"], files["lat"], str(folder / "dicom"))
                self.archive.store_files(study_uid, (folder / "dicom").glob("*.dcm"))
        return [*pair.remarks, *flags]
