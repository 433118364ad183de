"""Landmarks to Slicer markups and back."""

import json

import itk
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.label.image_markups import read_markups, write_markups
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.landmarks.markups import NAMES

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


def test_a_point_half_an_image_away_is_another_images(written):
    document = json.loads(written.read_text())
    document["markups"][0]["controlPoints"][0]["position"] = [9999, 2, 3]
    written.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"L1 superior_endplate: lies at pixel .* the file of another image"):
        read_markups(written, SPACE)


def test_points_of_s1_are_refused_not_dropped_and_undefined_ones_pass(written):
    document = json.loads(written.read_text())
    point = {"label": "S1 superior_centre", "position": [10.0, 10.0, 0.0], "positionStatus": "undefined"}
    document["markups"][0]["controlPoints"].append(point)
    written.write_text(json.dumps(document))
    np.testing.assert_allclose(read_markups(written, SPACE), LANDMARKS, atol=1e-3)
    point["positionStatus"] = "defined"
    written.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"S1 superior_centre: labels of one radiograph hold L1 to L5 only"):
        read_markups(written, SPACE)


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
