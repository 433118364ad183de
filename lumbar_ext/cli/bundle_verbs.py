"""The verbs that run a bundle's own configs."""

from __future__ import annotations

import inspect
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from fire import docstrings
from monai.bundle import ConfigParser

from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.compiled import kept_in
from lumbar_ext.errors import InputError
from lumbar_ext.workflow.bundle_workflow import run_bundle
from lumbar_ext.workflow.options import (
    EvaluationOptions,
    FilmOptions,
    FirstTrainingOptions,
    OwnVertebraeOptions,
    RadiographOptions,
    ReconstructionOptions,
    ShapeModelOptions,
    TrainingOptions,
    VolumeOptions,
)


@dataclass(frozen=True)
class BundleVerb:
    """Runs configs of a bundle; the arguments are the options that these declare, and every other entry of theirs.

    Args:
        summary: what it does.
        bundle: name of the bundle.
        configs: names of its configs, in the order in which they are merged.
        options: classes of options, see `workflow.options`.
        needed: options that the user must give, in their order.
        workflow_type: as MONAI calls it.
        further: options that may follow them without their names.
    """

    summary: str
    bundle: str
    configs: tuple[str, ...]
    options: tuple[type, ...]
    needed: tuple[str, ...]
    workflow_type: Literal["infer", "train"] = "infer"
    further: tuple[str, ...] = ()

    def __call__(self, *, bundle_root: str | None = None, configs: str = "", **given: Any) -> None:
        """Runs the configs.

        Args:
            bundle_root: folder of the bundle, if it is another one than the package's.
            configs: further configs of the bundle, such as "paper".
            given: options and entries, # between levels.
        """
        root = bundle_dir(self.bundle, bundle_root)
        names = (*self.configs, *(name for name in configs.split(",") if name))
        run_bundle(root, names, self.workflow_type, given)

    @property
    def __signature__(self) -> inspect.Signature:
        """The options as parameters, with the defaults of the configs."""
        kinds = {
            name: kind for each in self.options for name, kind in get_type_hints(each, include_extras=True).items()
        }
        defaults = _defaults(self.bundle, self.configs)
        keyword, place = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, place, annotation=kinds[name]) for name in self.needed]
        for name in sorted(kinds, key=lambda name: name not in self.further):
            if name not in self.needed:
                way = place if name in self.further else keyword
                parameters.append(inspect.Parameter(name, way, annotation=kinds[name], default=defaults.get(name)))
        own = (("bundle_root", str | None, None), ("configs", str, ""))
        parameters += [inspect.Parameter(name, keyword, annotation=kind, default=d) for name, kind, d in own]
        return inspect.Signature([*parameters, inspect.Parameter("entries", inspect.Parameter.VAR_KEYWORD)])

    @property
    def __doc__(self) -> str:
        """The summary with the arguments of all classes of options."""
        own = docstrings.parse(inspect.getdoc(type(self).__call__))
        parsed = [docstrings.parse(inspect.getdoc(each)) for each in self.options]
        lines = {arg.name: arg.description for each in (*parsed, own) for arg in each.args or () if arg.name != "given"}
        return f"{self.summary}\n\nArgs:\n" + "\n".join(f"    {name}: {text}" for name, text in lines.items())


def _defaults(bundle: str, configs: tuple[str, ...]) -> dict[str, Any]:
    parser = ConfigParser()
    parser.read_config([str(bundle_dir(bundle) / "configs" / f"{name}.json") for name in configs])
    return {name: _plain(value) for name, value in parser.config.items()}


def _plain(value: Any) -> Any:
    """A default as people read it; an expression of the config without its marks."""
    return value[1:].replace("@", "") if isinstance(value, str) and value.startswith("$") else value


reconstruct = BundleVerb(
    "Reconstructs L1 to L5 from two calibrated radiographs.",
    RECONSTRUCTION,
    ("inference",),
    (ReconstructionOptions, FilmOptions),
    ("ap_image", "lat_image", "calibration", "output_dir"),
)
volume = BundleVerb(
    "Reconstructs CT numbers and tissues of the lumbar spine, as a volume, from two calibrated radiographs.",
    RECONSTRUCTION,
    ("volume_inference",),
    (VolumeOptions,),
    ("ap_image", "lat_image", "calibration", "output_dir"),
)
own_vertebrae = BundleVerb(
    "Puts a subject's own vertebrae, from CT, where two radiographs show them, and writes a study with its truth.",
    RECONSTRUCTION,
    ("inference", "rigid"),
    (OwnVertebraeOptions, ReconstructionOptions),
    ("ap_image", "lat_image", "calibration", "output_dir"),
)
evaluate = BundleVerb(
    "Measures reconstructions of studies with known truth, and prints the error tables.",
    RECONSTRUCTION,
    ("inference", "evaluate"),
    (EvaluationOptions,),
    (),
    further=("dataset_dir", "output_dir"),
)
evaluate_measurements = BundleVerb(
    "Measures how good measurements and their intervals are on studies with known truth.",
    RECONSTRUCTION,
    ("inference", "evaluate_measurements"),
    (EvaluationOptions,),
    (),
    further=("dataset_dir", "output_dir"),
)
build_shape_model = BundleVerb(
    "Builds a shape model and an anatomy file from meshes or label maps.",
    RECONSTRUCTION,
    ("build_ssm",),
    (ShapeModelOptions,),
    ("data_dir", "output_dir"),
)
decompose = BundleVerb(
    "Shows what the network sees in single radiographs: the lumbar vertebrae alone, and their landmarks.",
    MULTITASK,
    ("inference",),
    (RadiographOptions,),
    (),
)
train = BundleVerb(
    "Trains the network on study folders; the same command again continues.",
    MULTITASK,
    ("train",),
    (TrainingOptions,),
    (),
    "train",
)
train_first_generation = BundleVerb(
    "Trains the former network on study folders; the same command again continues.",
    MULTITASK,
    ("first_generation_train",),
    (FirstTrainingOptions,),
    (),
    "train",
)
evaluate_first_generation = BundleVerb(
    "Evaluates the former network on sets of studies with known truth, and prints the paper's tables.",
    MULTITASK,
    ("first_generation_train", "first_generation_evaluate"),
    (FirstTrainingOptions,),
    (),
    "train",
)


def warm_up() -> None:
    """Reconstructs the sample study once, so that the next command finds all kernels compiled.

    Raises:
        InputError: if compiled code cannot be kept anywhere, or there is no sample study in the bundle.
    """
    kept = kept_in()
    if kept is None:
        raise InputError(
            "compiled code cannot be kept: neither the package's folder nor the user's cache can be written, and every command "
            "compiles for itself; expected NUMBA_CACHE_DIR to name a folder that can be written"
        )
    sample = bundle_dir(RECONSTRUCTION) / "sample"
    paths = {"ap_image": sample / "ap.png", "lat_image": sample / "lat.png", "calibration": sample / "calibration.json"}
    for path in paths.values():
        if not path.is_file():
            raise InputError(f"{path}: no such file, expected the sample study of the bundle")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="lumbar_ext-") as folder:
        given = {name: str(path) for name, path in paths.items()}
        run_bundle(Path(sample.parent), ("inference",), "infer", {**given, "output_dir": folder}, finalize=False)
    print(f"compiled and loaded in {time.perf_counter() - started:.0f} s, kept in {kept}")
