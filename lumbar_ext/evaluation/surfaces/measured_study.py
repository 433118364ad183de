"""The steps of an evaluation: observe a study in one of several ways, register it by several methods, measure all."""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.inferers import Inferer
from monai.transforms import Transform
from PIL import Image
from torch import nn

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.surfaces.error_map import ErrorMap
from lumbar_ext.evaluation.surfaces.regions import vertex_regions
from lumbar_ext.evaluation.surfaces.surface_error import CONTACT_FIELDS, SurfaceError, surface_error
from lumbar_ext.evaluation.surfaces.surface_tables import error_tables
from lumbar_ext.evaluation.truth import true_surfaces
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.register import RegistrationInput, register
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.report.overlay import draw_overlay
from lumbar_ext.workflow.error_reporting import input_error_behind
from lumbar_ext.workflow.second_look import LookInput, SecondLook, prepare_looks
from lumbar_ext.workflow.stages import prepare_registration


class Attempt(Transform):
    """Runs the stages before the registration; a study that cannot be used is an outcome, not the end.

    Args:
        read: reads the study.
        observers: by kind of input (the `inputs` of a study's dictionary), what sees its vertebrae.
        locate: finds the landmarks in space.
    """

    def __init__(self, read: Transform, observers: Mapping[str, Transform], locate: Transform) -> None:
        self.stages = {name: (read, observe, locate) for name, observe in observers.items()}

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds what the stages add, or `failure`, the message of their InputError."""
        attempted = data
        try:
            for stage in self.stages[data["inputs"]]:
                attempted = stage(attempted)
            return dict(attempted)
        except Exception as error:
            cause = input_error_behind(error)
            if cause is None:
                raise
            return {**data, "failure": str(cause)}


LOOKED_AT = "radiographs"
"""The kind of input that second looks are taken at: true decompositions would only be replaced by a network's."""


def prepare_comparison(
    batch: dict[str, Any], *args: Any, **kwargs: Any
) -> tuple[RegistrationInput | LookInput | None, None]:
    """What the registrations of an attempted study are given, None where it failed; for `prepare_batch`."""
    if "failure" in batch:
        return None, None
    return prepare_looks(batch) if batch["inputs"] == LOOKED_AT else prepare_registration(batch)


class CompareRegistrations(Inferer):
    """Registers one study by several methods.

    Args:
        methods: by name.
        chosen: names of those to compare, all by default.
        max_seconds: limit of each search, none when null.
        second_look: how second looks are taken after each method; None for none.
    """

    def __init__(
        self,
        methods: Mapping[str, RegistrationConfig],
        chosen: Sequence[str] | None = None,
        max_seconds: float | None = None,
        second_look: SecondLook | None = None,
    ) -> None:
        super().__init__()
        unknown = set(chosen or ()) - set(methods)
        if unknown:
            raise InputError(f"methods: expected some of {', '.join(methods)}, found {', '.join(sorted(unknown))}")
        self.methods = {name: methods[name] for name in chosen or methods}
        self.max_seconds = max_seconds
        self.second_look = second_look

    def __call__(
        self, inputs: RegistrationInput | LookInput | None, network: nn.Module, *args: Any, **kwargs: Any
    ) -> dict[str, RegistrationResult | None]:
        """The result of each method, and under `name, k looks` after each second look, of which one that ended early
        repeats its last; None where the study or the method could not be used.
        """
        results = {}
        for name, config in self.methods.items():
            results |= dict(zip(self._names(name, inputs), self._passes(inputs, network, config), strict=True))
        return results

    def _names(self, name: str, inputs: RegistrationInput | LookInput | None) -> list[str]:
        looks = int(self.second_look.looks) if isinstance(inputs, LookInput) and self.second_look is not None else 0
        return [name, *(f"{name}, {k} look{'s' if k > 1 else ''}" for k in range(1, looks + 1))]

    def _passes(
        self, inputs: RegistrationInput | LookInput | None, network: nn.Module, config: RegistrationConfig
    ) -> list[RegistrationResult | None]:
        if inputs is None:
            return [None]
        registration = inputs.registration if isinstance(inputs, LookInput) else inputs
        count = len(self._names("", inputs))
        try:
            first = register(registration, network, config, max_seconds=self.max_seconds)
        except InputError as error:
            print(f"a study counts as not found: {error}", file=sys.stderr)
            return [None] * count
        if count == 1:
            return [first]
        passes = list(self.second_look.passes(inputs, network, config, first, self.max_seconds))
        return passes + passes[-1:] * (count - len(passes))


class MeasureSurfaceErrors(Transform):
    """Adds `surface_errors` of all true levels for each method; by method and level the distance of every vertex,
    `vertex_errors_mm`; by method the vertices of its meshes by level, `meshes_mm`.

    Args:
        shape_model: the shape model, whose triangles the meshes have.
    """

    def __init__(self, shape_model: nn.Module) -> None:
        self._triangles = shape_model.triangles.cpu().numpy()
        landmarks = shape_model.landmarks(shape_model.mean).cpu().numpy()
        means = shape_model.mean.cpu().numpy()
        self._regions = [vertex_regions(mean, points) for mean, points in zip(means, landmarks, strict=True)]

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Measures every vertebra of every method; one that was not found has no numbers."""
        truth = true_surfaces(data["truth_dir"])
        study = Path(data["truth_dir"]).parent.name
        errors, vertices = [], {}
        for method, result in data["pred"].items():
            for index, level in enumerate(LEVELS):
                if level not in truth:
                    continue
                error = SurfaceError(study, data["inputs"], method, level, set_name=data.get("set_name", ""))
                fit = None if result is None else result.vertebrae.get(level)
                if fit is not None:
                    found = surface_error(Surface(fit.vertices_mm, self._triangles), truth[level], self._regions[index])
                    vertices[method, level] = found.forward_mm
                    contacts = {field: getattr(fit, field) for field in CONTACT_FIELDS}
                    flagged = bool(fit.warnings)
                    error = replace(error, **found.numbers, **contacts, seconds=result.seconds, flagged=flagged)
                errors.append(error)
        meshes = {
            method: {level: fit.vertices_mm for level, fit in result.vertebrae.items()}
            for method, result in data["pred"].items()
            if result is not None
        }
        return {**data, "surface_errors": errors, "vertex_errors_mm": vertices, "meshes_mm": meshes}


class SurfaceReport:
    """Gathers the errors of all studies; at the end prints the tables, writes them, all rows and a picture.

    Args:
        output_dir: gets `tables.md`, `surface_errors.csv`, `error_distribution_*.png`, and `overlay_*.png` of the first
            study's radiographs with the outlines of each method.
        shape_model: the shape model, on whose mean the errors are shown.
    """

    reads = ("truth_dir", "set_name", "inputs", "study", "failure", "meshes_mm", "surface_errors", "vertex_errors_mm")

    def __init__(self, output_dir: str | Path, shape_model: nn.Module) -> None:
        self.output_dir = Path(output_dir)
        self.errors: list[SurfaceError] = []
        self._triangles = shape_model.triangles.cpu().numpy()
        self._maps: dict[tuple[str, str, str], ErrorMap] = defaultdict(partial(ErrorMap, shape_model))
        self._overlays: dict[str, Image.Image] = {}

    def add(self, study: Mapping[str, Any]) -> None:
        """Takes in what is known of a study; of the first one with a result, its overlays are drawn."""
        self.errors += study["surface_errors"]
        if "failure" in study:
            name = Path(study["truth_dir"]).parent.name
            print(f"{study['failure']}; the vertebrae of {name} count as missing", file=sys.stderr)
        for method, meshes_mm in study["meshes_mm"].items():
            if (*_group(study), method) not in self._maps:
                self._draw_overlays(study, method, meshes_mm)
        for (method, level), distances in study["vertex_errors_mm"].items():
            self._maps[*_group(study), method].add(level, distances)

    def _draw_overlays(self, study: Mapping[str, Any], method: str, meshes_mm: Mapping[str, np.ndarray]) -> None:
        for view in VIEWS:
            radiograph, camera = study["study"][view].pixels, study["study"].geometry[view]
            picture = draw_overlay(radiograph, camera, meshes_mm, self._triangles)
            self._overlays[f"overlay_{_file_name(*_group(study), method)}_{view}.png"] = picture

    def finish(self) -> None:
        """Writes all files and prints the tables."""
        text = error_tables(self.errors)
        with staged_output(self.output_dir, owned=("overlay_*.png", "error_distribution_*.png")) as staging:
            with (staging / "surface_errors.csv").open("w", newline="", encoding="utf-8") as file:
                rows = csv.DictWriter(file, [field.name for field in fields(SurfaceError)])
                rows.writeheader()
                rows.writerows(asdict(error) for error in self.errors)
            (staging / "tables.md").write_text(text + "\n", encoding="utf-8")
            for (name, inputs, method), own in self._maps.items():
                picture = own.draw(", ".join(filter(None, (method, inputs, name))))
                picture.save(staging / f"error_distribution_{_file_name(name, inputs, method)}.png")
            for file_name, overlay in self._overlays.items():
                overlay.save(staging / file_name)
        print(text, file=sys.stdout, flush=True)


def _group(study: Mapping[str, Any]) -> tuple[str, str]:
    """The set that a study belongs to, and what the registration is given."""
    return study.get("set_name", ""), study["inputs"]


def _file_name(*names: str) -> str:
    return "_".join(re.sub(r"[^\w.-]+", " ", " ".join(names)).split())
