"""The widened population: new subjects from means, real deviations, parameters and free-form residuals.

A few dozen real vertebrae cannot show how far lumbar anatomy reaches. A new subject adds to a base (the level means,
or a real subject kept out of the statistics) a common size, a random mixture of real deviations, the anatomical
parameters of `variation`, and a smooth free-form residual, each correlated between the levels of the subject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.mesh.sampling import spread_points
from lumbar_ext.shape.correspondence.nonrigid import gaussian_kernel
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.shape.population.variation import PARAMETERS, displacement_fields

# of the same dimension on both sides of a person; estimated
_LEFT_RIGHT_CORRELATION = 0.6
_REAL_LEVEL_CORRELATION = 0.6  # of neighbouring levels' real deviations; estimated
# width of the windows in which real deviations are mixed, and how many there are
_LOCAL_SIGMA_MM, _LOCAL_SEEDS = 18.0, 80
_RESIDUAL_SIGMAS_MM = (7.0, 11.0, 17.0)  # widths of the free-form bumps, from articular process to half a vertebra
_RESIDUAL_SEEDS = (420, 180, 80)  # bumps of each width
_RESIDUAL_VARIANCE = (0.3, 0.35, 0.35)  # share of each width


@dataclass(frozen=True)
class Amplitudes:
    """How much of each source of variation a subject gets, 1 being its published or estimated standard deviation.

    Args:
        real: mixture of real deviations.
        local: part of the variance of that mixture that changes smoothly over the surface, in [0, 1].
        parametric: anatomical parameters.
        residual_mm: (low, high) of the free-form standard deviation per axis, drawn per subject, mm.
    """

    real: float = 1.0
    local: float = 0.5
    parametric: float = 0.85
    residual_mm: tuple[float, float] = (0.25, 0.5)


class Widening:
    """Draws displacements for all five levels of a subject.

    Args:
        atlas: means, deviations and topology.
        amplitudes: how much of each source.
    """

    def __init__(self, atlas: Atlas, amplitudes: Amplitudes | None = None) -> None:
        self.amplitudes = amplitudes or Amplitudes()
        self._reference = atlas.reference
        means = np.asarray(atlas.means_mm, dtype=np.float64)
        real = np.asarray(atlas.deviations_mm, dtype=np.float32)
        real = np.concatenate([real, atlas.mirror.apply(real)]) if len(real) else real
        self._n_real = len(real)
        fields = displacement_fields(means, atlas.reference.landmarks_mm(means))
        stacked = np.concatenate([real, fields])
        self._fields = np.ascontiguousarray(stacked.transpose(1, 0, 2, 3).reshape(len(LEVELS), len(stacked), -1))
        middle = means[LEVELS.index("L3")]
        self._residual = _bump_basis(middle, _RESIDUAL_SIGMAS_MM, _RESIDUAL_SEEDS, _RESIDUAL_VARIANCE)
        self._windows = _bump_basis(middle, (_LOCAL_SIGMA_MM,), (_LOCAL_SEEDS,), (1.0,))

    def displacements(self, rng: np.random.Generator) -> np.ndarray:
        """Real and parametric displacements [5, V, 3] of a new subject, mm, without size and free-form residual."""
        real = _correlated(rng, self._n_real, np.full(self._n_real, _REAL_LEVEL_CORRELATION))
        amplitude = self.amplitudes.real / np.sqrt(max(self._n_real - 1, 1))
        real *= amplitude * np.sqrt(1 - self.amplitudes.local)
        coefficients = np.concatenate([real, self.amplitudes.parametric * draw_parameters(rng)]).astype(np.float32)
        moved = np.stack([coefficients[:, level] @ self._fields[level] for level in range(len(LEVELS))])
        return moved.reshape(len(LEVELS), -1, 3) + amplitude * np.sqrt(self.amplitudes.local) * self._local(rng)

    def _local(self, rng: np.random.Generator) -> np.ndarray:
        """A mixture [5, V, 3] of real deviations whose coefficients are smooth random fields over the surface.

        One person's pedicles go with another's transverse processes: real variation, without the accident that few
        people link all parts of a vertebra (the locality assumption of Wilms et al., Medical Image Analysis 2017).
        """
        weights = self._windows @ rng.standard_normal((self._windows.shape[1], self._n_real), dtype=np.float32)
        real = self._fields[:, : self._n_real].reshape(len(LEVELS), self._n_real, len(weights), 3)
        mixture = np.zeros((len(LEVELS), len(weights), 3), dtype=np.float32)
        # One deviation at a time stays in the cache: three times faster than one einsum.
        for index, weight in enumerate(np.ascontiguousarray(weights.T)):
            mixture += weight[:, None] * real[:, index]
        return mixture

    def parametric_displacements(self, rng: np.random.Generator, amplitude: float) -> np.ndarray:
        """Parametric displacements [5, V, 3] alone, mm; amplitude 1 gives the published standard deviations."""
        coefficients = (amplitude * draw_parameters(rng)).astype(np.float32)
        moved = np.stack([coefficients[:, level] @ self._fields[level, self._n_real :] for level in range(len(LEVELS))])
        return moved.reshape(len(LEVELS), -1, 3)

    def residual(self, rng: np.random.Generator) -> np.ndarray:
        """A smooth free-form displacement [5, V, 3], mm, a third of its variance common to all levels."""
        amplitude = rng.uniform(*self.amplitudes.residual_mm)
        coefficients = rng.standard_normal((self._residual.shape[1], len(LEVELS) * 3), dtype=np.float32)
        common = rng.standard_normal((self._residual.shape[1], 1, 3), dtype=np.float32)
        mixed = np.sqrt(2 / 3) * coefficients.reshape(-1, len(LEVELS), 3) + np.sqrt(1 / 3) * common
        field = self._residual @ mixed.reshape(len(coefficients), -1).astype(np.float32)
        return (amplitude * field.reshape(-1, len(LEVELS), 3)).transpose(1, 0, 2)

    def training_subject(self, rng: np.random.Generator, base_mm: np.ndarray, log_size: np.ndarray) -> np.ndarray:
        """A new subject on a base.

        Args:
            rng: random generator.
            base_mm: [5, V, 3] level means or a real subject, vertebra frames.
            log_size: [5] log of the size factor of each level.

        Returns:
            [5, V, 3] float32 vertices, each level in its own vertebra frame.
        """
        shape = base_mm * np.exp(log_size)[:, None, None] + self.displacements(rng) + self.residual(rng)
        return self.in_vertebra_frames(shape)

    def in_vertebra_frames(self, vertices_mm: np.ndarray) -> np.ndarray:
        """Brings every level [5, V, 3] to its own vertebra frame; float32."""
        return np.stack([self._reference.in_vertebra_frame(level) for level in vertices_mm]).astype(np.float32)


@dataclass(frozen=True)
class Build:
    """The build of a person.

    Args:
        sex: "female" or "male".
        stature_mm: standing height.
        log_size: [5] log of the size of each vertebra relative to the level means.
    """

    sex: str
    stature_mm: float
    log_size: np.ndarray


def draw_build(rng: np.random.Generator) -> Build:
    """Sex, stature and vertebral size.

    Men's vertebrae are about 10 % larger in every direction than women's; the spread within a sex is about 4.5 %,
    half explained by stature; sizes of levels correlate at about 0.85.
    """
    male = bool(rng.random() < 0.5)
    mean_mm, sd_mm = (1756.0, 70.0) if male else (1623.0, 64.0)
    stature = float(np.clip(rng.normal(mean_mm, sd_mm), mean_mm - 3 * sd_mm, mean_mm + 3 * sd_mm))
    common = (0.047 if male else -0.047) + 0.7 * (stature - mean_mm) / mean_mm + rng.normal(0.0, 0.032)
    return Build("male" if male else "female", stature, common + rng.normal(0.0, 0.016, len(LEVELS)))


def draw_parameters(rng: np.random.Generator) -> np.ndarray:
    """Standardised anatomical parameters [P, 5], correlated between levels and between the two sides."""
    draws = _correlated(rng, len(PARAMETERS), np.array([p.level_correlation for p in PARAMETERS]))
    names = [p.name for p in PARAMETERS]
    rho = _LEFT_RIGHT_CORRELATION
    for left, name in enumerate(names):
        if name.startswith("left_"):
            right = names.index(name.replace("left_", "right_"))
            draws[right] = rho * draws[left] + np.sqrt(1 - rho**2) * draws[right]
    return draws


def _correlated(rng: np.random.Generator, count: int, correlation: np.ndarray) -> np.ndarray:
    """Standard normal draws [count, 5] with the given correlation [count] between any two levels."""
    common, own = rng.standard_normal((count, 1)), rng.standard_normal((count, len(LEVELS)))
    return np.sqrt(correlation)[:, None] * common + np.sqrt(1 - correlation)[:, None] * own


def _bump_basis(
    points_mm: np.ndarray, sigmas_mm: tuple[float, ...], seeds: tuple[int, ...], variances: tuple[float, ...]
) -> np.ndarray:
    """Gaussian bumps [V, S] of several widths: standard normal coefficients give unit variance everywhere."""
    parts = []
    for sigma, count, variance in zip(sigmas_mm, seeds, variances, strict=True):
        kernel = gaussian_kernel(points_mm, points_mm[spread_points(points_mm, count)], sigma)
        parts.append(np.sqrt(variance) * kernel / np.linalg.norm(kernel, axis=1, keepdims=True))
    return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)
