"""Smooth random fields: cubic B-splines through independent normal values on a lattice."""

from __future__ import annotations

import numpy as np


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> np.ndarray:
    """A zero-mean, unit-variance field, float32 [rows, columns], whose values are alike within about a cell.

    Args:
        rng: the source of randomness.
        shape: (rows, columns).
        cell_px: spacing of the lattice, at least one pixel.
    """
    rows, columns = (_spline_weights(n, max(cell_px, 1.0), rng.random()) for n in shape)
    lattice = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    return rows @ lattice @ columns.T


def smooth_field(rng: np.random.Generator, shape: tuple[int, int, int], cell_voxels: float | np.ndarray) -> np.ndarray:
    """As `smooth_noise` in three dimensions, float32 [I, J, K].

    Args:
        rng: the source of randomness.
        shape: voxels along the axes.
        cell_voxels: spacing of the lattice, at least one voxel; one or along each axis.
    """
    cells = np.maximum(np.broadcast_to(cell_voxels, 3), 1.0)
    weights = [_spline_weights(n, cell, rng.random()) for n, cell in zip(shape, cells, strict=True)]
    field = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
    # Each product takes the first axis of the lattice and puts that of the voxels last: three turn the axes full circle.
    for weight in weights:
        field = np.tensordot(field, weight, axes=(0, 1))
    return np.ascontiguousarray(field)


def waves(rng: np.random.Generator, points_mm: np.ndarray, wave_mm: tuple[float, float], count: int = 10) -> np.ndarray:
    """A zero-mean, unit-variance field of random plane waves at points [V, 3], float32 [V].

    Args:
        rng: the source of randomness.
        points_mm: [V, 3].
        wave_mm: shortest and longest wavelength.
        count: number of waves.
    """
    directions = rng.standard_normal((3, count))
    lengths = np.exp(rng.uniform(*np.log(wave_mm), count))
    vectors = (2 * np.pi / lengths) * directions / np.linalg.norm(directions, axis=0)
    phase = points_mm.astype(np.float32) @ vectors.astype(np.float32) + rng.uniform(0, 2 * np.pi, count).astype(
        np.float32
    )
    return np.cos(phase).sum(1) * np.float32(np.sqrt(2 / count))


def _spline_weights(n: int, cell: float, phase: float) -> np.ndarray:
    """[n, cells] float32 values of the lattice's B-splines at the pixels of an axis, of unit mean energy."""
    place = np.arange(n) / cell + phase
    first = np.floor(place).astype(int)
    t = place - first
    basis = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3], axis=1) / 6
    weights = np.zeros((n, first[-1] + 4))
    np.put_along_axis(weights, first[:, None] + np.arange(4), basis, axis=1)
    return (weights / np.sqrt((basis**2).sum(1).mean())).astype(np.float32)
