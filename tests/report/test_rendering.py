"""Pictures of spheres: where they are, how they are lit and what hides what."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.report.rendering import ColouredMesh, render

SPHERE = trimesh.creation.icosphere(4, radius=10.0)
RED, BLUE = (255.0, 0.0, 0.0), (0.0, 0.0, 255.0)
FRONT, UP = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])


def sphere(centre, colour):
    vertices = SPHERE.vertices + np.array(centre)
    return ColouredMesh(vertices, SPHERE.faces, np.broadcast_to(colour, vertices.shape))


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
