"""A cone beam's camera from points of known place: the markers of a phantom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import rq
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from lumbar_ext.errors import InputError
from lumbar_ext.geometry.cone_beam import ConeBeam

MIN_POINTS = 6  # twelve equations for the eleven numbers of a projection matrix
_FLAT = 0.02
"""Points are as good as in one plane where they reach less than this, as a share of their widest reach, out of it."""


@dataclass(frozen=True)
class FittedCamera:
    """A camera and how well it explains its points.

    Args:
        camera: the camera.
        residual_mm: [N] distances of the points from where the camera sees them, on the detector.
    """

    camera: ConeBeam
    residual_mm: np.ndarray


def fit_cone_beam(
    points_mm: np.ndarray, uv_px: np.ndarray, *, size_px: tuple[int, int], pixel_spacing_mm: tuple[float, float]
) -> FittedCamera:
    """The camera that sees points nearest to where they were marked.

    A projection matrix by the direct linear transform (Abdel-Aziz and Karara 1971) starts a least squares over the nine
    numbers of a camera with rectangular pixels: source, turn, foot of the perpendicular, distance.

    Args:
        points_mm: [N, 3] world mm, at least six, not in one plane.
        uv_px: [N, 2] where they are on the film.
        size_px: (columns, rows) of the film.
        pixel_spacing_mm: (du, dv) on the detector.

    Raises:
        InputError: if the points are too few, in one plane, or fit no camera.
    """
    points_mm, uv_px = np.asarray(points_mm, dtype=np.float64), np.asarray(uv_px, dtype=np.float64)
    if len(points_mm) < MIN_POINTS or points_mm.shape[1:] != (3,) or uv_px.shape != (len(points_mm), 2):
        raise InputError(
            f"{len(points_mm)} points, expected at least {MIN_POINTS} with places in space and on the film"
        )
    reach = np.linalg.svd(points_mm - points_mm.mean(0), compute_uv=False)
    if reach[2] < _FLAT * reach[0]:
        raise InputError("the points lie in one plane, expected a phantom with depth in every direction")
    spacing = np.array(pixel_spacing_mm, dtype=np.float64)

    def camera(numbers: np.ndarray) -> ConeBeam:
        turn = Rotation.from_rotvec(numbers[3:6]).as_matrix() @ frame
        source, foot_mm = numbers[:3], numbers[6:8]
        origin = source + np.array([-foot_mm[0], -foot_mm[1], numbers[8]]) @ turn
        return ConeBeam(source, origin, turn[0], turn[1], tuple(pixel_spacing_mm), size_px)

    def offsets_mm(numbers: np.ndarray) -> np.ndarray:
        return ((camera(numbers).project(points_mm) - uv_px) * spacing).ravel()

    frame, start = _linear(points_mm, uv_px, spacing)
    try:
        found = least_squares(offsets_mm, start, x_scale=[10, 10, 10, 0.01, 0.01, 0.01, 10, 10, 10], method="lm")
    except InputError as error:
        raise InputError("the points fit no cone beam: were two of them exchanged?") from error
    return FittedCamera(camera(found.x), np.linalg.norm(offsets_mm(found.x).reshape(-1, 2), axis=1))


def _linear(points_mm: np.ndarray, uv_px: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows [3, 3] of u axis, v axis and depth axis, and the nine numbers to start from, by the direct linear transform."""
    centre, scale = points_mm.mean(0), np.abs(points_mm - points_mm.mean(0)).max()
    middle, width = uv_px.mean(0), np.abs(uv_px - uv_px.mean(0)).max()
    x = np.c_[(points_mm - centre) / scale, np.ones(len(points_mm))]
    u, v = ((uv_px - middle) / width).T
    zero = np.zeros_like(x)
    equations = np.r_[np.c_[x, zero, -u[:, None] * x], np.c_[zero, x, -v[:, None] * x]]
    matrix = np.linalg.svd(equations)[2][-1].reshape(3, 4)
    to_px = np.array([[width, 0, middle[0]], [0, width, middle[1]], [0, 0, 1.0]])
    from_mm = np.r_[np.c_[np.eye(3) / scale, -centre / scale], [[0, 0, 0, 1]]]
    matrix = to_px @ matrix @ from_mm
    if (matrix @ np.r_[centre, 1])[2] < 0:
        matrix = -matrix
    source = -np.linalg.solve(matrix[:, :3], matrix[:, 3])
    intrinsic, turn = rq(matrix[:, :3])
    signs = np.diag(np.sign(np.diag(intrinsic)))
    intrinsic, turn = intrinsic @ signs, signs @ turn
    intrinsic = intrinsic / intrinsic[2, 2]
    distance = float((np.diag(intrinsic)[:2] * spacing).mean())
    # A mirrored film has a turn of determinant -1: its axes are kept, and so is the way to the detector.
    return turn, np.r_[source, np.zeros(3), intrinsic[:2, 2] * spacing, distance]
