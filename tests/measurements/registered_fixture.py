"""A made-up registration: five cylinders that stretch along two modes, with a known curvature."""

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.registration.result import Curvature, LevelSearch, RegistrationResult, StopReason, VertebraFit
from lumbar_ext.shape.model.level_shape import LevelShape, SurfaceModes
from tests.measurements.solids import HEIGHT_MM, body, landmarks

SIZE = 8
"""Six pose parameters and two modes."""

STRETCH = 0.05
"""The first mode makes the body 5 % taller, the second one 5 % wider."""

PITCH_MM = HEIGHT_MM + 9.0


def shape():
    """A cylinder with the marks' landmarks as extra vertices, which no triangle uses."""
    vertices, triangles = body()
    points = np.concatenate([vertices, landmarks()])
    modes = np.stack([points * [0, 0, STRETCH], points * [0, STRETCH, 0]])
    surface = SurfaceModes(
        points.astype(np.float32), modes.reshape(2, -1).astype(np.float32), triangles.astype(np.int32)
    )
    where = np.arange(len(vertices), len(points))[:, None]
    return LevelShape(surface, MaterialPoints(where, np.ones((len(LANDMARKS), 1))))


SCOLIOSIS = {"lateral_deg": (-14, -8, 0, 8, 14), "aside_mm": (0, -9, -14, -9, 0)}
"""A curve of 28 deg, convex to the right."""


def registration(deviations=None, levels=LEVELS, coefficients=(0.0, 0.0), lateral_deg=(0,) * 5, aside_mm=(0,) * 5):
    """A registration whose parameters have the standard deviations [8], independently; no curvature without them.

    Vertebrae stand upright upon each other, or are bent and shifted to the left, in the order of levels.
    """
    own, fits = shape(), {}
    pose = np.array([1.0, -2.0, 0.5, 0.02, -0.03, 0.04])
    for level in levels:
        index = LEVELS.index(level)
        place = np.array([0.0, aside_mm[index], -PITCH_MM * index])
        world = RigidTransform.from_euler(np.radians(lateral_deg[index]), 0, 0, place)
        vertices = world.apply(own.surface.instance(np.array(coefficients)))
        fits[level] = VertebraFit(
            level=level,
            pose=pose,
            coefficients=np.array(coefficients),
            free_form=np.zeros(0),
            world_from_vertebra=world,
            vertices_mm=vertices,
            loss={"ap": 0.01, "lat": 0.02},
            initial_loss={"ap": 0.1, "lat": 0.1},
            search=LevelSearch(0.01, 10, 1.0, StopReason.CONVERGED),
            shape=own,
        )
    curvature = None
    if deviations is not None:
        n, prior = len(levels), 0.3
        hessian = prior * np.diag(np.tile(1 / np.square(deviations), n))
        curvature = Curvature(hessian.reshape(n, SIZE, n, SIZE), prior)
    return RegistrationResult(
        vertebrae=fits,
        loss=0.01,
        loss_per_view={"ap": 0.01, "lat": 0.01},
        initial_loss=0.1,
        evaluations=10,
        seconds=1.0,
        stop_reason=StopReason.CONVERGED,
        history=(),
        curvature=curvature,
    )
