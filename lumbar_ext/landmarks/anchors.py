"""`truth/anchors.json`: where T12, a sixth lumbar vertebra and S1 of a simulated study are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import S1_LANDMARKS
from lumbar_ext.errors import InputError


@dataclass(frozen=True)
class TrueAnchors:
    """Positions in the world frame, mm; NaN where unknown.

    Args:
        t12_centre_mm: [3], mean of both endplate centres.
        l6_centre_mm: [3]; NaN where the person has no sixth lumbar vertebra.
        s1_mm: [5, 3], `anatomy.S1_LANDMARKS`.
    """

    t12_centre_mm: np.ndarray
    l6_centre_mm: np.ndarray
    s1_mm: np.ndarray


def read_anchors(path: str | Path) -> TrueAnchors | None:
    """Reads `anchors.json`; None where there is no such file.

    Raises:
        InputError: when it is not the JSON that is expected.
    """
    path = Path(path)
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        s1 = document.get("S1") or {}
        return TrueAnchors(
            t12_centre_mm=_point(document.get("T12") or {}, "centre_mm"),
            l6_centre_mm=_point(document.get("L6") or {}, "centre_mm"),
            s1_mm=np.stack([_point(s1, f"{name}_mm") for name in S1_LANDMARKS]),
        )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: expected positions of T12, L6 and S1 in mm ({error})") from error


def _point(entry: Mapping[str, Any], name: str) -> np.ndarray:
    value = entry.get(name)
    if value is None:
        return np.full(3, np.nan)
    point = np.array(value, float)
    if point.shape != (3,):
        raise ValueError(f"{name}: three numbers, found {value}")
    return point
