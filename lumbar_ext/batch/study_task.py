"""The task of a cohort: a study of the manifest to a folder of results."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_key import input_files, settings_key
from lumbar_ext.batch.study_outcome import Outcome, What, write_outcome
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.io.atomic import staged_output

THUMBNAIL_NAME = "thumbnail.jpg"
_THUMBNAIL_PX = 160  # its height
_NAMES = {"ap": "ap_image", "lat": "lat_image", "calibration": "calibration", "landmarks": "landmarks_file"}


def published(
    studies_dir: str | Path, settings: str, study: Study, fill: Callable[[Study, Path], Sequence[str]]
) -> What:
    """Makes a study's folder appear, whole or not at all, with its outcome.

    Args:
        studies_dir: folder of the study folders.
        settings: key of what all results depend on.
        study: what is worked on.
        fill: writes the results into a folder, and returns what should be looked at.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    inputs = input_files(study.files)
    with staged_output(Path(studies_dir, study.folder_name), owned=("*",)) as staging:
        flags = fill(study, staging)
        what = What.FLAGGED if flags else What.OK
        seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        outcome = Outcome(study.name, what, "", flags, settings, inputs, **rounded, host=socket.gethostname())
        write_outcome(staging, outcome)
    return what


@dataclass(frozen=True)
class ReconstructStudies:
    """Reconstructs studies, each into its own folder, whole or not at all.

    Args:
        studies_dir: folder of the study folders.
        options: entries of the reconstruction's config.
        settings: `settings_key` where the run was started; workers must have the same.
    """

    studies_dir: str
    options: Mapping[str, Any]
    settings: str

    def prepare(self) -> Callable[[Study], What]:
        """Loads the bundles, see `loaded`."""
        fill = self.loaded()
        return lambda study: published(self.studies_dir, self.settings, study, fill)

    def loaded(self) -> Callable[[Study, Path], list[str]]:
        """Checks that this is the same version, loads the bundles, and returns what fills a folder with a reconstruction.

        Raises:
            InputError: if version, weights or options are others here, or the bundles cannot be loaded.
        """
        if settings_key(self.options) != self.settings:
            raise InputError(
                f"{socket.gethostname()}: has another version of lumbar_ext or other weights than the machine that started "
                "the run; install the same on all"
            )
        return _Reconstructor(self.options)


class _Reconstructor:
    """A workflow that lives from study to study."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._workflow = self._loaded()

    def __call__(self, study: Study, folder: Path) -> list[str]:
        """Fills the folder, and says what should be looked at."""
        from lumbar_ext.workflow.bundle_workflow import run_on

        item = {name: study.files.get(role, "") for role, name in _NAMES.items()}
        workflow = self._workflow or self._loaded()
        # An engine that has failed does nothing in its next run.
        self._workflow = None
        try:
            run_on(workflow, {**item, "output_dir": str(folder), "study_name": study.name})
        except NothingUsableError as error:
            return [str(error)]
        self._workflow = workflow
        _write_thumbnail(folder)
        return flags_of(folder)

    def _loaded(self) -> Any:
        from lumbar_ext.workflow.bundle_workflow import as_it_is, bundle_workflow

        options = {name: as_it_is(value) for name, value in self._options.items()}
        return bundle_workflow(bundle_dir(RECONSTRUCTION), **options)


def flags_of(folder: str | Path) -> list[str]:
    """What should be looked at in a reconstruction's folder: vertebrae that are not good, then all warnings."""
    vertebrae = json.loads(Path(folder, "measurements.json").read_text(encoding="utf-8"))["vertebrae"]
    run = json.loads(Path(folder, "run.json").read_text(encoding="utf-8"))
    doubted = {level: own["quality"] for level, own in vertebrae.items() if own["quality"]["grade"] != "good"}
    graded = [f"{level} {quality['grade']}: {'; '.join(quality['reasons'])}" for level, quality in doubted.items()]
    return [*graded, *run["warnings"]]


def _write_thumbnail(folder: Path) -> None:
    """Both overlays side by side, small."""
    pictures = [Image.open(folder / f"overlay_{view}.png").convert("RGB") for view in ("ap", "lat")]
    for picture in pictures:
        picture.thumbnail((2 * _THUMBNAIL_PX, _THUMBNAIL_PX))
    sheet = Image.new("RGB", (sum(p.width for p in pictures) + 2, _THUMBNAIL_PX))
    sheet.paste(pictures[0], (0, 0))
    sheet.paste(pictures[1], (pictures[0].width + 2, 0))
    sheet.save(folder / THUMBNAIL_NAME, quality=80)
