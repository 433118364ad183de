"""Two or more reconstructions of one person on one page: `lumbar-ext follow-up`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.geometry.rigid import fit_rigid
from lumbar_ext.io.atomic import staged_output, write_text
from lumbar_ext.io.json_document import read_document
from lumbar_ext.measurements.document import INTENDED_USE, SCHEMA, read_measurements
from lumbar_ext.measurements.follow_up import Change, changes
from lumbar_ext.mesh.files import read_mesh, read_stored_mesh
from lumbar_ext.mesh.rendering import ColouredMesh, render
from lumbar_ext.report.content import MISSING, UNITS, number_text, unit_decimals
from lumbar_ext.report.html import png_uri, template

_COLOURS = ((150, 158, 166), (0, 114, 178), (213, 94, 0), (0, 158, 115))
"""The first study grey, later ones in the palette of Okabe and Ito (2008), over again from the fifth."""

SAME_PERSON_MM = 2.0
"""Two people's vertebrae of one level differ by more: of 100 random pairs of the shipped shape model the closest by 1.9 mm,
95 by more than 2.5 mm; two reconstructions of one person, each 1 mm from the truth, differ by about 1.4 mm."""

_STILL_PX = (420, 620)  # columns and rows
_VIEWS = (("from the front", (1.0, 0.0, 0.0)), ("from the left", (0.0, 1.0, 0.0)))


def follow_up(first: str, second: str, output_dir: str, later: list | None = None) -> None:
    """Compares reconstructions of one person: writes `follow_up.html` and `follow_up.json`, prints what has changed.

    Args:
        first: output folder of the earliest study, which the others are compared with.
        second: of the next one.
        output_dir: folder to write.
        later: output folders of further studies, such as "['out/2025','out/2026']".

    Raises:
        InputError: for a folder that holds no reconstruction, or two without a common vertebra.
    """
    places = [Path(folder) for folder in (first, second, *(later or ()))]
    found = changes([read_measurements(place / "measurements.json") for place in places])
    sure, sentence = [change for change in found if any(change.sure)], _sentence(found)
    names, doubts = [str(place) for place in places], _doubts(places)
    level, pictures = _overlays(places)
    page = template("follow_up.html.j2").render(
        intended_use=INTENDED_USE,
        names=names,
        colours=["rgb({},{},{})".format(*_colour(index)) for index in range(len(names))],
        sentence=sentence,
        doubts=doubts,
        sure=[_row(change) for change in sure],
        rest=[_row(change) for change in found if change not in sure],
        level=level,
        pictures=[(caption, png_uri(picture)) for caption, picture in pictures],
    )
    document = {
        "studies": names,
        "summary": sentence,
        "doubts": doubts,
        "changes": [{**asdict(change), "unit": change.unit, "sure": change.sure} for change in found],
    }
    with staged_output(output_dir) as staging:
        write_text(staging / "follow_up.html", page)
        write_text(staging / "follow_up.json", json.dumps(document, indent=1) + "\n")
    for line in (*doubts, sentence):
        print(line)
    for row in map(_row, sure):
        print(f"{row['subject']} {row['title']}: {', '.join(row['differences'])} {row['unit']}".rstrip())
    print(f"page: {Path(output_dir) / 'follow_up.html'}")


def _doubts(places: list[Path]) -> list[str]:
    """Later studies whose vertebrae have other shapes than the first one's."""
    doubts = []
    for place in places[1:]:
        differences = [
            difference for level in LEVELS if (difference := _shape_difference_mm(places[0], place, level)) is not None
        ]
        if differences and np.median(differences) > SAME_PERSON_MM:
            doubts.append(
                f"{place}: its vertebrae differ in shape from those of {places[0]} by {np.median(differences):.1f} mm on "
                f"average, more than {SAME_PERSON_MM:.0f} mm: are these studies of one person?"
            )
    return doubts


def _shape_difference_mm(first: Path, second: Path, level: str) -> float | None:
    """Mean distance of corresponding vertices after a rigid fit; None where the meshes have no correspondence."""
    files = [place / f"{level}.ply" for place in (first, second)]
    if not all(file.is_file() for file in files):
        return None
    (one, triangles), (other, others) = (read_stored_mesh(file) for file in files)
    if not np.array_equal(triangles, others):
        return None
    return float(np.linalg.norm(fit_rigid(one, other).apply(one) - other, axis=1).mean())


def _sentence(found: tuple[Change, ...]) -> str:
    """What has changed, in words."""
    sure = sum(any(change.sure) for change in found)
    compared = sum(any(own is not None for own in change.sure) for change in found)
    if compared == 0:
        return "No value can be compared: none has an uncertainty in both studies."
    if sure == 0:
        return f"No change beyond measurement error in any of {compared} values."
    by_chance = round(0.1 * compared)
    return (
        f"{sure} of {compared} values changed by more than their 90 % interval; about {by_chance} of {compared} would do so "
        "by chance alone."
    )


def _row(change: Change) -> dict[str, Any]:
    decimals = unit_decimals(change.unit)
    differences = [
        MISSING if difference is None else _signed(difference, half, decimals)
        for difference, half in zip(change.differences, change.half_widths, strict=True)
    ]
    return {
        "subject": change.subject,
        "title": change.title,
        "unit": UNITS[change.unit],
        "values": [MISSING if value is None else number_text(value, decimals) for value in change.values],
        "differences": differences,
        "sure": change.sure,
    }


def _signed(difference: float, half: float | None, decimals: int) -> str:
    text = number_text(difference, decimals)
    text = f"+{text}" if difference > 0 and float(f"{difference:.{decimals}f}") else text
    return text if half is None else f"{text} ± {half:.{decimals}f}"


def _colour(index: int) -> tuple[int, int, int]:
    return _COLOURS[index] if index < len(_COLOURS) else _COLOURS[1 + (index - 1) % (len(_COLOURS) - 1)]


def _overlays(places: list[Path]) -> tuple[str, list[tuple[str, np.ndarray]]]:
    """The lowest level that all studies have, and pictures of all meshes laid upon each other at that level."""
    poses = [_poses(place) for place in places]
    common = [level for level in LEVELS if all(level in own for own in poses)]
    if not common:
        raise InputError(f"{places[0]}: has no vertebra in common with the other studies, expected at least one")
    anchor = common[-1]
    meshes = []
    for index, (place, own) in enumerate(zip(places, poses, strict=True)):
        first_from_this = poses[0][anchor] @ own[anchor].inverse()
        for level in own:
            vertices, triangles = read_mesh(place / f"{level}.stl")
            colours = np.broadcast_to(_colour(index), vertices.shape).astype(float)
            meshes.append(ColouredMesh(first_from_this.apply(vertices), triangles, colours))
    up = np.array([0.0, 0.0, 1.0])
    return anchor, [(caption, render(meshes, towards, up, _STILL_PX)) for caption, towards in _VIEWS]


def _poses(place: Path) -> dict[str, RigidTransform]:
    """By level, the pose of the vertebrae that were found."""
    vertebrae = read_document(place / "measurements.json", SCHEMA)["vertebrae"]
    matrices = {level: own["world_from_vertebra"] for level, own in vertebrae.items()}
    return {level: _rigid(np.array(matrix)) for level, matrix in matrices.items() if matrix is not None}


def _rigid(matrix: np.ndarray) -> RigidTransform:
    """A stored pose [4, 4], whose decimals are few, with its rotation made orthonormal again."""
    return RigidTransform(Rotation.from_matrix(matrix[:3, :3]).as_matrix(), matrix[:3, 3])
