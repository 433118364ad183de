"""The options of the bundles' configs: what each means, its type and its range.

A config gathers its settings in an entry `options`, and its stages take them from there. The same classes say what
`lumbar-ext VERB --help` shows.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_type_hints

import torch
from monai.bundle import ConfigParser

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.radiograph import PIXEL_SPACING_RANGE_MM
from lumbar_ext.typed_values import Count, Device, Positive, Range, Share, Weight, Whole, as_typed, typed, words_of

_RUN_PARAMETERS = (
    "run_id",
    "init_id",
    "final_id",
    "meta_file",
    "config_file",
    "logging_file",
    "tracking",
    "args_file",
    "bundle_root",
    "workflow_name",
)

PixelSpacing = Annotated[float, Range(*PIXEL_SPACING_RANGE_MM)]


class Options:
    """Settings of a config, converted and checked against the annotations of a dataclass when they are made.

    Raises:
        InputError: naming the option, what was found and what is expected.
    """

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self), include_extras=True)
        for field in fields(self):
            value = as_typed(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, typed(field.name, value, kinds[field.name]))


@dataclass(frozen=True)
class ReconstructionOptions(Options):
    """Options of the reconstruction.

    Args:
        ap_image: AP radiograph: DICOM, PNG or NIfTI.
        lat_image: lateral radiograph.
        calibration: JSON file of both cameras; the word films to find them from what the films show.
        landmarks: landmarks corrected in 3D Slicer, `landmarks.mrk.json`; empty for the network's own.
        hold_landmarks: whether corrected landmarks are held where the pictures disagree.
        marked_points: CSV file of points marked on the films (`view,point,u_px,v_px`): femoral heads, for pelvic incidence and
            tilt, and ends of a marker; empty for none.
        hidden_endplates: endplates that metal covers, such as ['L4 inferior']: values that need one are null.
        output_dir: folder of the results; null to write none.
        device: of the network: cpu, cuda or cuda:1; a GPU if there is one.
        n_modes: shape modes of each level; null for all of the model.
        optimiser: gauss_newton, bobyqa or paper.
        prior_weight: weight of the shape prior; null for that of the registration.
        keep_apart: whether neighbouring vertebrae may not overlap (BOBYQA does not heed it).
        looks: second looks after the first registration; 0 for none.
        refine_cameras: whether small errors of the calibration, 1 mm and 0.3 deg, are corrected along the way; null where it
            says that it is uncertain.
        moved: whether the person moved between the exposures, so that each vertebra gets a motion of its own.
        max_seconds: limit of the search, processor time; null for none.
        write_label_map: whether to write `labels.nii.gz`.
        write_pdf: whether to write `report.pdf`.
        volume_dir: results of `lumbar-ext volume` on the same files, of which the report then shows slices; empty for none.
        guess_missing: whether vertebrae that were not found in both views begin from the labels in `volume_dir`.
    """

    ap_image: str
    lat_image: str
    calibration: str
    landmarks: str
    hold_landmarks: bool
    marked_points: str
    hidden_endplates: list[str]
    output_dir: str | None
    device: Device
    optimiser: Any
    n_modes: Count | None
    prior_weight: Weight | None
    keep_apart: bool
    looks: Whole
    refine_cameras: bool | None
    moved: bool
    max_seconds: Positive | None
    write_label_map: bool
    write_pdf: bool
    volume_dir: str
    guess_missing: bool


@dataclass(frozen=True)
class FilmOptions(Options):
    """What is known of two films that nobody calibrated; heeded where their cameras are found from what they show.

    Args:
        pixel_spacing_mm: on the detector, of films that do not state it (PNG).
        ap_detector_mm: distance from the source to the detector of the AP film; 1150 +- 100 if null.
        ap_person_mm: distance from the source to the middle of the spine; 900 +- 80 if null.
        lat_detector_mm: the same of the lateral film.
        lat_person_mm: the same of the lateral film.
        known_to_mm: standard deviation of the distances that are given.
        posteroanterior: whether the source stood behind the person in the first film; null for what its DICOM View Position
            says, else not.
        lateral_from_right: whether it stood on the person's right in the second; null likewise.
        marker_mm: distance of `marker_start` and `marker_end` among the marked points, which then sets the scale.
    """

    pixel_spacing_mm: PixelSpacing | None = None
    ap_detector_mm: Positive | None = None
    ap_person_mm: Positive | None = None
    lat_detector_mm: Positive | None = None
    lat_person_mm: Positive | None = None
    known_to_mm: Positive = 20.0
    posteroanterior: bool | None = None
    lateral_from_right: bool | None = None
    marker_mm: Positive | None = None


@dataclass(frozen=True)
class OwnVertebraeOptions(Options):
    """Options of the registration of a subject's own vertebrae.

    Args:
        mesh_dir: folder with L1.stl to L5.stl, or some of them.
        label_map: CT label map in place of meshes.
        label_values: label of each level in it, such as {"L1": 20}; null for VerSe's.
        decompositions_dir: folder with `decomposition_ap.nii.gz` and `_lat.nii.gz` in place of the network's.
    """

    mesh_dir: str
    label_map: str
    label_values: dict[str, int] | None
    decompositions_dir: str


@dataclass(frozen=True)
class VolumeOptions(Options):
    """Options of the reconstruction of a volume.

    Args:
        ap_image: AP radiograph: DICOM, PNG or NIfTI.
        lat_image: lateral radiograph.
        calibration: JSON file of both cameras.
        output_dir: folder of the results; null to write none.
        volume_weights: weights of the field network; the bundle's, or what `volume_train.json` has left.
        device: of the network: cpu, cuda or cuda:1; a GPU if there is one.
        voxel_mm: edge of the voxels.
        box: least x, y, z and greatest x, y, z in world mm; null for 20 mm about the lumbar vertebrae.
        bfloat16: whether to compute in bfloat16 where the processor can: faster, and not to the last digit the same.
    """

    ap_image: str
    lat_image: str
    calibration: str
    output_dir: str | None
    volume_weights: str
    device: Device
    voxel_mm: Annotated[float, Range(least=0.5, most=10)]
    box: list[float] | None
    bfloat16: bool


@dataclass(frozen=True)
class ShapeModelOptions(Options):
    """Options of the building of shape models.

    Args:
        data_dir: folder of meshes or label maps.
        output_dir: folder of the results.
        work_dir: cache of finished registrations.
        cohort: JSON file that describes the data; null to scan the folder.
        orientation_model: shape model that orients meshes without landmarks.
        n_vertices: wanted vertices of each level.
        n_modes: modes stored for each level.
        n_subjects: simulated subjects behind the modes; 0 for the registered shapes alone.
        seed: of the simulated subjects.
        quality: whether to measure generality and specificity (some minutes).
    """

    data_dir: str
    output_dir: str
    work_dir: str
    cohort: str | None
    orientation_model: str
    n_vertices: Count
    n_modes: Count
    n_subjects: Whole
    seed: Whole
    quality: bool


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """Options of the evaluations of a reconstruction.

    Args:
        dataset_dir: folder of study folders with their truth.
        n_studies: how many of them; null for all.
        output_dir: folder of the results.
        workers: processes; more than one need the extra [cohort].
    """

    dataset_dir: str
    n_studies: Count | None
    output_dir: str
    workers: Count


@dataclass(frozen=True)
class NetworkEvaluationOptions(Options):
    """Options of the evaluation of the network.

    Args:
        sets: name to folder of study folders with their truth; or one folder, or a JSON file with such names and folders.
        foreign_sets: likewise; their images pass through an imaging chain that training never shows.
        output_dir: folder of the results.
        study_limit: largest number of studies of each set; null for all.
        weights: of the network.
        workers: processes; more than one need the extra [cohort].
    """

    sets: dict[str, str] | str
    foreign_sets: dict[str, str]
    output_dir: str
    study_limit: Count | None
    weights: str
    workers: Count


@dataclass(frozen=True)
class RadiographOptions(Options):
    """Options of the network on single radiographs.

    Args:
        image: one radiograph; empty for all of `dataset_dir`.
        dataset_dir: folder of radiographs.
        output_dir: folder of the results.
        view: ap or lat.
        pixel_spacing_mm: detector spacing of files that do not state it; null for the network's 0.834 mm.
        polarity: bone_bright or bone_dark, against tags and looks.
        threshold: smallest score of a vertebra that is reported; 0 reports whatever there is, on a film of no spine, too.
        device: cpu, cuda or cuda:1; a GPU if there is one.
    """

    image: str
    dataset_dir: str
    output_dir: str
    view: Literal["ap", "lat"]
    pixel_spacing_mm: PixelSpacing | None
    polarity: Literal["unknown", "bone_bright", "bone_dark"]
    threshold: Share
    device: Device


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Options of the training.

    Args:
        dataset_dir: folder with `train` and `validation`.
        train_dirs: folders of studies to train on; they may change between sessions.
        validation_dirs: folders of studies that choose the best weights.
        output_dir: folder of weights, learning curve, logs and the resume point.
        cache_dir: where the views are kept, brought to the network's grid.
        init_weights: weights to start from; empty for random ones.
        resume: file from which the same command continues; empty for none.
        model_filename: name of the best weights in `output_dir`.
        device: cpu, cuda or cuda:1; a GPU if there is one.
        iterations: of the whole campaign; may be raised until the learning rate falls.
        warmup_iterations: in which the learning rate rises, at the start.
        decay_iterations: in which it falls to zero, at the end.
        session_minutes: above 0 this session ends then; the same command goes on.
        validate_every: iterations between two validations.
        batch_size: crops of an iteration, of each process.
        num_workers: processes that prepare crops.
        learning_rate: of the plateau.
        weight_decay: of the weights of convolutions.
        bfloat16: whether to train in half precision where the device can.
        seed: of the draws and of random weights.
        tensorboard: whether to log for TensorBoard; if it is installed.
        mlflow: whether to log for MLflow; if it is installed.
        log_every: iterations between two lines of the log.
    """

    dataset_dir: str
    train_dirs: list
    validation_dirs: list
    output_dir: str
    cache_dir: str
    init_weights: str
    resume: str
    model_filename: str
    device: Device
    iterations: Count
    warmup_iterations: Whole
    decay_iterations: Count
    session_minutes: Weight
    validate_every: Count
    batch_size: Count
    num_workers: Whole
    learning_rate: Positive
    weight_decay: Weight
    bfloat16: bool
    seed: Whole
    tensorboard: bool
    mlflow: bool
    log_every: Count


@dataclass(frozen=True)
class FirstTrainingOptions(Options):
    """Options of the training of the first generation's network.

    Args:
        dataset_dir: folder with `train` and `validation`.
        train_dir: study folders to train on.
        validation_dir: study folders that choose the best weights.
        ckpt_dir: folder of weights and of the resume point; that of the logs by default, of an evaluation the shipped ones'.
        output_dir: folder of the logs.
        init_weights: weights to start from; empty for random ones.
        resume: file from which the same command continues; empty for none.
        model_filename: name of the best weights in `ckpt_dir`.
        device: cpu, cuda or cuda:1; a GPU if there is one.
        max_epochs: end of the training.
        epoch_length: iterations of an epoch; null for all studies once.
        max_minutes: above 0 the training ends then, and the learning rate follows a cosine of the time.
        session_minutes: above 0 this session ends then; the same command goes on.
        patience: above 0 the training ends after that many epochs without a better validation.
        val_interval: epochs between two validations.
        batch_size: views of an iteration.
        num_workers: processes that prepare views.
        learning_rate: at the start.
        bfloat16: whether to train in half precision where the device can.
        tensorboard: whether to log for TensorBoard; if it is installed.
        mlflow: whether to log for MLflow; if it is installed.
        study_limit: first studies to train on; null for all.
        validation_limit: first studies to validate on; null for all.
        downsample: factor by which the grid is coarser than the network's 0.834 mm.
        shift_px: largest random shift.
        log_every: iterations between two lines of the log.
    """

    dataset_dir: str
    train_dir: str
    validation_dir: str
    ckpt_dir: str
    output_dir: str
    init_weights: str
    resume: str
    model_filename: str
    device: Device
    max_epochs: Count
    epoch_length: Count | None
    max_minutes: Weight
    session_minutes: Weight
    patience: Whole
    val_interval: Count
    batch_size: Count
    num_workers: Whole
    learning_rate: Positive
    bfloat16: bool
    tensorboard: bool
    mlflow: bool
    study_limit: Count | None
    validation_limit: Count | None
    downsample: Count
    shift_px: Weight
    log_every: Count


def default_device() -> torch.device:
    """The first CUDA device where torch finds one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def refuse_unknown_options(argv: Sequence[str]) -> None:
    """Checks the options of a command line of `python -m monai.bundle run`, which takes any silently; others pass.

    Args:
        argv: the command line, as in `sys.argv`.

    Raises:
        InputError: naming the first option that is no entry of the config files, with the entry it resembles most.
    """
    words = words_of(argv)
    if not words:
        return
    parser = ConfigParser()
    parser.read_config(_as_list(words["config_file"]))
    for name in words:
        if name not in _RUN_PARAMETERS and not name.startswith("_meta"):
            refuse_unknown_entry(name, parser, _RUN_PARAMETERS)


def refuse_unknown_entry(name: str, parser: ConfigParser, others: Sequence[str] = ()) -> None:
    """Raises InputError if an option is no entry of a config.

    Args:
        name: of the option, `#` or `::` between levels.
        parser: which has read the config.
        others: names of options that are no entries, for the hint.
    """
    top = name.replace("::", "#").split("#")[0]
    if top in parser.config and name in parser:
        return
    close = get_close_matches(name, [*parser.config, *others], n=1)
    hint = f"; did you mean --{close[0]}?" if close else ""
    raise InputError(f"--{name}: no entry of the config{hint}")


def _as_list(word: str) -> list[str]:
    """One file name, or a Python list of them, as fire reads it."""
    return [str(name) for name in ast.literal_eval(word)] if word.lstrip().startswith("[") else word.split(",")
