"""The reconstruction as one call from Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.measurements.uncertainty.assessment import Measurement
from lumbar_ext.measurements.uncertainty.grade import Quality
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.workflow.bundle_workflow import run_bundle
from lumbar_ext.workflow.run_summary import all_warnings, gathered, is_usable, reconstruction_summary


@dataclass(frozen=True)
class Reconstruction:
    """A reconstructed lumbar spine.

    Args:
        meshes: by level that was found, vertices [V, 3] in world mm and triangles [M, 3], outward normals.
        measurements: all values, those that cannot be had among them.
        quality: by level, all five: how far each vertebra can be relied on, and why.
        missing_levels: levels that were not found in both views.
        warnings: what is doubtful of the study, the names of its levels or its registration.
        registration: poses, shape coefficients and losses.
        output_dir: folder of the files; None where none were asked for.
        usable: whether a vertebra was found whose reconstruction has not failed.
        summary: what the command line prints.
    """

    meshes: dict[str, tuple[np.ndarray, np.ndarray]]
    measurements: tuple[Measurement, ...]
    quality: dict[str, Quality]
    missing_levels: tuple[str, ...]
    warnings: tuple[str, ...]
    registration: RegistrationResult
    output_dir: Path | None
    usable: bool
    summary: str

    @property
    def report(self) -> Path | None:
        """`report.html`; None where no files were asked for."""
        return None if self.output_dir is None else self.output_dir / "report.html"


def reconstruct(
    ap_image: str | Path,
    lat_image: str | Path,
    calibration: str | Path,
    output_dir: str | Path | None = None,
    **options: Any,
) -> Reconstruction:
    """Reconstructs L1 to L5 from two calibrated radiographs, as `lumbar-ext reconstruct` does.

    Args:
        ap_image: AP radiograph: DICOM, PNG or NIfTI.
        lat_image: lateral radiograph.
        calibration: JSON file of both cameras, or the word films to find them from what the films show.
        output_dir: folder for all files that the command writes; none are written if omitted.
        options: of the command (`lumbar-ext reconstruct --help`), such as `keep_apart=True`; entries of the bundle's
            config with # between levels as keys of a dictionary, `**{"network_def#n_modes": 14}`.

    Raises:
        InputError: naming a file or an option that cannot be used; `NothingUsableError` if no vertebra was found.
    """
    given = {"ap_image": str(ap_image), "lat_image": str(lat_image), "calibration": str(calibration)}
    if output_dir is None:
        options = {"postprocessing#transforms": ["@measure"], **options}
    given["output_dir"] = None if output_dir is None else str(output_dir)
    with _signals_kept():
        workflow = run_bundle(
            bundle_dir(RECONSTRUCTION), ("inference",), "infer", {**given, **options}, finalize=False, own_process=False
        )
    data, triangles = gathered(workflow.evaluator), workflow.parser.get_parsed_content("shape_model").triangles
    result, assessment = data["pred"], data["assessment"]
    return Reconstruction(
        meshes={level: (fit.vertices_mm, triangles.cpu().numpy()) for level, fit in result.vertebrae.items()},
        measurements=assessment.measurements,
        quality=assessment.quality,
        missing_levels=tuple(result.missing_levels),
        warnings=all_warnings(data),
        registration=result,
        output_dir=None if output_dir is None else Path(output_dir),
        usable=is_usable(assessment),
        summary=reconstruction_summary(data),
    )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """The bundle's config takes over the error hook, Ctrl-C and SIGTERM, which belong to the program that calls."""
    import signal
    import sys
    import threading

    hook, in_main_thread = sys.excepthook, threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        sys.excepthook = hook
        if in_main_thread:
            for number, handler in handlers.items():
                # None stands for a handler that is not Python's, which stays where it is.
                if handler is not None:
                    signal.signal(number, handler)
