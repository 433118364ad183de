"""First passes displaced on purpose: does the second look put them right, say that they do not fit, or believe them?

python -m monai.bundle run --config_file "['configs/inference.json','configs/evaluate.json','configs/evaluate_displaced.json']"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.inferers import Inferer
from torch import nn

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.surfaces.measured_study import prepare_comparison
from lumbar_ext.evaluation.surfaces.surface_error import SurfaceError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.register import RegistrationInput, register
from lumbar_ext.registration.result import RegistrationResult, VertebraFit
from lumbar_ext.workflow.second_look import LookInput, SecondLook

RIGHT_SURFACE_MM = 2.0
"""A vertebra is right if its mean vertex to surface distance is below this."""


@dataclass(frozen=True)
class FirstPass:
    """A first pass and what it had been given."""

    inputs: LookInput
    result: RegistrationResult


def undisturbed(first: FirstPass, rng: np.random.Generator) -> FirstPass:
    """The first pass as it is: the control among the displaced ones."""
    return first


def spine_shifted(first: FirstPass, rng: np.random.Generator, distance_mm: float = 10.0) -> FirstPass:
    """All vertebrae and their landmarks 10 mm away, in a direction drawn at random."""
    return _shifted(first, first.result.levels, distance_mm * _direction(rng))


def vertebra_shifted(first: FirstPass, rng: np.random.Generator, distance_mm: float = 10.0) -> FirstPass:
    """One vertebra and its landmarks 10 mm away."""
    return _shifted(first, (str(rng.choice(first.result.levels)),), distance_mm * _direction(rng))


def vertebra_lost(first: FirstPass, rng: np.random.Generator) -> FirstPass:
    """A vertebra drawn at random is taken out of the first pass, as if it had not been found."""
    lost = str(rng.choice(first.result.levels))
    return _with(first, {level: fit for level, fit in first.result.vertebrae.items() if level != lost})


def a_level_too_high(first: FirstPass, rng: np.random.Generator) -> FirstPass:
    """L2 is taken for L1, L3 for L2 and so on, in both views; what is L1 was not found."""
    return _renamed(first, -1)


def a_level_too_low(first: FirstPass, rng: np.random.Generator) -> FirstPass:
    """L1 is taken for L2 and so on, in both views; what is L5 was not found."""
    return _renamed(first, 1)


DISPLACEMENTS: dict[str, Callable[[FirstPass, np.random.Generator], FirstPass]] = {
    "as it is": undisturbed,
    "spine 10 mm off": spine_shifted,
    "one vertebra 10 mm off": vertebra_shifted,
    "one vertebra lost": vertebra_lost,
    "named a level too high": a_level_too_high,
    "named a level too low": a_level_too_low,
}
"""By name, what is done to a first pass."""


def prepare_displaced(batch: dict[str, Any], *args: Any, **kwargs: Any) -> tuple:
    """What `LookAtDisplaced` is given, the name of the study with it; for `prepare_batch`."""
    return *prepare_comparison(batch), (), {"study": Path(batch["truth_dir"]).parent.name}


class LookAtDisplaced(Inferer):
    """Registers one study, displaces the result in several ways, and looks again at each.

    Args:
        config: of the registrations.
        second_look: how is looked.
        kinds: names of `DISPLACEMENTS`.
        max_seconds: limit of each search, none when null.
        seed: of the random choices; each study draws its own by its name.

    Raises:
        InputError: for an unknown kind.
    """

    def __init__(
        self,
        config: RegistrationConfig,
        second_look: SecondLook,
        kinds: Sequence[str] = tuple(DISPLACEMENTS),
        max_seconds: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        unknown = set(kinds) - set(DISPLACEMENTS)
        if unknown:
            raise InputError(f"kinds: expected some of {tuple(DISPLACEMENTS)}, found {sorted(unknown)}")
        self.config, self.second_look, self.kinds, self.max_seconds = config, second_look, tuple(kinds), max_seconds
        self.seed = seed

    def __call__(
        self, inputs: LookInput | RegistrationInput | None, network: nn.Module, *args: Any, study: str = "", **_: Any
    ) -> dict[str, RegistrationResult | None]:
        """The result of each kind; none where the study could not be used or is not one of radiographs."""
        if not isinstance(inputs, LookInput):
            return dict.fromkeys(self.kinds)
        rng = np.random.default_rng([self.seed, *study.encode()])
        first = FirstPass(inputs, register(inputs.registration, network, self.config, max_seconds=self.max_seconds))
        results = {}
        for kind in self.kinds:
            shown = DISPLACEMENTS[kind](first, rng)
            *_, results[kind] = self.second_look.passes(shown.inputs, network, self.config, shown.result)
        return results


class DisplacedTable:
    """Counts how the vertebrae of all studies ended after each displacement, and prints a Markdown table."""

    reads = ("surface_errors",)

    def __init__(self) -> None:
        self.errors: list[SurfaceError] = []

    def add(self, study: Mapping[str, Any]) -> None:
        """Takes in the errors of a study."""
        self.errors += study["surface_errors"]

    def finish(self) -> None:
        """Prints the table."""
        print(self.table(), flush=True)

    def table(self) -> str:
        """One row a kind; `right` is below `RIGHT_SURFACE_MM`."""
        header = (
            "first pass",
            "right",
            "right, but warned of",
            "wrong, warned of",
            "wrong, not warned of",
            "not found",
        )
        rows = [header, ("---",) * len(header)]
        for kind in dict.fromkeys(error.method for error in self.errors):
            own = [error for error in self.errors if error.method == kind]
            rows.append((kind, *(str(count) for count in outcome_counts(own))))
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def outcome_counts(errors: Sequence[SurfaceError]) -> tuple[int, int, int, int, int]:
    """Vertebrae that ended right, right but warned of, wrong and warned of, wrong and not warned of, and not found."""
    found = [error for error in errors if not error.missing]
    counts = [
        sum((error.mean_mm < RIGHT_SURFACE_MM) == right and error.flagged == flagged for error in found)
        for right, flagged in ((True, False), (True, True), (False, True), (False, False))
    ]
    return (*counts, len(errors) - len(found))


def _direction(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def _shifted(first: FirstPass, levels: Sequence[str], offset_mm: np.ndarray) -> FirstPass:
    move = RigidTransform(np.eye(3), offset_mm)
    fits = {
        level: _moved(fit, level, move) if level in levels else fit for level, fit in first.result.vertebrae.items()
    }
    return _with(first, fits, {level: (level, offset_mm if level in levels else np.zeros(3)) for level in fits})


def _moved(fit: VertebraFit, level: str, move: RigidTransform) -> VertebraFit:
    return replace(
        fit,
        level=level,
        vertices_mm=move.apply(fit.vertices_mm),
        world_from_vertebra=move @ fit.world_from_vertebra,
        warnings=(),
    )


def _renamed(first: FirstPass, step: int) -> FirstPass:
    """Every vertebra under the name of the one `step` levels below it."""
    still, fits, sources = RigidTransform.identity(), {}, {}
    for old, fit in first.result.vertebrae.items():
        place = LEVELS.index(old) + step
        if 0 <= place < len(LEVELS):
            fits[LEVELS[place]] = _moved(fit, LEVELS[place], still)
            sources[LEVELS[place]] = (old, np.zeros(3))
    return _with(first, fits, sources)


def _with(
    first: FirstPass,
    fits: Mapping[str, VertebraFit],
    sources: Mapping[str, tuple[str, np.ndarray]] | None = None,
) -> FirstPass:
    """A first pass of these vertebrae; `sources` tells whose landmarks each has now, and how far they were moved."""
    ordered = {level: fits[level] for level in LEVELS if level in fits}
    sources = sources or {level: (level, np.zeros(3)) for level in ordered}
    registration = first.inputs.registration
    landmarks = {}
    for view in VIEWS:
        camera, before = registration.geometry[view], registration.landmarks[view]
        points = registration.landmarks3d.positions_mm
        positions, confidence = np.full_like(before.positions_px, np.nan), np.zeros_like(before.confidence)
        for level, (source, offset_mm) in sources.items():
            i, j = LEVELS.index(level), LEVELS.index(source)
            shift = camera.project(points[j] + offset_mm) - camera.project(points[j])
            positions[i] = before.positions_px[j] + np.nan_to_num(shift)
            confidence[i] = before.confidence[j]
        landmarks[view] = replace(before, positions_px=positions, confidence=confidence)
    located = triangulate_landmarks(registration.geometry, landmarks)
    inputs = replace(first.inputs, registration=replace(registration, landmarks=landmarks, landmarks3d=located))
    return FirstPass(inputs, replace(first.result, vertebrae=ordered, warnings=(), looks=()))
