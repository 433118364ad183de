"""Gain and background of a view, fitted along with the vertebrae: what is wrong with the picture, not with the bones.

A picture that is a little too bright, or has soft tissue left in it, would bend the vertebrae; a low-frequency gain and
background per view take that error up instead. They enter linearly, so for given vertebrae they are the solution of a
small robust regression, and the loss stays a function of the vertebrae alone (variable projection, Golub and Pereyra
1973).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.registration.terms.similarity import Similarity


@dataclass(frozen=True)
class ViewFields:
    """Smooth fields `gain` and `background` of each view: `target = (1 + gain) * prediction + background`.

    Both are sums of products of cosines over the box that holds the bones of the target.

    Args:
        gain_orders: (columns, rows) cosines of the gain; (1, 1) is one number a view, (0, 0) none.
        gain_sd: standard deviation of each coefficient of the gain.
        background_orders: cosines of the background.
        background_sd: standard deviation of each coefficient of the background, pixel value.
        weight: of the squared coefficients (in SDs) in the loss, against the mean pixel penalty.
        rounds: of robust reweighting in a fit.
    """

    gain_orders: tuple[int, int] = (1, 3)
    gain_sd: float = 0.1
    background_orders: tuple[int, int] = (0, 0)
    background_sd: float = 0.03
    weight: float = 1e-4
    rounds: int = 2

    def __post_init__(self) -> None:
        orders = (*self.gain_orders, *self.background_orders)
        if min(orders) < 0 or not (self.gain_sd > 0 and self.background_sd > 0 and self.weight > 0 and self.rounds > 0):
            raise ValueError(f"orders must not be negative, all else positive, found {self}")


@dataclass(frozen=True)
class FittedFields:
    """The fields of one view for one prediction.

    Args:
        gain: [rows, columns] `1 + gain`.
        background: [rows, columns].
        coefficients: in SDs, gain before background.
        penalty: what they add to the loss, before the mean over views.
    """

    gain: np.ndarray
    background: np.ndarray
    coefficients: np.ndarray
    penalty: float


class FieldFitter:
    """Fits the fields of one view.

    Args:
        fields: which.
        target: [rows, columns] picture.
        weights: [rows, columns] pixel weights, already divided by what the summed penalty of the view is divided by.
        similarity: the pixel penalty.
        bone_value: target values from here on make the box.
    """

    def __init__(
        self, fields: ViewFields, target: np.ndarray, weights: np.ndarray, similarity: Similarity, bone_value: float
    ) -> None:
        self.fields, self._target, self._weights, self._similarity = fields, target, weights, similarity
        box = _box(target > bone_value)
        self._gain = fields.gain_sd * _cosines(target.shape, box, fields.gain_orders)
        self._background = fields.background_sd * _cosines(target.shape, box, fields.background_orders)

    def fit(self, prediction: np.ndarray) -> FittedFields:
        """The fields [rows, columns] that explain the target best with this prediction [rows, columns]."""
        used = self.informative_pixels(prediction)
        design = self.design(prediction, used)
        missing = self._target.ravel()[used] - prediction.ravel()[used]
        coefficients = np.zeros(design.shape[1])
        for _ in range(self.fields.rounds):
            residual = design @ coefficients.astype(np.float32) - missing
            weight = self._weights.ravel()[used] * self._similarity.reweighting(residual)
            normal = (design * weight[:, None]).T @ design + 2 * self.fields.weight * np.eye(design.shape[1])
            coefficients = np.linalg.solve(normal, design.T @ (weight * missing))
        count = len(self._gain)
        gain = (1 + coefficients[:count] @ self._gain).reshape(prediction.shape)
        background = (coefficients[count:] @ self._background).reshape(prediction.shape)
        penalty = self.fields.weight * float(coefficients @ coefficients)
        return FittedFields(gain.astype(np.float32), background.astype(np.float32), coefficients, penalty)

    def design(self, prediction: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Derivative [N, C] float32 of the adjusted prediction by the coefficients at flat pixel indices [N]."""
        gain = self._gain[:, pixels] * prediction.ravel()[pixels]
        background = self._background[:, pixels]
        return np.concatenate([gain, background]).T.astype(np.float32)

    def informative_pixels(self, prediction: np.ndarray) -> np.ndarray:
        """Flat indices of the pixels that say something: where there is bone, or all for a background."""
        if len(self._background):
            return np.arange(prediction.size)
        return np.flatnonzero(prediction.ravel() > 0)


def _box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last (column, row) of a mask; the whole picture of an empty one."""
    v, u = np.nonzero(mask)
    if not len(v):
        return np.zeros(2), np.array(mask.shape[::-1]) - 1.0
    return np.array([u.min(), v.min()]), np.array([u.max(), v.max()])


def _cosines(shape: tuple[int, int], box: tuple[np.ndarray, np.ndarray], orders: tuple[int, int]) -> np.ndarray:
    """Products of cosines [C, rows * columns] over a box, continued outside by their values at its rim."""
    first, last = box
    axes = []
    for axis, size in enumerate(shape[::-1]):
        place = np.clip((np.arange(size) - first[axis]) / max(last[axis] - first[axis], 1), 0, 1)
        axes.append(np.cos(np.pi * np.arange(orders[axis])[:, None] * place))
    along_u, along_v = axes
    products = along_v[None, :, :, None] * along_u[:, None, None, :]
    return products.reshape(orders[0] * orders[1], shape[0] * shape[1]).astype(np.float32)
