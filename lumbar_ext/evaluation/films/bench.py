"""How the network does on a folder of marked films: a table, a row a film, and a sheet of pictures to look at.

Each film is seen alone, without a calibration, wherever the locator finds the spine; by the first generation in a square of its
size around the marked lumbar vertebrae. Bone is bright as the film's looks say and, where that shows fewer than five vertebrae,
the other way round too.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from torch import nn

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.bundle_paths import MULTITASK, bundle_dir
from lumbar_ext.evaluation.films.annotations import read_films
from lumbar_ext.evaluation.films.picture import film_sheet
from lumbar_ext.evaluation.films.scores import FilmScore, film_tables
from lumbar_ext.evaluation.films.seen_film import SeenFilm, see_film
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.workflow.network_bundle import load_first_generation, load_locating_networks


def evaluate_films(
    network: nn.Module,
    folder: str | Path,
    output_dir: str | Path,
    marks: str | Path | None = None,
    view: str = "ap",
    locator: nn.Module | None = None,
) -> str:
    """Writes `films.md`, `films.csv` and `films.png` (a contact sheet) and returns the tables.

    Args:
        network: the multi-task network, in evaluation mode.
        folder: films with a file of marks, see `annotations`.
        output_dir: where the files are written.
        marks: see `annotations.read_films`.
        view: of films whose marks do not say.
        locator: finds the spine; None for a network of the first generation.

    Raises:
        InputError: if the marks or a film cannot be used, or the folder cannot be written to.
    """
    seen = [see_film(network, film, locator) for film in read_films(folder, marks, view)]
    scores = [one.score() for one in seen]
    tables = film_tables(scores)
    with staged_output(output_dir) as staging:
        (staging / "films.md").write_text(tables + "\n", encoding="utf-8")
        _write_rows(staging / "films.csv", seen, scores)
        film_sheet(seen, scores).save(staging / "films.png")
    return tables


def _write_rows(path: Path, seen: list[SeenFilm], scores: list[FilmScore]) -> None:
    header = ["film", "view", "inverted", "found", "on_vertebra", "beyond", "right", "missed", *LEVELS, "centre_mm"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        for one, score in zip(seen, scores, strict=True):
            row = {"film": one.film.path.name, "view": one.film.view, "inverted": one.inverted}
            row |= {name: getattr(score, name) for name in ("found", "on_vertebra", "beyond", "right", "missed")}
            row |= {level: "beside" if step is None else step for level, step in score.steps.items()}
            row["centre_mm"] = f"{np.mean(score.centre_mm):.2f}" if score.centre_mm else ""
            writer.writerow(row)


def evaluate_real(
    folder: str,
    output_dir: str = "out/real_films",
    *,
    bundle_root: str | None = None,
    marks: str = "",
    weights: str = "",
    view: str = "ap",
    first_generation: bool = False,
) -> None:
    """Prints how a bundle's network does on a folder of marked films, and writes tables, rows and a contact sheet.

    Args:
        folder: films with a file of marks, see `annotations`.
        output_dir: where `films.md`, `films.csv` and `films.png` are written.
        bundle_root: folder of the network's bundle, if it is another one than the package's.
        marks: the file of marks, if it is not the folder's own.
        weights: other weights than the bundle's.
        view: of films whose marks do not say.
        first_generation: measure the former network.
    """
    root = bundle_dir(MULTITASK, bundle_root)
    if first_generation:
        network, locator = load_first_generation(root, weights), None
    else:
        network, locator = load_locating_networks(root, weights)
    print(evaluate_films(network, folder, output_dir, marks or None, view, locator))
