"""A made-up spine: five asymmetric vertebra-like closed meshes with smooth modes, and a calibrated pair of views."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.drr import drr_from_path_length
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam, RigidTransform
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.targets import ObservedLandmarks, VertebraStart, ViewTarget
from lumbar_ext.registration.terms.landmark_term import LandmarkTerm
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.shape.model.level_shape import level_shapes
from tests.registration.many_rays import mean_path_lengths

_LOBES = {
    "spinous_process": ((-1.0, 0.05, -0.25), 34.0, 18.0),
    "left_transverse_process": ((-0.35, 1.0, 0.05), 20.0, 30.0),
    "right_transverse_process": ((-0.45, -1.0, 0.0), 17.0, 30.0),
    "left_pedicle": ((-0.9, 0.75, 0.25), 6.0, 25.0),
    "right_pedicle": ((-0.9, -0.75, 0.25), 6.0, 25.0),
}


def _radius(directions, scale, gains):
    body = (np.abs(directions / np.array([17.0, 23.0, 14.0])) ** 3).sum(-1) ** (-1 / 3)
    for (axis, height, sharpness), gain in zip(_LOBES.values(), gains, strict=True):
        axis = np.array(axis) / np.linalg.norm(axis)
        body = body + gain * height * np.exp(sharpness * (directions @ axis - 1))
    return scale * body


def _vertebra(directions, scale=1.0, gains=(1.0,) * 5, stretch=(1.0, 1.0, 1.0), shear=0.0):
    vertices = directions * _radius(directions, scale, gains)[:, None] * np.array(stretch)
    vertices[:, 0] += shear * vertices[:, 2]
    return vertices


def _modes(directions, mean):
    changes = [
        {"scale": 1.06},
        {"stretch": (1.06, 1, 1)},
        {"stretch": (1, 1.06, 1)},
        {"stretch": (1, 1, 1.06)},
        {"shear": 0.08},
    ]
    changes += [{"gains": tuple(np.eye(5)[i] * 0.35 + 1)} for i in range(3)]
    offsets = np.stack([(_vertebra(directions, **change) - mean).ravel() for change in changes], axis=1)
    modes, sizes = np.linalg.qr(offsets)
    order = np.argsort(-np.abs(np.diag(sizes)))
    return modes.T[order].reshape(-1, *mean.shape), np.abs(np.diag(sizes))[order]


@pytest.fixture(scope="session")
def toy_model():
    """Buffers like those of a VertebraShapeModel, 2,562 vertices and 8 modes."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    directions = np.asarray(ball.vertices)
    axes = {"superior_endplate": (0, 0, 1.0), "inferior_endplate": (0, 0, -1.0)} | {k: v[0] for k, v in _LOBES.items()}
    tips = [np.argsort(-(directions @ (np.array(axes[name]) / np.linalg.norm(axes[name]))))[:6] for name in LANDMARKS]
    means = [_vertebra(directions, scale=0.92 + 0.04 * i, gains=(1 + 0.03 * i,) * 5) for i in range(len(LEVELS))]
    modes, sizes = _modes(directions, means[2])
    return SimpleNamespace(
        mean=torch.tensor(np.stack(means), dtype=torch.float32),
        modes=torch.tensor(np.stack([modes] * 5), dtype=torch.float32),
        standard_deviations=torch.tensor(np.stack([sizes] * 5), dtype=torch.float32),
        triangles=torch.tensor(np.asarray(ball.faces), dtype=torch.int32),
        landmark_vertices=torch.tensor(np.stack(tips)),
        landmark_weights=torch.full((7, 6), 1 / 6),
    )


@pytest.fixture(scope="session")
def shapes(toy_model):
    return level_shapes(toy_model)


def make_geometry(size_px=(512, 512), spacing_mm=0.834):
    """AP beam from front to back, lateral beam from the left, in canonical orientation."""
    views = {"ap": ((1, 0, 0), (0, 1, 0)), "lat": ((0, 1, 0), (-1, 0, 0))}
    cameras = {}
    for name, (toward_source, u_axis) in views.items():
        toward_source, u_axis, v_axis = (np.array(a, dtype=float) for a in (toward_source, u_axis, (0, 0, -1)))
        half_mm = (np.array(size_px) - 1) / 2 * spacing_mm
        corner = -250 * toward_source - half_mm[0] * u_axis - half_mm[1] * v_axis
        cameras[name] = ConeBeam(900 * toward_source, corner, u_axis, v_axis, (spacing_mm, spacing_mm), size_px)
    return BiplanarGeometry(cameras["ap"], cameras["lat"])


@pytest.fixture(scope="session")
def geometry():
    return make_geometry()


@pytest.fixture(scope="session")
def truth(shapes, geometry):
    """A spine inside the model: poses, coefficients, landmarks and decompositions."""
    return make_truth(shapes, geometry, np.random.default_rng(0))


def make_truth(shapes, geometry, rng):
    poses, coefficients, vertices, points = [], [], [], []
    for i, shape in enumerate(shapes):
        angles = np.radians(rng.normal(0, [3, 5, 4])) + np.radians([0, 12 * (i - 2), 0])
        pose = RigidTransform.from_euler(
            *angles, np.array([6 * (1 - (i - 2) ** 2 / 4), 0, 72 - 36 * i]) + rng.normal(0, 1, 3)
        )
        b = np.clip(rng.normal(0, 1, shape.n_modes), -2, 2)
        poses.append(pose)
        coefficients.append(b)
        vertices.append(pose.apply(shape.surface.instance(b)))
        points.append(pose.apply(shape.landmarks(b)))
    triangles = shapes[0].surface.triangles
    images = {name: drr_from_path_length(mean_path_lengths(vertices, triangles, geometry[name])) for name in VIEWS}
    landmarks = {name: ViewLandmarks(geometry[name].project(np.stack(points)), np.ones((5, 7))) for name in VIEWS}
    return SimpleNamespace(
        poses=poses,
        coefficients=coefficients,
        vertices=vertices,
        points=np.stack(points),
        images=images,
        landmarks=landmarks,
    )


@pytest.fixture(scope="session")
def plain_problem(shapes, geometry, truth):
    """The made-up spine, to be found from starts that are up to 4 mm and 5 deg off."""
    rng = np.random.default_rng(1)
    starts = []
    for level, shape, pose in zip(LEVELS, shapes, truth.poses, strict=True):
        offset = np.concatenate([rng.uniform(-4, 4, 3), np.radians(rng.uniform(-5, 5, 3))])
        starts.append(VertebraStart(level, shape, pose @ RigidTransform.from_pose(offset), np.zeros(shape.n_modes)))
    views = {name: ViewTarget(geometry[name], truth.images[name], np.ones((512, 512))) for name in VIEWS}
    return RegistrationProblem(views, tuple(starts))


@pytest.fixture(scope="session")
def full_problem(plain_problem, truth):
    """The same with a shape prior and a landmark term."""
    starts = [
        replace(s, observed={v: ObservedLandmarks(truth.landmarks[v].positions_px[i], np.ones(7)) for v in VIEWS})
        for i, s in enumerate(plain_problem.vertebrae)
    ]
    problem = replace(plain_problem, vertebrae=tuple(starts))
    return problem.with_term(ShapePriorTerm(0.01)).with_term(LandmarkTerm(weight=0.02))


@pytest.fixture
def vertex_errors(truth):
    """Mean distance in mm of corresponding vertices, by level."""

    def measure(result):
        return {
            level: float(np.linalg.norm(fit.vertices_mm - truth.vertices[LEVELS.index(level)], axis=1).mean())
            for level, fit in result.vertebrae.items()
        }

    return measure
