"""Steps of a search inside a box: damped Newton, and quasi-Newton steps that go on with the same second derivative."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

_MEMORY = 8
"""Pairs of steps and changes of the gradient that correct the second derivative (L-BFGS; Nocedal and Wright 2006, 7.2)."""


class DampedSteps:
    """Steps from a quadratic model, and from later gradients of the same loss.

    A parameter that stands on its bound and wants to leave is held.

    Args:
        position: [N] where the model was made.
        gradient: [N] of the model.
        hessian: [N, N] of the model.
        limits: [N] largest absolute values.
        damping: added to the Hessian's diagonal, as a part of it.
    """

    def __init__(
        self, position: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, limits: np.ndarray, damping: float
    ) -> None:
        self._limits = limits
        self._free = ~((np.abs(position) >= limits) & (position * gradient < 0))
        free = np.flatnonzero(self._free)
        damped = hessian.copy() if len(free) == len(position) else hessian[np.ix_(free, free)]
        diagonal = damped.diagonal().copy()
        damped.ravel()[:: len(free) + 1] += damping * diagonal + 1e-9 * diagonal.max() + 1e-30
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []
        try:
            self._factor = cho_factor(damped, overwrite_a=True, check_finite=False)
        except LinAlgError:
            # Rounding made the Hessian indefinite: standing still is rejected, and the next attempt damps more.
            self._factor = None

    def end(self, position: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Where a step from a position [N] with this gradient [N] ends, inside the bounds."""
        if self._factor is None:
            return position
        moved = position.copy()
        moved[self._free] -= self._solved(gradient[self._free])
        return np.clip(moved, -self._limits, self._limits)

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        """Takes note of a step [N] and of the change of the gradient [N] along it, if the loss curves upward there."""
        step, change = step[self._free], change[self._free]
        if step @ change > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change):
            self._pairs = [*self._pairs, (step, change)][-_MEMORY:]

    def _solved(self, gradient: np.ndarray) -> np.ndarray:
        """The inverse second derivative, corrected by what was learnt, times a gradient."""
        rest, shares = gradient.copy(), []
        for step, change in reversed(self._pairs):
            shares.append(step @ rest / (step @ change))
            rest -= shares[-1] * change
        rest = cho_solve(self._factor, rest, check_finite=False)
        for (step, change), share in zip(self._pairs, reversed(shares), strict=True):
            rest += step * (share - change @ rest / (step @ change))
        return rest
