"""Pictures of spheres: where they are, how they are lit and what hides what."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.mesh.rendering import ColouredMesh, Framing, in_one_colour, render, tiled
from lumbar_ext.mesh.surface import Surface

SPHERE = trimesh.creation.icosphere(4, radius=10.0)
RED, BLUE = (255.0, 0.0, 0.0), (0.0, 0.0, 255.0)
FRONT, UP = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])


def sphere(centre, colour):
    return in_one_colour(Surface(SPHERE.vertices + np.array(centre), SPHERE.faces), colour)


def test_a_sphere_fills_the_picture_but_for_the_margin():
    picture = render([sphere((3, 4, 5), RED)], FRONT, UP, (100, 100))
    drawn = (picture != 255).any(-1)
    assert drawn.sum() == pytest.approx(np.pi * 46**2, rel=0.02)
    assert drawn[50, 50]
    assert not drawn[2, 2]


def test_light_comes_from_the_viewer():
    picture = render([sphere((0, 0, 0), RED)], FRONT, UP, (100, 100))
    assert picture[50, 50].tolist() == pytest.approx([255, 0, 0], abs=4)
    assert picture[50, 7, 0] < 170


def test_the_nearer_sphere_hides_the_other():
    near, far = sphere((30, 0, 0), RED), sphere((-30, 0, 0), BLUE)
    for meshes in ([near, far], [far, near]):
        assert render(meshes, FRONT, UP, (60, 60))[30, 30, 0] > 200
    assert render([near, far], -FRONT, UP, (60, 60))[30, 30, 2] > 200


def test_up_is_up_and_the_persons_left_lies_right_seen_from_the_front():
    picture = render([sphere((0, 20, 20), RED), sphere((0, -20, -20), BLUE)], FRONT, UP, (100, 100))
    assert picture[26, 74, 0] > 200
    assert picture[74, 26, 2] > 200


def test_framed_pictures_have_one_scale_and_one_middle():
    picture = render([sphere((0, 10, 0), RED)], FRONT, UP, (100, 60), Framing((0.0, 0.0, 0.0), 2.0))
    rows, columns = np.nonzero((picture != 255).any(-1))
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(30, abs=0.5)
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(50 + 2 * 10, abs=0.5)
    assert np.ptp(rows) + 1 == pytest.approx(2 * 20, abs=1)


def test_a_vertex_has_its_own_colour():
    colours = np.where(SPHERE.vertices[:, 2:] > 0, RED, BLUE)
    picture = render([ColouredMesh(SPHERE.vertices, SPHERE.faces, colours)], FRONT, UP, (100, 100))
    assert picture[30, 50, 0] > 150 > 20 > picture[30, 50, 2]
    assert picture[70, 50, 2] > 150 > 20 > picture[70, 50, 0]


def test_a_sheet_holds_its_pictures_in_rows():
    grey = [np.full((40, 30, 3), value, dtype=np.uint8) for value in (10, 50, 100, 150)]
    sheet = np.asarray(tiled([[("", grey[0]), ("", grey[1])], [("", grey[2]), ("title", grey[3])]]))
    np.testing.assert_array_equal(sheet[:40], np.concatenate(grey[:2], axis=1))
    np.testing.assert_array_equal(sheet[40:, :30], grey[2])
    assert (sheet[40:60, 30:] != 150).any() and (sheet[65:, 30:] == 150).all()
