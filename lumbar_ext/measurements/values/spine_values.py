"""All values of a spine, as numbers: what can be had, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.measurements.marks.vertebra_marks import NotMeasurableError, VertebraMarks, mark_vertebra
from lumbar_ext.measurements.values.coronal_curve import coronal_curve
from lumbar_ext.measurements.values.definitions import DEFINITIONS, Spine, subject_name
from lumbar_ext.measurements.values.lumbar_alignment import cobb
from lumbar_ext.measurements.values.sacral_alignment import apex

Key = tuple[str, str]
"""(subject, definition id), such as ("L3-L4", "disc_angle")."""


@dataclass(frozen=True)
class Mesh:
    """A vertebra to be measured.

    Args:
        vertices_mm: [V, 3] world mm.
        triangles: [M, 3], counter-clockwise seen from outside.
        landmarks_mm: [7, 3] world mm.
    """

    vertices_mm: np.ndarray
    triangles: np.ndarray
    landmarks_mm: np.ndarray


@dataclass(frozen=True)
class Values:
    """Measured values.

    Args:
        found: by key, arrays of equal shape: scalars for one spine, [S] for samples of it.
        reasons: for the other keys, why there is no value.
        remarks: for some keys, what belongs to the value, such as the end vertebrae of a curve.
    """

    found: dict[Key, np.ndarray]
    reasons: dict[Key, str]
    remarks: dict[Key, str] = field(default_factory=dict)


def mark_spine(meshes: Mapping[str, Mesh]) -> tuple[dict[str, VertebraMarks], dict[str, str]]:
    """Marks every vertebra; those whose mesh cannot be marked are returned with the reason.

    Raises:
        InputError: for a level that is not one of L1 to L5.
    """
    unknown = sorted(set(meshes) - set(LEVELS))
    if unknown:
        raise InputError(f"meshes: {', '.join(unknown)} is no lumbar level, expected {', '.join(LEVELS)}")
    marks: dict[str, VertebraMarks] = {}
    broken: dict[str, str] = {}
    for level, mesh in meshes.items():
        try:
            marks[level] = mark_vertebra(mesh.vertices_mm, mesh.triangles, mesh.landmarks_mm)
        except InputError as error:
            broken[level] = str(error)
    return marks, broken


def measure_spine(spine: Spine, broken: Mapping[str, str] | None = None) -> Values:
    """Every value of `definitions.DEFINITIONS` on marked vertebrae.

    Args:
        spine: by level, beside L1 to L5 T12, L6 and S1 as far as they were located; missing ones are left out.
        broken: for missing levels, why; "L4 is missing" by default.
    """
    found: dict[Key, np.ndarray] = {}
    reasons: dict[Key, str] = {}
    for definition in DEFINITIONS:
        for levels in definition.subjects:
            key = (subject_name(levels), definition.id)
            try:
                value = definition.measure(spine, levels)
            except NotMeasurableError as error:
                reasons[key] = _explained(str(error), broken or {})
                continue
            if np.isfinite(value).all():
                found[key] = np.asarray(value, dtype=np.float64)
            else:
                reasons[key] = "the marks are degenerate"
    return Values(found, reasons, _remarks(spine, found))


def _remarks(spine: Spine, found: Mapping[Key, np.ndarray]) -> dict[Key, str]:
    remarks = {}
    curve_key = (subject_name(LEVELS), "cobb")
    if curve_key in found:
        curve = cobb(spine)
        side = "left" if np.mean(curve.angle_deg) > 0 else "right"
        remarks[curve_key] = f"{curve.upper}-{curve.lower}, convex to the {side}"
    for name, axis in (("lordosis_apex_offset", "front"), ("apical_translation", "left")):
        if ("L1-S1", name) in found:
            remarks["L1-S1", name] = f"apex {apex(spine, axis).name}"
    if (subject_name(LEVELS), "apical_rotation") in found:
        remarks[subject_name(LEVELS), "apical_rotation"] = f"apex {coronal_curve(spine).apex}"
    return remarks


def _explained(reason: str, broken: Mapping[str, str]) -> str:
    """A missing level's reason with what was wrong with its mesh."""
    level = reason.removesuffix(" is missing")
    return f"{level}: {broken[level]}" if level in broken else reason
