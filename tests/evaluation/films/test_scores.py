"""Right, a level off, beside, beyond and missed, told apart on films whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.films.annotations import FilmVertebra, MarkedFilm
from lumbar_ext.evaluation.films.scores import ON_VERTEBRA_MM, film_tables, score_film

STEP = 40.0


def _film(levels, spacing=(1.0, 1.0)):
    corners = np.array([[-15.0, -12.0], [15.0, -12.0], [15.0, 12.0], [-15.0, 12.0]])
    vertebrae = [FilmVertebra(corners + np.array([100.0, STEP * place]), level) for place, level in enumerate(levels)]
    return MarkedFilm(Path("a.png"), "lat", tuple(vertebrae), spacing)


NAMED = _film(["T12", *LEVELS])
UNNAMED = _film([None] * 8)


def _found(first_place, offset=(0.0, 0.0), levels=LEVELS):
    centres = np.full((5, 2), np.nan)
    for level in levels:
        index = LEVELS.index(level)
        centres[index] = np.array([100.0, STEP * (first_place + index)]) + offset
    up = np.array([0.0, 12.0])
    return centres, np.stack([centres - up, centres + up], axis=1)


def test_what_lies_on_the_marks_is_right():
    score = score_film(NAMED, *_found(1))
    assert (score.found, score.right, score.on_vertebra, score.missed, score.beyond) == (5, 5, 5, 0, 0)
    assert score.in_sequence
    np.testing.assert_allclose(score.endplate_mm, 0, atol=1e-9)


def test_a_shift_by_one_is_a_level_off_and_leaves_one_out():
    score = score_film(NAMED, *_found(0))
    assert set(score.steps.values()) == {-1}
    assert (score.right, score.missed) == (0, 1)
    assert score.endplate_mm == ()
    assert score.in_sequence


def test_a_missing_level_is_missed_not_wrong():
    score = score_film(NAMED, *_found(1, levels=("L1", "L2", "L4", "L5")))
    assert (score.found, score.right, score.missed) == (4, 4, 1)
    assert not score.in_sequence


@pytest.mark.parametrize("axis", [0, 1])
def test_distances_are_measured_in_millimetres(axis):
    film = _film(["T12", *LEVELS], spacing=(0.5, 0.5))
    offset = np.eye(2)[axis] * 6.0
    score = score_film(film, *_found(1, offset))
    np.testing.assert_allclose(score.centre_mm, 3.0)
    np.testing.assert_allclose(score.endplate_mm, 3.0)


def test_beside_and_beyond_are_told_apart():
    beside = score_film(NAMED, *_found(1, (ON_VERTEBRA_MM + 1, 0)))
    assert beside.on_vertebra == 0
    assert beside.beyond == 1  # L5 moved sideways lies on the height of the last mark: not above it
    inside = score_film(NAMED, *_found(1, (ON_VERTEBRA_MM + 1, 0), levels=("L1", "L2")))
    assert (inside.on_vertebra, inside.beyond) == (0, 0)
    beyond = score_film(UNNAMED, *_found(4))
    assert (beyond.on_vertebra, beyond.beyond) == (4, 1)
    assert beyond.in_sequence


def test_names_reach_over_a_vertebra_that_nobody_named():
    film = _film(["T12", "L1", None, "L3", "L4", "L5"])
    assert set(score_film(film, *_found(1)).steps.values()) == {0}


def test_tables_count_films_apart_by_their_names():
    table = film_tables([score_film(NAMED, *_found(1)), score_film(UNNAMED, *_found(3))])
    named, unnamed = table.split("\n\n")
    assert "| 1 | 100 % | 0 % | 0 % | 0 % | 1 of 1 |" in named
    assert "| 1 | 5.00 of 5 | 100 % | 0 % | 1 of 1 | 1 of 1 | 1 of 1 |" in unnamed
