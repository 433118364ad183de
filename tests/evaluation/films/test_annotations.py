"""Three forms of marks say the same; what is no mark is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.films.annotations import LEVEL_DISTANCE_MM, MAGNIFICATION, read_films


def _box(u, v, half=10.0):
    return [[u - half, v - half], [u + half, v - half], [u + half, v + half], [u - half, v + half]]


BOXES = [_box(50.0, 40.0 * place) for place in range(1, 7)]


def _folder(tmp_path, document):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((300, 100), np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "marks.json").write_text(json.dumps(document))
    return tmp_path


def _coco(boxes):
    annotations = [
        {"image_id": 7, "category_id": 1, "bbox": [*b[0], b[2][0] - b[0][0], b[2][1] - b[0][1]]} for b in boxes
    ]
    return {
        "images": [{"id": 7, "file_name": "a.png"}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "vertebra"}],
    }


@pytest.mark.parametrize(
    "document",
    [{"a": BOXES}, {"a.png": {"vertebrae": [{"corners_px": b} for b in BOXES[::-1]]}}, _coco(BOXES)],
    ids=["polygons", "films", "coco"],
)
def test_all_forms_give_the_same_film_sorted_downwards(tmp_path, document):
    (film,) = read_films(_folder(tmp_path, document))
    assert film.path.name == "a.png"
    assert not film.named
    np.testing.assert_allclose([v.centre_px for v in film.vertebrae], [[50, 40 * place] for place in range(1, 7)])
    assert film.lumbar_places == (1, 2, 3, 4, 5)


def test_scale_follows_from_the_distance_of_lumbar_vertebrae(tmp_path):
    (film,) = read_films(_folder(tmp_path, {"a": BOXES}))
    assert film.spacing_mm[0] * 40 == pytest.approx(LEVEL_DISTANCE_MM * MAGNIFICATION)


def test_a_known_spacing_counts(tmp_path):
    (film,) = read_films(_folder(tmp_path, {"a": {"vertebrae": BOXES, "pixel_spacing_mm": [0.2, 0.3]}}))
    assert film.spacing_mm == (0.2, 0.3)


def test_endplates_are_the_middles_of_upper_and_lower_corners(tmp_path):
    (film,) = read_films(_folder(tmp_path, {"a": BOXES}))
    np.testing.assert_allclose(film.vertebrae[0].endplate_centres_px, [[50, 30], [50, 50]])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"b": BOXES}, "no such image"),
        ({"a": {"vertebrae": BOXES, "view": "oblique"}}, "oblique"),
        ({"a": {"vertebrae": BOXES, "pixel_spacing_mm": -1}}, "pixel_spacing_mm"),
        ({"a": [[[1, "x"], [2, 3]], BOXES[0]]}, "corners"),
        ({"a": [BOXES[0]]}, "two at least"),
        ({"a": {"boxes": BOXES}}, "boxes"),
        ([], "object"),
    ],
)
def test_what_is_no_mark_is_refused(tmp_path, document, said):
    with pytest.raises(InputError, match=said):
        read_films(_folder(tmp_path, document))


def test_a_folder_without_marks_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"films\.json"):
        read_films(tmp_path)
