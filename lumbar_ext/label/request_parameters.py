"""Parameters of requests: only known names, of the right type and range, ever reach a config or a path.

MONAI evaluates config values that begin with `$`, so nothing of a request may be handed over as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.radiograph import Polarity

_POLARITIES = ("unknown", "bone_bright", "bone_dark")


@dataclass(frozen=True)
class ViewParameters:
    """What a request says about one radiograph.

    Args:
        view: "ap", "lat" or None for what name and header tell.
        pixel_spacing_mm: on the detector, for files that do not state it, or None.
        polarity: "bone_bright" or "bone_dark" overrides tags and looks.
    """

    view: str | None = None
    pixel_spacing_mm: float | None = None
    polarity: Polarity = "unknown"

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> ViewParameters:
        """The parameters of a request.

        Raises:
            InputError: if one is wrong.
        """
        view = request.get("view")
        if view not in (None, "", *VIEWS):
            raise InputError(f"view is {view!r}, expected one of {VIEWS}")
        polarity = request.get("polarity") or "unknown"
        if polarity not in _POLARITIES:
            raise InputError(f"polarity is {polarity!r}, expected one of {_POLARITIES}")
        spacing = request.get("pixel_spacing_mm") or None
        if spacing is not None:
            spacing = number("pixel_spacing_mm", spacing, 0.01, 5.0)
        return cls(view or None, spacing, polarity)


@dataclass(frozen=True)
class TrainingParameters:
    """What a request says about training.

    Args:
        max_epochs: passes over the labelled views.
        learning_rate: of AdamW.
        batch_size: views a step.
    """

    max_epochs: int = 10
    learning_rate: float = 1e-4
    batch_size: int = 4

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> TrainingParameters:
        """The parameters of a request.

        Raises:
            InputError: if one is wrong.
        """
        return cls(
            int(number("max_epochs", request.get("max_epochs", cls.max_epochs), 1, 1000)),
            number("learning_rate", request.get("learning_rate", cls.learning_rate), 1e-7, 1e-2),
            int(number("batch_size", request.get("batch_size", cls.batch_size), 1, 64)),
        )


def one_of(name: str, value: Any, choices: Collection[str]) -> str:
    """A choice of a request.

    Raises:
        InputError: if it is none of the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    """A number of a request; text as Slicer's option table sends it counts.

    Raises:
        InputError: if it is no number from `low` to `high`.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if isinstance(value, bool) or not low <= found <= high:
        raise InputError(f"{name} is {value!r}, expected a number from {low:g} to {high:g}")
    return found
