"""Point lists of 3D Slicer: round trip, axes, and what is refused."""

import json

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.markups import NAMES, read_anchor_points, read_points, write_points

POINTS = np.random.default_rng(0).uniform(-200, 200, (5, 7, 3))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "a.mrk.json"
    write_points(path, POINTS, np.full((5, 7), 0.5))
    return path


def edited(path, edit):
    document = json.loads(path.read_text())
    edit(document["markups"][0])
    path.write_text(json.dumps(document))


def test_what_is_written_is_read_back(written):
    np.testing.assert_allclose(read_points(written), POINTS, atol=1e-4)
    labels = [point["label"] for point in json.loads(written.read_text())["markups"][0]["controlPoints"]]
    assert tuple(labels) == NAMES and labels[:2] == ["L1 superior_endplate", "L1 inferior_endplate"]


def test_t12_and_s1_may_follow(tmp_path):
    path, anchors = tmp_path / "a.mrk.json", POINTS[0, :6] + 5.0
    anchors[3] = np.nan
    write_points(path, POINTS, np.full((5, 7), 0.5), anchors, np.ones(6))
    np.testing.assert_allclose(read_points(path), POINTS, atol=1e-4)
    np.testing.assert_allclose(read_anchor_points(path), anchors, atol=1e-4)
    labels = [point["label"] for point in json.loads(path.read_text())["markups"][0]["controlPoints"]]
    assert labels[35:37] == ["T12 centre", "S1 superior_centre"] and len(labels) == 41


def test_a_list_without_t12_and_s1_says_nothing_of_them(written):
    assert np.isnan(read_anchor_points(written)).all()


def test_ras_is_turned_about_the_vertical(written):
    edited(written, lambda markup: markup.update(coordinateSystem="RAS"))
    np.testing.assert_allclose(read_points(written), POINTS * [-1, -1, 1], atol=1e-4)


def test_points_that_are_deleted_or_undefined_are_unknown(written):
    edited(written, lambda markup: markup["controlPoints"].pop(8))
    edited(written, lambda markup: markup["controlPoints"][0].update(positionStatus="undefined"))
    known = np.isfinite(read_points(written)).all(-1).ravel()
    assert np.flatnonzero(~known).tolist() == [0, 8]


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda m: m["controlPoints"][0].update(label="L6 left_pedicle"), "labelled 'L6 left_pedicle', expected"),
        (lambda m: m["controlPoints"].append(m["controlPoints"][3]), "is there twice"),
        (lambda m: m["controlPoints"][0].update(position=[1, float("inf"), 2]), "finite number"),
        (lambda m: m["controlPoints"][0].update(position=[1, 2]), "finite number"),
        (lambda m: m["controlPoints"][0].update(position=["1", 2, 3]), "finite number"),
        (lambda m: m.update(coordinateSystem="IJK"), "coordinateSystem is 'IJK', expected 'LPS' or 'RAS'"),
        (lambda m: m.update(coordinateSystem=["LPS"]), "coordinateSystem is"),
        (lambda m: m.update(coordinateUnits="cm"), "coordinateUnits is 'cm', expected 'mm'"),
        (lambda m: m.update(controlPoints=[]), "no point has a position"),
        (lambda m: m.update(controlPoints=5), "no point list"),
        (lambda m: m.update(controlPoints=[5]), "no point list"),
    ],
)
def test_what_does_not_fit_is_said(written, edit, message):
    edited(written, edit)
    with pytest.raises(InputError, match=message):
        read_points(written)


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", "[" * 100_000, "{}", '{"markups": []}', '{"markups": 3}', "\udcff", " " * 3_000_000]
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "a.mrk.json"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"a\.mrk\.json: .*(markups file|point list|JSON|nested too deeply)"):
        read_points(path)
