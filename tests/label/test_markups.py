"""Landmarks to Slicer markups and back."""

import json

import itk
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.label.markups import NAMES, read_markups, write_markups

SPACE = ImageSpace(np.array([5.0, -7.0, 0.0]), np.array([[0.5, 0.0], [0.0, 0.4], [0.0, 0.0]]), (300, 400))
LANDMARKS = np.random.default_rng(0).uniform(50, 250, (5, 7, 2))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "a.mrk.json"
    write_markups(path, LANDMARKS, np.full((5, 7), 0.5), SPACE)
    return path


def test_what_is_written_is_read_back(written):
    np.testing.assert_allclose(read_markups(written, SPACE), LANDMARKS, atol=1e-3)


def test_the_file_is_a_point_list_of_all_names_in_mm(written):
    (markup,) = json.loads(written.read_text())["markups"]
    assert (markup["type"], markup["coordinateSystem"]) == ("Fiducial", "LPS")
    points = markup["controlPoints"]
    assert tuple(point["label"] for point in points) == NAMES and len(NAMES) == 35
    u, v = LANDMARKS[0, 0]
    np.testing.assert_allclose(points[0]["position"], [5 + 0.5 * u, -7 + 0.4 * v, 0], atol=1e-3)


def test_what_was_not_found_can_be_placed_by_the_user(tmp_path):
    path, partial = tmp_path / "a.mrk.json", LANDMARKS.copy()
    partial[4, 6] = np.nan
    write_markups(path, partial, np.ones((5, 7)), SPACE)
    np.testing.assert_allclose(read_markups(path, SPACE), partial, atol=1e-3)
    document = json.loads(path.read_text())
    point = document["markups"][0]["controlPoints"][-1]
    assert point["positionStatus"] == "undefined"
    point |= {"positionStatus": "defined", "position": [5.0, -7.0, 0.0]}
    path.write_text(json.dumps(document))
    np.testing.assert_allclose(read_markups(path, SPACE)[4, 6], 0, atol=1e-6)


def test_ras_coordinates_are_turned(written):
    document = json.loads(written.read_text())
    document["markups"][0]["coordinateSystem"] = "RAS"
    for point in document["markups"][0]["controlPoints"]:
        point["position"] = [-point["position"][0], -point["position"][1], point["position"][2]]
    written.write_text(json.dumps(document))
    np.testing.assert_allclose(read_markups(written, SPACE), LANDMARKS, atol=1e-3)


def edited(written, edit):
    document = json.loads(written.read_text())
    edit(document["markups"][0])
    written.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda m: m["controlPoints"][0].update(label="F-1"), "labelled 'F-1'"),
        (lambda m: m["controlPoints"].append(m["controlPoints"][3]), "is there twice"),
        (lambda m: m["controlPoints"][0].update(position=[1, 2]), "position is"),
        (lambda m: m["controlPoints"][0].update(position=["1", 2, 3]), "position is"),
        (lambda m: m["controlPoints"][0].update(position=[float("nan"), 2, 3]), "finite"),
        (lambda m: m["controlPoints"][0].update(position=[9999, 2, 3]), "file of another image"),
        (lambda m: m.update(coordinateSystem="XYZ"), "coordinateSystem is 'XYZ'"),
        (lambda m: m.update(controlPoints=[]), "no point has a position"),
        (lambda m: m.update(controlPoints=5), "no point list"),
        (lambda m: m.update(controlPoints=[5]), "no point list"),
    ],
)
def test_what_does_not_fit_is_said(written, edit, message):
    edited(written, edit)
    with pytest.raises(InputError, match=message):
        read_markups(written, SPACE)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "{}", '{"markups": []}', "\udcff", " " * 3_000_000])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "a.mrk.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"a\.mrk\.json"):
        read_markups(path, SPACE)


def test_a_png_has_pixels_of_1_mm_and_nifti_its_own_frame(tmp_path):
    pixels = itk.image_from_array(np.arange(12, dtype=np.uint8).reshape(3, 4))
    itk.imwrite(pixels, str(tmp_path / "a.png"))
    space = ImageSpace.of_file(tmp_path / "a.png")
    assert space.size_px == (4, 3)
    np.testing.assert_allclose(space.position_mm([2, 1]), [2, 1, 0])
    volume = itk.image_from_array(np.zeros((1, 3, 4), np.float32))
    volume.SetSpacing([0.5, 0.25, 1])
    volume.SetOrigin([10, 20, 30])
    volume.SetDirection(itk.matrix_from_array(np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])))
    itk.imwrite(volume, str(tmp_path / "a.nii.gz"))
    space = ImageSpace.of_file(tmp_path / "a.nii.gz")
    expected = volume.TransformIndexToPhysicalPoint([2, 1, 0])
    np.testing.assert_allclose(space.position_mm([2, 1]), list(expected), atol=1e-5)
    np.testing.assert_allclose(space.pixel(space.position_mm([2.5, 1.25])), [2.5, 1.25])


def test_no_image_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"a\.png: no image"):
        ImageSpace.of_file(tmp_path / "a.png")
