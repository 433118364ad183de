"""What a slot scanner sees of solids in closed form, and what a change of them does to its picture."""

import numpy as np
import pytest
import torch
import trimesh

from lumbar_ext.drr import path_length
from lumbar_ext.drr.differentiable import PathLengthProjector
from lumbar_ext.geometry import SlotScan

BALL = trimesh.creation.icosphere(subdivisions=5, radius=1.0)
FACES = BALL.faces.astype(np.int32)


@pytest.fixture
def camera():
    return SlotScan([900.0, 0, 0], [-20.0, -64, 90], [0, 1, 0], [0, 0, -1], (0.8, 0.7), (160, 256))


def views(camera):
    return {"plain": camera, "mirrored": camera.flipped_u(), "upside down": camera.flipped_v()}


@pytest.mark.parametrize("view", ["plain", "mirrored", "upside down"])
def test_chords_of_a_sphere(camera, rays, view):
    seen, centre, radius = views(camera)[view], np.array([150.0, -12.0, 30.0]), 25.0
    lengths = path_length(np.asarray(BALL.vertices) * radius + centre, FACES, seen)
    origins, directions = rays(seen)
    along = (directions * (centre - origins)).sum(-1)
    squared = np.square(centre - origins).sum(-1) - along**2
    expected, distance = 2 * np.sqrt(np.clip(radius**2 - squared, 0, None)), np.sqrt(squared)
    inside = distance < 0.9 * radius
    assert inside.sum() > 1500
    np.testing.assert_allclose(lengths[inside], expected[inside], rtol=0.01)
    assert (lengths[distance > radius] == 0).all()


def test_the_shadow_is_as_high_as_the_sphere_and_wider(camera):
    lengths = path_length(np.asarray(BALL.vertices) * 25 + [300.0, 0, 0], FACES, camera)
    rows, columns = np.nonzero(lengths)
    assert (np.ptp(rows) + 1) * 0.7 == pytest.approx(50, abs=1.5)
    # Seen along the tangents from 600 mm to the plane at 920 mm.
    assert (np.ptp(columns) + 1) * 0.8 == pytest.approx(2 * 920 * 25 / np.sqrt(600**2 - 25**2), abs=1.7)


def test_gradient_of_vertices_is_that_of_finite_differences(camera):
    coarse = trimesh.creation.icosphere(subdivisions=4)
    vertices, triangles = np.asarray(coarse.vertices) * [18.0, 25.0, 14.0], torch.tensor(np.asarray(coarse.faces))
    u, v = np.meshgrid(np.arange(camera.size_px[0]), np.arange(camera.size_px[1]))
    inner = np.clip(path_length(vertices, coarse.faces.astype(np.int32), camera) - 20, 0, 10) / 10
    weights = torch.tensor(inner * (1 + np.sin(u / 17.0) * np.cos(v / 23.0)))
    projector, rng = PathLengthProjector(camera), np.random.default_rng(0)
    moving = torch.tensor(vertices, requires_grad=True)
    (weights * projector(moving, triangles)).sum().backward()
    for _ in range(3):
        waves = torch.tensor(np.sin(vertices @ rng.normal(0, 0.05, (3, 3)) + rng.uniform(0, 6, 3)))
        sides = [(weights * projector(moving.detach() + s * waves, triangles)).sum() for s in (0.05, -0.05)]
        expected = float(sides[0] - sides[1]) / 0.1
        assert float((moving.grad * waves).sum()) == pytest.approx(expected, rel=0.005, abs=5)
