"""First passes made up from the truth: vertebrae displaced, misshapen, lost or a level off, as a registration leaves them.

The second look learns from these, so no registration has to run before its training. All functions are pure; vertices are
[V, 3] float32 in world mm, in the topology of the shape model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform, fit_rigid
from lumbar_ext.shape.model.level_shape import LevelShape


@dataclass(frozen=True, eq=False)
class TrueVertebra:
    """A vertebra of a study with known truth.

    Args:
        vertices_mm: [V, 3] float32, world.
        world_from_vertebra: the pose in which the shape model's mean fits best.
        coefficients: [K] of the model's instance closest to it in that pose, SDs.
    """

    vertices_mm: np.ndarray
    world_from_vertebra: RigidTransform
    coefficients: np.ndarray


def true_vertebra(vertices_mm: np.ndarray, shape: LevelShape) -> TrueVertebra:
    """A vertebra [V, 3] in world mm with its pose and coefficients in a shape model of the same topology."""
    surface = shape.surface
    pose = fit_rigid(surface.mean_mm, vertices_mm)
    deviation = (pose.inverse().apply(vertices_mm) - surface.mean_mm).astype(np.float32).ravel()
    variances = np.maximum(np.square(surface.modes_mm).sum(axis=1), 1e-12)
    return TrueVertebra(np.asarray(vertices_mm, np.float32), pose, surface.modes_mm @ deviation / variances)


@dataclass(frozen=True)
class FirstPassErrors:
    """How wrong first passes are. Standard deviations are those of magnitude 1; chances are per study.

    Args:
        common_mm: shift of all vertebrae together, per axis.
        shift_mm: shift of a vertebra by itself, per axis.
        turn_deg: rotation of a vertebra about each axis.
        size: relative size of a vertebra.
        bumps: smooth dents and bulges of a vertebra.
        bump_mm: their height along each axis.
        bump_sigma_mm: their smallest and largest width.
        magnitudes: one of these multiplies all of the above in each study.
        model_share: chance that shapes start from the shape model's fit with fewer modes, shrunk and inaccurate
            coefficients, which is what a registration can reach, instead of from the truth.
        model_sd: error of these coefficients, SDs.
        missing: chance that a vertebra was lost.
        astray: chance that one vertebra is far from its place.
        displaced: chance that the spine is.
        far_mm: distance of these, per axis; they are turned by as many degrees.
        level_off: chance that every vertebra stands on its neighbour.
    """

    common_mm: float = 0.5
    shift_mm: float = 0.8
    turn_deg: float = 1.8
    size: float = 0.015
    bumps: int = 12
    bump_mm: float = 0.9
    bump_sigma_mm: tuple[float, float] = (8.0, 22.0)
    magnitudes: tuple[float, ...] = (0.5, 1.0, 2.0)
    model_share: float = 0.3
    model_sd: float = 0.25
    missing: float = 0.03
    astray: float = 0.04
    displaced: float = 0.02
    far_mm: float = 5.0
    level_off: float = 0.01


def first_pass(
    truth: Mapping[str, TrueVertebra],
    shapes: tuple[LevelShape, ...],
    errors: FirstPassErrors,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """What a first pass over a study might have left: vertices by level.

    Args:
        truth: by level.
        shapes: of the five levels.
        errors: how wrong.
        rng: where the errors are drawn from.
    """
    magnitude = float(rng.choice(errors.magnitudes))
    vertices = {level: vertebra.vertices_mm for level, vertebra in truth.items()}
    if rng.random() < errors.model_share:
        vertices = {
            level: model_fit(own, shapes[LEVELS.index(level)], errors.model_sd * magnitude, rng)
            for level, own in truth.items()
        }
    if rng.random() < errors.level_off:
        vertices = a_level_off(vertices, up=bool(rng.random() < 0.5))
    vertices = {level: misshapen(own, errors, magnitude, rng) for level, own in vertices.items()}
    spread_mm = errors.common_mm * magnitude + (errors.far_mm if rng.random() < errors.displaced else 0.0)
    common_mm = rng.normal(0, spread_mm, 3)
    vertices = {
        level: moved(own, common_mm + rng.normal(0, errors.shift_mm * magnitude, 3), errors.turn_deg * magnitude, rng)
        for level, own in vertices.items()
    }
    if rng.random() < errors.astray:
        level = str(rng.choice(list(vertices)))
        vertices[level] = moved(vertices[level], rng.normal(0, errors.far_mm, 3), errors.far_mm, rng)
    if len(vertices) > 1 and rng.random() < errors.missing:
        del vertices[str(rng.choice(list(vertices)))]
    return vertices


def model_fit(
    truth: TrueVertebra, shape: LevelShape, sd: float, rng: np.random.Generator, fewest_modes: int = 8
) -> np.ndarray:
    """A shape as a registration finds it: some of the model's modes, coefficients a little small and inaccurate."""
    count = int(rng.integers(min(fewest_modes, shape.n_model_modes), shape.n_model_modes + 1))
    kept = rng.uniform(0.8, 1.0) * truth.coefficients[:count] + rng.normal(0, sd, count)
    return truth.world_from_vertebra.apply(shape.surface.instance(kept)).astype(np.float32)


def moved(vertices_mm: np.ndarray, shift_mm: np.ndarray, turn_deg: float, rng: np.random.Generator) -> np.ndarray:
    """Vertices shifted, and turned about their centre by normal angles of the given SD about each axis."""
    centre = vertices_mm.mean(axis=0)
    turn = RigidTransform.from_euler(*np.radians(rng.normal(0, turn_deg, 3)))
    return (turn.apply(vertices_mm - centre) + centre + shift_mm).astype(np.float32)


def misshapen(
    vertices_mm: np.ndarray, errors: FirstPassErrors, magnitude: float, rng: np.random.Generator
) -> np.ndarray:
    """Vertices of another size, with dents and bulges: Gaussian displacement fields about random vertices."""
    centre = vertices_mm.mean(axis=0)
    relative = (vertices_mm - centre).astype(np.float32)
    peaks = relative[rng.integers(0, len(relative), errors.bumps)]
    width = rng.uniform(*errors.bump_sigma_mm, errors.bumps).astype(np.float32)
    height = rng.normal(0, errors.bump_mm * magnitude, (errors.bumps, 3)).astype(np.float32)
    squared = np.square(relative).sum(1)[:, None] - 2 * relative @ peaks.T + np.square(peaks).sum(1)
    fields = np.exp(-squared / (2 * np.square(width)))
    scaled = np.float32(1 + rng.normal(0, errors.size * magnitude)) * relative
    return scaled + fields @ height + centre


def a_level_off(vertices: Mapping[str, np.ndarray], *, up: bool) -> dict[str, np.ndarray]:
    """Every level takes its neighbour's place; the outermost goes on by the same step beyond it.

    Args:
        vertices: by level, in order.
        up: towards the head, else towards the sacrum.
    """
    levels = list(vertices)
    if len(levels) < 2:
        return dict(vertices)
    order = levels if up else levels[::-1]
    step = vertices[order[0]].mean(axis=0) - vertices[order[1]].mean(axis=0)
    shifted = {order[0]: vertices[order[0]] + step}
    shifted |= {level: vertices[neighbour] for level, neighbour in zip(order[1:], order[:-1], strict=True)}
    return {level: shifted[level] for level in levels}
