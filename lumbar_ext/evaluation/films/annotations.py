"""Films of a folder and what was marked in them: boxes or corners of vertebrae, with or without level names.

A folder holds image files, itself or in `images/`, and one JSON file of marks in one of three forms:

1. films: `{"FILM": {"view": "lat", "pixel_spacing_mm": 0.143, "vertebrae": [{"level": "L1", "corners_px": [[u, v], ...]}]}}`;
   `view` (ap), `pixel_spacing_mm` and `level` may be left out;
2. polygons: `{"FILM": [[[u, v], ...], ...]}`, vertebrae without names, in any order;
3. COCO: `images`, `annotations` (`bbox` or `segmentation`) and `categories`, whose names count as levels where they are levels.

FILM is a file name with or without its extension. Pixels are (u, v) of the file, the centre of pixel (0, 0) at the origin.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError

MARKS_FILE = "films.json"
# Neighbouring lumbar body centres lie about 35 mm apart, and standing films magnify by about 1.15: without a pixel
# spacing, the film's scale is taken from its own marks.
LEVEL_DISTANCE_MM = 35.0
MAGNIFICATION = 1.15
_IMAGE_FOLDERS = ("", "images")


@dataclass(frozen=True)
class FilmVertebra:
    """One vertebra that somebody marked.

    Args:
        corners_px: [n, 2] (u, v) of the body's outline or box, n >= 2.
        level: its name, None if nobody named it.
    """

    corners_px: np.ndarray
    level: str | None = None

    @property
    def centre_px(self) -> np.ndarray:
        """[2] (u, v), the mean of the corners."""
        return self.corners_px.mean(axis=0)

    @property
    def endplate_centres_px(self) -> np.ndarray | None:
        """[2, 2] midpoints of the two upper and the two lower of four corners (v grows downwards), else None."""
        if len(self.corners_px) != 4:
            return None
        downwards = self.corners_px[np.argsort(self.corners_px[:, 1])]
        return np.stack([downwards[:2].mean(axis=0), downwards[2:].mean(axis=0)])


@dataclass(frozen=True)
class MarkedFilm:
    """One film.

    Args:
        path: the image.
        view: "ap" or "lat".
        vertebrae: what was marked, from top to bottom.
        pixel_spacing_mm: (du, dv) on the detector, None if unknown.
    """

    path: Path
    view: str
    vertebrae: tuple[FilmVertebra, ...]
    pixel_spacing_mm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise InputError(f"{self.path}: view is {self.view!r}, expected one of {VIEWS}")
        if len(self.vertebrae) < 2:
            raise InputError(f"{self.path}: {len(self.vertebrae)} vertebrae are marked, expected two at least")

    @property
    def named(self) -> bool:
        """Whether the marks say which lumbar vertebra is which."""
        return any(vertebra.level in LEVELS for vertebra in self.vertebrae)

    @property
    def lumbar_places(self) -> tuple[int, ...]:
        """Which of `vertebrae` are L1 to L5; without names, the five lowest."""
        if self.named:
            return tuple(place for place, vertebra in enumerate(self.vertebrae) if vertebra.level in LEVELS)
        return tuple(range(len(self.vertebrae)))[-len(LEVELS) :]

    @property
    def lumbar_centre_px(self) -> np.ndarray:
        """[2] mean of the lumbar vertebrae's centres."""
        return np.mean([self.vertebrae[place].centre_px for place in self.lumbar_places], axis=0)

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """The spacing that is known, or one that gives the lumbar vertebrae their usual distance on the detector."""
        if self.pixel_spacing_mm is not None:
            return self.pixel_spacing_mm
        places = self.lumbar_places if len(self.lumbar_places) > 1 else range(len(self.vertebrae))
        centres = np.stack([self.vertebrae[place].centre_px for place in places])
        distance_px = np.linalg.norm(np.diff(centres, axis=0), axis=1).mean()
        spacing = float(LEVEL_DISTANCE_MM * MAGNIFICATION / distance_px)
        return spacing, spacing


def read_films(folder: str | Path, marks: str | Path | None = None, view: str = "ap") -> list[MarkedFilm]:
    """The films of a folder, sorted by name.

    Args:
        folder: where the images lie, in it or in its `images/`.
        marks: the JSON file of marks; None takes `films.json`, or the only JSON file of the folder.
        view: of films whose marks do not say.

    Raises:
        InputError: if a file is missing, is not one of the three forms, or names a film that is not there.
    """
    folder = Path(folder)
    path = Path(marks) if marks is not None else _marks_file(folder)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, expected the marks of the films in {folder}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(document, dict) or not document:
        raise InputError(f"{path}: expected an object with one entry a film, found {type(document).__name__}")
    entries = _from_coco(path, document) if {"images", "annotations"} <= document.keys() else document
    return [_film(folder, path, name, entries[name], view) for name in sorted(entries)]


def _marks_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected films with a file of marks")
    if (folder / MARKS_FILE).is_file():
        return folder / MARKS_FILE
    found = sorted(folder.glob("*.json"))
    if len(found) != 1:
        raise InputError(f"{folder}: expected {MARKS_FILE} or one JSON file of marks, found {[f.name for f in found]}")
    return found[0]


def _film(folder: Path, marks: Path, name: str, entry: Any, view: str) -> MarkedFilm:
    entry = entry if isinstance(entry, Mapping) else {"vertebrae": entry}
    unknown = sorted(set(entry) - {"view", "pixel_spacing_mm", "vertebrae"})
    if unknown or not isinstance(entry.get("vertebrae"), list):
        raise InputError(f"{marks}: {name}: expected vertebrae, view and pixel_spacing_mm, found {sorted(entry)}")
    vertebrae = [_vertebra(marks, name, vertebra) for vertebra in entry["vertebrae"]]
    vertebrae.sort(key=lambda vertebra: vertebra.centre_px[1])
    return MarkedFilm(
        _image(folder, marks, name),
        entry.get("view", view),
        tuple(vertebrae),
        _spacing(marks, name, entry.get("pixel_spacing_mm")),
    )


def _vertebra(marks: Path, film: str, entry: Any) -> FilmVertebra:
    corners, level = (entry.get("corners_px"), entry.get("level")) if isinstance(entry, Mapping) else (entry, None)
    try:
        corners_px = np.array(corners, dtype=float)
    except (TypeError, ValueError):
        corners_px = np.empty(0)
    if corners_px.ndim != 2 or corners_px.shape[1:] != (2,) or len(corners_px) < 2 or not np.isfinite(corners_px).all():
        raise InputError(f"{marks}: {film}: expected a vertebra's corners as [[u, v], ...], found {entry!r:.120}")
    if level is not None and not isinstance(level, str):
        raise InputError(f"{marks}: {film}: level is {level!r}, expected a name such as L1")
    return FilmVertebra(corners_px, level)


def _spacing(marks: Path, film: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        pair = np.broadcast_to(np.array(value, dtype=float), 2)
    except ValueError:
        pair = np.array([np.nan, np.nan])
    if not (np.isfinite(pair).all() and (pair > 0).all()):
        raise InputError(f"{marks}: {film}: pixel_spacing_mm is {value!r}, expected one or two positive numbers")
    return float(pair[0]), float(pair[1])


def _image(folder: Path, marks: Path, name: str) -> Path:
    for place in _IMAGE_FOLDERS:
        exact = folder / place / name
        if exact.is_file():
            return exact
        found = sorted(p for p in (folder / place).glob(f"{name}.*") if p.suffix != ".json")
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"{marks}: {name} is ambiguous: {[p.name for p in found]}; name the file with its extension"
            )
    raise InputError(f"{marks}: {name}: no such image in {folder} or {folder / 'images'}")


def _from_coco(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """COCO's three lists as entries of form 1."""
    try:
        names = {image["id"]: image["file_name"] for image in document["images"]}
        categories = {category["id"]: category["name"] for category in document.get("categories", [])}
        entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for annotation in document["annotations"]:
            level = categories.get(annotation.get("category_id"))
            entries[names[annotation["image_id"]]].append(
                {"corners_px": _coco_corners(annotation), "level": level if _is_level(level) else None}
            )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not COCO as expected (images, annotations, categories): {error!r}") from error
    return {name: {"vertebrae": vertebrae} for name, vertebrae in entries.items()}


def _is_level(name: str | None) -> bool:
    return name is not None and len(name) > 1 and name[0] in "CTLS" and name[1:].isdigit()


def _coco_corners(annotation: Mapping[str, Any]) -> list[list[float]]:
    if polygons := annotation.get("segmentation"):
        return _pairs(polygons[0])
    u, v, width, height = annotation["bbox"]
    return [[u, v], [u + width, v], [u + width, v + height], [u, v + height]]


def _pairs(flat: Iterable[float]) -> list[list[float]]:
    values = list(flat)
    return [[values[i], values[i + 1]] for i in range(0, len(values) - 1, 2)]
