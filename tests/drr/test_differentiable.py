"""The vector-Jacobian product against finite differences, and learning through it."""

import numpy as np
import pytest
import torch
import trimesh

from lumbar_ext.drr import drr_from_path_length, path_length
from lumbar_ext.drr.differentiable import PathLengthProjector, drr_of, posed_vertices
from lumbar_ext.geometry import RigidTransform

BALL = trimesh.creation.icosphere(subdivisions=4)
VERTICES = np.asarray(BALL.vertices) * [18.0, 25.0, 14.0]
TRIANGLES = torch.tensor(np.asarray(BALL.faces))


@pytest.fixture
def camera(cameras):
    """A smaller lateral view."""
    camera = cameras["lat"]
    return camera.resampled(size_px=(160, 140), pixel_spacing_mm=(0.8, 0.8), centre_uv_px=camera.project(np.zeros(3)))


@pytest.fixture
def weights(camera):
    """A smooth weight of each pixel that is zero at the silhouette, where differences of single pixels are erratic."""
    u, v = np.meshgrid(np.arange(camera.size_px[0]), np.arange(camera.size_px[1]))
    inner = np.clip(path_length(VERTICES, BALL.faces.astype(np.int32), camera) - 20, 0, 10) / 10
    return torch.tensor(inner * (1 + np.sin(u / 17.0) * np.cos(v / 23.0)))


def test_values_are_those_of_the_projector(camera):
    image = PathLengthProjector(camera)(torch.tensor(VERTICES), TRIANGLES)
    np.testing.assert_allclose(image.numpy(), path_length(VERTICES, BALL.faces.astype(np.int32), camera))


def test_gradient_of_vertices_is_that_of_finite_differences(camera, weights):
    projector, rng = PathLengthProjector(camera, grazing_floor=1e-3), np.random.default_rng(0)
    vertices = torch.tensor(VERTICES, requires_grad=True)
    (weights * projector(vertices, TRIANGLES)).sum().backward()
    for _ in range(3):
        # A smooth motion: single vertices of a mesh finer than the pixels have noisy differences.
        waves = torch.tensor(np.sin(VERTICES @ rng.normal(0, 0.05, (3, 3)) + rng.uniform(0, 6, 3)))
        sides = [(weights * projector(vertices.detach() + s * waves, TRIANGLES)).sum() for s in (0.05, -0.05)]
        expected = float(sides[0] - sides[1]) / 0.1
        assert float((vertices.grad * waves).sum()) == pytest.approx(expected, rel=0.005, abs=5)


def test_gradient_holds_up_at_the_silhouette(camera):
    """Rays that graze the solid count too; their share is sampled at few pixels, so a few percent of it may be lost."""
    vertices = torch.tensor(VERTICES, requires_grad=True)
    projector = PathLengthProjector(camera, grazing_floor=1e-3)
    projector(vertices, TRIANGLES).sum().backward()
    with torch.no_grad():
        expected = (
            float(projector(1.02 * vertices, TRIANGLES).sum() - projector(0.98 * vertices, TRIANGLES).sum()) / 0.04
        )
    assert float((vertices.grad * vertices.detach()).sum()) == pytest.approx(expected, rel=0.05)


def test_gradient_of_the_pose_is_that_of_finite_differences(camera, weights):
    projector = PathLengthProjector(camera, grazing_floor=1e-3)

    def loss(pose):
        return (weights * drr_of(projector(posed_vertices(torch.tensor(VERTICES), pose), TRIANGLES))).sum()

    pose = torch.tensor([1.0, -2.0, 0.5, 0.1, -0.2, 0.3], dtype=torch.float64, requires_grad=True)
    loss(pose).backward()
    steps = torch.tensor([0.2, 0.2, 0.2, 0.01, 0.01, 0.01], dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([(loss(pose + d) - loss(pose - d)) / 2 for d in torch.diag(steps)])
    np.testing.assert_allclose(pose.grad * steps, expected, atol=0.01 * float(expected.abs().max()))


def test_posing_is_that_of_the_conventions():
    pose = np.array([1.0, 2.0, 3.0, 0.2, -0.3, 0.4])
    expected = RigidTransform.from_pose(pose).apply(VERTICES[:5])
    np.testing.assert_allclose(posed_vertices(torch.tensor(VERTICES[:5]), torch.tensor(pose)), expected, atol=1e-12)


def test_descent_through_it_finds_a_shape_coefficient(camera):
    mode = torch.tensor(VERTICES * [0.0, 0.1, 0.0])
    wide = VERTICES + 0.8 * mode.numpy()
    target = torch.tensor(drr_from_path_length(path_length(wide, BALL.faces.astype(np.int32), camera)))
    coefficient = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    camera_ap = PathLengthProjector(camera)
    optimiser = torch.optim.LBFGS([coefficient], max_iter=12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        drr = drr_of(camera_ap(torch.tensor(VERTICES) + coefficient * mode, TRIANGLES))
        loss = 1e3 * (drr - target).square().mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    # Along the lateral beam's axis the width shows as thickness only.
    assert float(coefficient.detach()) == pytest.approx(0.8, abs=0.02)


def test_a_mesh_behind_the_source_is_refused(camera):
    with pytest.raises(ValueError, match="not in front of the X-ray source"):
        PathLengthProjector(camera)(torch.tensor(VERTICES + 3 * camera.source_mm), TRIANGLES)
