"""The walk, one stage each: radiographs + calibration -> decomposition + landmarks -> 3D landmarks -> registration
-> files.

Each stage is a MONAI transform over one dictionary that gathers what was found, so that a bundle's config can list them
in order. Keys: `ap_image`, `lat_image`, `calibration`, `output_dir` (paths, given), `landmarks_file`, `hold_landmarks`,
`marked_points_file`, `volume_dir`, `guess_missing`, `study_name` (may be empty); `study`, `marked_points`, `observed`,
`landmarks`, `by_hand`, `guessed` (stages below); `pred` (the registration, from the bundle's inferer).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from monai.transforms import Transform
from torch import nn

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.io.atomic import refuse_to_replace, refuse_unwritable, staged_output
from lumbar_ext.io.calibration import camera_document, write_calibration
from lumbar_ext.io.provenance import provenance
from lumbar_ext.io.volume import Volume
from lumbar_ext.landmarks.marked_points import read_marked_points
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.registration.register import RegistrationConfig, RegistrationInput, register
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.report.volume_slices import LABELS, read_own_volume
from lumbar_ext.studies.biplanar_study import FoundCameras, read_study
from lumbar_ext.transforms.confidence import ConfidenceCalibration
from lumbar_ext.workflow.edited_landmarks import (
    EditedLandmarks,
    edited_landmarks,
    landmark_names,
    marked_by_hand,
)
from lumbar_ext.workflow.film_calibration import FROM_FILMS, FilmCalibration
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.measure import STAGE as MEASURE_STAGE
from lumbar_ext.workflow.measure import MeasuredReconstruction, ReportOptions, write_measurement_files, write_report
from lumbar_ext.workflow.observe import observe, spine_on_grids
from lumbar_ext.workflow.options import FilmOptions
from lumbar_ext.workflow.outputs import (
    FOUND_CAMERAS,
    RESULT_FILES,
    final_geometry,
    measured_anchors,
    missing_levels,
    registration_document,
    study_landmarks,
    write_json,
    write_reconstruction,
)
from lumbar_ext.workflow.progress import Progress
from lumbar_ext.workflow.run_summary import all_warnings, level_warnings

INPUTS = ("ap_image", "lat_image", "calibration")
"""What the walk starts from: keys of its dictionary, options of the bundle, ports of the MONAI Deploy operator."""
_FURTHER_INPUTS = ("landmarks_file", "marked_points_file")
STAGES = (
    "read the study",
    "decompose the radiographs",
    "locate the landmarks",
    "register the vertebrae",
    MEASURE_STAGE,
    "write the results",
)


KINDS_OF_RESULTS = {"registration.json": "a reconstruction", "volume.json": "a volume"}
"""The file by which a folder of results is known, and what it holds."""


class ReadStudy(Transform):
    """Checks that the output folder is usable, if results are to be written, then reads the radiographs and their calibration.

    Args:
        progress: shows the stage.
        films: finds the cameras where the calibration is `FROM_FILMS`; without it that is a file, too.
        files: every file that this command may write, one of `KINDS_OF_RESULTS` among them.

    Raises:
        InputError: if a path is not given, a file cannot be used, results would take an input's place or lie among those of
            another command, nothing can be written to the output folder, or what is known of films is given beside a
            calibration file, which would not heed it.
    """

    def __init__(
        self, progress: Progress, films: FilmCalibration | None = None, files: Sequence[str] = RESULT_FILES
    ) -> None:
        self.progress = progress
        self.films = films
        self.files = tuple(files)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `study`; `marked_points`, where there is a file of them; `volume`, where a `volume_dir` is given, and
        `volume_labels`, where missing levels are guessed.
        """
        with self.progress.stage(STAGES[0]):
            paths = {name: _path(data, name) for name in INPUTS}
            if data.get("output_dir", "") is not None:
                paths["output_dir"] = _path(data, "output_dir")
                _refuse_other_results(Path(paths["output_dir"]), self.files)
                refuse_to_replace(_files_read(data), paths["output_dir"], self.files)
                refuse_unwritable(paths["output_dir"], self.files)
            marked_file = str(data.get("marked_points_file") or "")
            cameras = self._cameras(paths["calibration"], marked_file)
            study = read_study(paths["ap_image"], paths["lat_image"], cameras)
            found = {**data, **paths, "study": study}
            if marked_file:
                found["marked_points"] = read_marked_points(marked_file, {view: study[view].size_px for view in VIEWS})
            if data.get("guess_missing") and not data.get("volume_dir"):
                raise InputError(
                    "--guess_missing: the guess rests on a volume's labels, expected --volume_dir with them"
                )
            if data.get("volume_dir"):
                if not isinstance(cameras, str):
                    raise InputError(
                        "--volume_dir: a volume rests on a calibration file, expected that in place of films"
                    )
                inputs = {name: paths[name] for name in INPUTS}
                found["volume"] = read_own_volume(str(data["volume_dir"]), inputs)
                if data.get("guess_missing"):
                    found["volume_labels"] = read_own_volume(str(data["volume_dir"]), inputs, LABELS)
            return found

    def _cameras(self, calibration: str, marked_file: str) -> str | Callable[[Mapping[str, Radiograph]], FoundCameras]:
        """The calibration file, or what finds the cameras."""
        if self.films is None:
            return calibration
        if calibration == FROM_FILMS:
            return partial(self.films.find, marked_points=marked_file)
        if self.films.options != FilmOptions():
            raise InputError(
                f"{calibration}: a calibration file states distances, spacings and sides; expected the word {FROM_FILMS} in "
                "its place, or none of the options of films that nobody calibrated"
            )
        return calibration


class ObserveViews(Transform):
    """Runs the multi-task network on both radiographs.

    Args:
        network: of the first generation, or with a locator of the second.
        progress: shows the stage.
        calibration: makes probabilities of the network's confidences.
        locator: finds the spine on films of any size; without one, parts of films larger than 427 mm are tried.
    """

    def __init__(
        self,
        network: nn.Module,
        progress: Progress,
        calibration: ConfidenceCalibration | None = None,
        locator: nn.Module | None = None,
    ) -> None:
        self.network = network.eval()
        self.locator = locator and locator.eval()
        self.calibration = calibration
        self.progress = progress

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `observed`."""
        with self.progress.stage(STAGES[1]):
            study = data["study"]
            if self.locator is None:
                return {
                    **data,
                    "observed": observe(self.network, spine_on_grids(self.network, study), self.calibration),
                }
            return {**data, "observed": observe_located(self.network, self.locator, study, self.calibration)}


Guess = Callable[[EditedLandmarks, Volume], tuple[EditedLandmarks, tuple[str, ...]]]
"""Landmarks and the labels of a volume to landmarks with guessed ones, and what a user is told of these."""


class LocateLandmarks(Transform):
    """Triangulates the landmarks of the two views, and puts those of a `landmarks_file` in their place.

    Args:
        progress: shows the stage.
        guess: gives missing levels landmarks, where the study has `volume_labels` (`volumes.first_guess.GuessMissingLevels`).

    Raises:
        InputError: if no vertebra is seen in both views, or the file cannot be used.
    """

    def __init__(self, progress: Progress, guess: Guess | None = None) -> None:
        self.progress = progress
        self.guess = guess

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `landmarks`, which of them and of T12 and S1 a user has set, `by_hand` and `anchors_by_hand`, and what is to be
        said of levels that were `guessed`.
        """
        with self.progress.stage(STAGES[2]):
            observed = data["observed"]
            landmarks = triangulate_landmarks(observed.geometry, observed.landmarks)
            edited = EditedLandmarks(observed, landmarks, np.zeros_like(landmarks.confidence, dtype=bool))
            if data.get("landmarks_file"):
                edited = edited_landmarks(str(data["landmarks_file"]), observed, landmarks)
            guessed: tuple[str, ...] = ()
            if self.guess is not None and "volume_labels" in data:
                edited, guessed = self.guess(edited, data["volume_labels"])
            if not edited.landmarks.present.any():
                reasons = observed.levels.missing if observed.levels else {}
                why = "; ".join(dict.fromkeys(reasons.values())) or "no landmarks are given"
                raise NothingUsableError(
                    f"{data['ap_image']}, {data['lat_image']}: no lumbar vertebra was found in both views ({why}); "
                    "expected radiographs of a standing person's lumbar spine"
                )
            found = {"observed": edited.observed, "landmarks": edited.landmarks, "by_hand": edited.by_hand}
            return {**data, **found, "anchors_by_hand": edited.anchors_by_hand, "guessed": guessed}


def prepare_registration(
    batch: dict[str, Any], device: torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[RegistrationInput, None]:
    """What the registration inferer is given; the signature is that of MONAI's `prepare_batch`."""
    observed = batch["observed"]
    seen = marked_by_hand(observed.landmarks, batch["by_hand"], alone=bool(batch.get("hold_landmarks")))
    return RegistrationInput(observed.decompositions, observed.geometry, batch["landmarks"], seen), None


def only_study(batch: list[dict[str, Any]]) -> dict[str, Any]:
    """The `collate_fn` of a data loader of studies: one at a time, as it is."""
    (study,) = batch
    return study


class Register(Inferer):
    """Poses and deforms the shape model until its DRRs match the decompositions: the inferer of the bundle.

    Args:
        config: what the registration is composed of.
        progress: shows levels and losses.
        max_seconds: limit of the search, none when null.
    """

    def __init__(self, config: RegistrationConfig, progress: Progress, max_seconds: float | None = None) -> None:
        super().__init__()
        self.config = config
        self.progress = progress
        self.max_seconds = max_seconds

    def __call__(self, inputs: RegistrationInput, network: nn.Module, *args: Any, **kwargs: Any) -> RegistrationResult:
        """Registers `network`, a shape model, to what the network of the first stage saw."""
        with self.progress.stage(STAGES[3]):
            return register(inputs, network, self.config, progress=self._show, max_seconds=self.max_seconds)

    def _show(self, level: str, evaluations: int, loss: float) -> None:
        self.progress.note(f"register {level}: loss {loss:.4f} ({evaluations})")


class WriteReconstruction(Transform):
    """Writes all files of a reconstruction, or none; with `assessment` of `measure.MeasureSpine` also its files and the report.

    Files that an earlier run left and this one does not make, such as meshes of levels that were not found, are removed.

    Args:
        shape_model: the shape model, whose triangles the meshes have.
        weights: role to path of the files of weights that were used.
        parameters: what was asked of the run, for `run.json`.
        progress: stages and their seconds.
        options: files beside the usual ones.
    """

    def __init__(
        self,
        shape_model: nn.Module,
        weights: dict[str, str],
        parameters: dict[str, Any],
        progress: Progress,
        options: ReportOptions | None = None,
    ) -> None:
        self.triangles = shape_model.triangles
        self.weights = weights
        self.parameters = parameters
        self.progress = progress
        self.options = options

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the files; adds nothing."""
        missing = missing_levels(data["observed"], data["pred"])
        if missing:
            text = "; ".join(f"{level}: {reason}" for level, reason in missing.items())
            warnings.warn(f"{text}; no mesh is written", stacklevel=2)
        data = {**data, "anchors": measured_anchors(data["observed"], data["pred"])}
        with staged_output(data["output_dir"], RESULT_FILES) as folder:
            run = self._run_document(data)
            with self.progress.stage(STAGES[-1]):
                self._write_results(folder, data, run)
            document = registration_document(data["observed"], data["pred"], data["anchors"], self.progress.seconds)
            write_json(folder / "registration.json", document)
            write_json(folder / "run.json", run)
        return dict(data)

    def _write_results(self, folder: Path, data: Mapping[str, Any], run: dict[str, Any]) -> None:
        study, observed, landmarks, result = (data[name] for name in ("study", "observed", "landmarks", "pred"))
        triangles = self.triangles.cpu().numpy()
        found = study_landmarks(observed, landmarks)
        rim_mm = data["assessment"].sacral_rim_mm if "assessment" in data else None
        write_reconstruction(folder, study, observed, found, result, triangles, rim_mm)
        if _found_from_films("calibration", data):
            write_calibration(final_geometry(study.geometry, result), folder / FOUND_CAMERAS, study.uncertainty)
        if "assessment" not in data:
            return
        measured = MeasuredReconstruction(
            study,
            found,
            result,
            data["assessment"],
            triangles,
            level_warnings(data),
            data.get("volume"),
            study_name(data),
        )
        write_measurement_files(folder, measured, self.options)
        write_report(folder, measured, run, self.progress.seconds, self.options)

    def _run_document(self, data: Mapping[str, Any]) -> dict[str, Any]:
        observed = data["observed"]
        files = [name for name in (*INPUTS, *_FURTHER_INPUTS) if data.get(name)]
        inputs = {name: data[name] for name in files if not _found_from_films(name, data)}
        document = provenance(inputs=inputs, weights=self.weights, parameters=self.parameters)
        document["landmarks_by_hand"] = landmark_names(data["by_hand"], data["anchors_by_hand"])
        document["warnings"] = list(all_warnings(data))
        document["missing_levels"] = list(data["pred"].missing_levels)
        document["missing_reasons"] = missing_levels(observed, data["pred"])
        document["inverted_views"] = list(observed.inverted)
        document["network_grid"] = {view: camera_document(observed.canonical[view].camera) for view in VIEWS}
        return document


def study_name(data: Mapping[str, Any]) -> str:
    """What tables call the study: its id in a cohort (`study_name`), else the name of its folder of results."""
    return str(data.get("study_name") or Path(data["output_dir"]).resolve().name)


def _found_from_films(name: str, data: Mapping[str, Any]) -> bool:
    """Whether an input is the calibration, and no file but what was found from the films."""
    return name == "calibration" and data[name] == FROM_FILMS and data["study"].uncertainty is not None


def _path(data: Mapping[str, Any], name: str) -> str:
    """A path as given; a command line hands a name of digits over as a number."""
    value = data.get(name)
    if value is None or value == "":
        raise InputError(f"--{name} is missing: expected a path")
    return str(value)


def _files_read(data: Mapping[str, Any]) -> list[Path]:
    given = [Path(str(data[name])) for name in (*INPUTS, *_FURTHER_INPUTS) if data.get(name)]
    return [*given, Path(str(data["volume_dir"]), "run.json")] if data.get("volume_dir") else given


def _refuse_other_results(output_dir: Path, own: Sequence[str]) -> None:
    """Reconstructions and volumes have files of the same names: one would replace a part of the other."""
    for mark, what in KINDS_OF_RESULTS.items():
        if mark not in own and (output_dir / mark).is_file():
            raise InputError(f"{output_dir}: holds {what} ({mark}), expected another folder: files have the same names")
