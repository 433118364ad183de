"""The statistical shape model of L1-L5: one topology, a mean and principal modes for each level.

`vertices = mean + sum_k b_k sd_k mode_k` in the vertebra frame, in mm, with b in units of standard deviations: the
model of Cootes and Taylor with P the matrix of eigenvectors of the covariance and variances sd_k^2 its eigenvalues
(equations 1 and 9 of Yu et al. 2025 print "covariance matrix" and "eigenvectors" for P and b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.io.input_file import one_line
from lumbar_ext.io.weights import read_tensors
from lumbar_ext.shape.model.alignment import generalized_procrustes
from lumbar_ext.shape.model.frame import world_from_vertebra
from lumbar_ext.shape.model.reference import Reference


class VertebraShapeModel(nn.Module):
    """Linear shape model of the five lumbar vertebrae.

    Args:
        n_vertices: V, vertices of the shared topology.
        n_triangles: M, triangles.
        n_modes: K, modes per level.
        landmark_size: k, vertices per landmark set.

    Buffers: `mean` [5, V, 3] mm; `modes` [5, K, V, 3] of unit norm over V*3; `standard_deviations` [5, K] mm;
    `triangles` [M, 3] int32; `landmark_vertices` [7, k] int64 and `landmark_weights` [7, k], rows summing to one. All
    fixed: the model has no parameters.
    """

    def __init__(self, n_vertices: int, n_triangles: int, n_modes: int, landmark_size: int = 64) -> None:
        super().__init__()
        levels, landmarks = len(LEVELS), len(LANDMARKS)
        self.register_buffer("mean", torch.zeros(levels, n_vertices, 3))
        self.register_buffer("modes", torch.zeros(levels, n_modes, n_vertices, 3))
        self.register_buffer("standard_deviations", torch.zeros(levels, n_modes))
        self.register_buffer("triangles", torch.zeros(n_triangles, 3, dtype=torch.int32))
        self.register_buffer("landmark_vertices", torch.zeros(landmarks, landmark_size, dtype=torch.int64))
        self.register_buffer("landmark_weights", torch.zeros(landmarks, landmark_size))

    @torch.jit.unused
    @property
    def n_modes(self) -> int:
        """K, how many modes each level has."""
        return self.modes.shape[1]

    @classmethod
    def load(cls, path: str | Path, n_modes: int | None = None) -> VertebraShapeModel:
        """Reads a state dict written by `save`; the sizes are taken from the file.

        Args:
            path: `model.pt`.
            n_modes: keep only the first modes; all when omitted.

        Raises:
            InputError: if the file cannot be read as a shape model, or holds numbers that are not finite.
        """
        try:
            state = read_tensors(path, "a vertebra shape model")
            model = cls(
                state["mean"].shape[1],
                state["triangles"].shape[0],
                state["modes"].shape[1],
                state["landmark_vertices"].shape[1],
            )
            model.load_state_dict(state)
        except (KeyError, IndexError, TypeError, RuntimeError, AttributeError) as error:
            raise InputError(f"{path}: cannot be read as a vertebra shape model ({one_line(error)})") from error
        for name, value in model.state_dict().items():
            if not torch.isfinite(value).all():
                raise InputError(f"{path}: {name} holds numbers that are not finite, expected a vertebra shape model")
        return model if n_modes is None else model.truncate(n_modes)

    def save(self, path: str | Path) -> None:
        """Writes the state dict, modes in half precision (an error of about 1 micrometre), atomically."""
        state = dict(self.state_dict())
        state["modes"] = state["modes"].half()
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def forward(self, b: torch.Tensor) -> torch.Tensor:
        """Shapes of coefficients.

        Args:
            b: [B, 5, J] coefficients in standard deviations, J <= K; the remaining modes stay at zero.

        Returns:
            [B, 5, V, 3] vertices in the vertebra frames, mm.

        Raises:
            ValueError: if the shape of b does not fit.
        """
        # Sizes from the buffers and no property: this method is scripted for TorchScript.
        levels, modes = self.modes.shape[0], self.modes.shape[1]
        if b.ndim != 3 or b.shape[1] != levels or b.shape[2] > modes:
            raise ValueError(f"b must be [B, {levels}, at most {modes}], found {b.shape}")
        scaled = b * self.standard_deviations[:, : b.shape[2]]
        return self.mean + torch.einsum("blk,lkvc->blvc", scaled, self.modes[:, : b.shape[2]])

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        """Landmarks [..., 7, 3] of vertices [..., V, 3], in the frame of the vertices."""
        return (vertices[..., self.landmark_vertices, :] * self.landmark_weights[..., None]).sum(dim=-2)

    def project(self, vertices: torch.Tensor) -> torch.Tensor:
        """Coefficients [B, 5, K] of the instances closest to vertices [B, 5, V, 3] aligned with the mean."""
        deviation = torch.einsum("blvc,lkvc->blk", vertices - self.mean, self.modes)
        return deviation / self.standard_deviations.clamp_min(1e-9)

    def truncate(self, n_modes: int) -> VertebraShapeModel:
        """The same model with only the first modes.

        Raises:
            ValueError: if more modes are asked for than there are.
        """
        if not 0 <= n_modes <= self.n_modes:
            raise ValueError(f"n_modes must be 0..{self.n_modes}, found {n_modes}")
        shorter = VertebraShapeModel(
            self.mean.shape[1], self.triangles.shape[0], n_modes, self.landmark_vertices.shape[1]
        )
        state = dict(self.state_dict())
        state["modes"] = state["modes"][:, :n_modes]
        state["standard_deviations"] = state["standard_deviations"][:, :n_modes]
        shorter.load_state_dict(state)
        return shorter


@dataclass(frozen=True)
class PrincipalComponents:
    """Mean and modes of one set of shapes.

    Args:
        mean_mm: [V, 3].
        modes: [K, V, 3] orthonormal over V*3.
        standard_deviations_mm: [K] falling.
        total_variance_mm2: sum of all eigenvalues, kept or not.
    """

    mean_mm: np.ndarray
    modes: np.ndarray
    standard_deviations_mm: np.ndarray
    total_variance_mm2: float


def principal_components(shapes_mm: np.ndarray, n_modes: int) -> PrincipalComponents:
    """Principal components of aligned shapes [N, V, 3] through the N x N Gram matrix.

    Modes are given a fixed sign: their largest component is positive.
    """
    count = len(shapes_mm)
    mean = shapes_mm.mean(axis=0)
    deviations = (shapes_mm - mean).reshape(count, -1)
    values, vectors = np.linalg.eigh(deviations @ deviations.T / max(count - 1, 1))
    order = np.argsort(values)[::-1]
    values, vectors = np.clip(values[order], 0, None), vectors[:, order]
    kept = min(n_modes, int((values > 1e-10 * max(values[0], 1e-30)).sum()), count - 1)
    modes = vectors[:, :kept].T @ deviations
    modes /= np.linalg.norm(modes, axis=1, keepdims=True)
    modes *= np.sign(modes[np.arange(kept), np.abs(modes).argmax(axis=1)])[:, None]
    return PrincipalComponents(mean, modes.reshape(kept, *mean.shape), np.sqrt(values[:kept]), float(values.sum()))


def fit_shape_model(subjects_mm: np.ndarray, reference: Reference, n_modes: int) -> VertebraShapeModel:
    """Procrustes alignment without scaling and principal components, level by level.

    Args:
        subjects_mm: [N, 5, V, 3] subjects in correspondence.
        reference: topology and landmarks.
        n_modes: modes to keep; fewer when N is small.

    Returns:
        The model, every mean in its vertebra frame.

    Raises:
        ValueError: if the subjects do not have the reference's topology.
    """
    subjects = np.asarray(subjects_mm)
    expected = (len(LEVELS), len(reference.surface.vertices_mm), 3)
    if subjects.ndim != 4 or subjects.shape[1:] != expected:
        raise ValueError(f"subjects_mm must be [N, {expected[0]}, {expected[1]}, 3], found {subjects.shape}")
    return fit_level_shapes([subjects[:, level] for level in range(len(LEVELS))], reference, n_modes)


def fit_level_shapes(shapes_mm: Sequence[np.ndarray], reference: Reference, n_modes: int) -> VertebraShapeModel:
    """As `fit_shape_model`, for levels that were seen in different numbers of subjects.

    Args:
        shapes_mm: for each level [N_level, V, 3] shapes in correspondence.
        reference: topology and landmarks.
        n_modes: modes to keep; at most one less than the level with the fewest shapes has.

    Raises:
        InputError: if a level has fewer than two shapes, which show no variation.
    """
    for name, shapes in zip(LEVELS, shapes_mm, strict=True):
        if len(shapes) < 2:
            raise InputError(f"{name} was seen in {len(shapes)} training subjects, a shape model needs at least 2")
    components = []
    for shapes in shapes_mm:
        alignment = generalized_procrustes(shapes)
        vertebra_from_mean = world_from_vertebra(reference.landmarks_mm(alignment.mean_mm)).inverse()
        components.append(principal_components(vertebra_from_mean.apply(alignment.shapes_mm), n_modes))
    kept = min(len(c.modes) for c in components)
    model = VertebraShapeModel(
        len(reference.surface.vertices_mm),
        len(reference.surface.triangles),
        kept,
        reference.landmarks.vertices.shape[1],
    )
    state = {
        "mean": np.stack([c.mean_mm for c in components]),
        "modes": np.stack([c.modes[:kept] for c in components]),
        "standard_deviations": np.stack([c.standard_deviations_mm[:kept] for c in components]),
        "triangles": reference.surface.triangles,
        "landmark_vertices": reference.landmarks.vertices,
        "landmark_weights": reference.landmarks.weights,
    }
    model.load_state_dict({name: torch.as_tensor(np.ascontiguousarray(value)) for name, value in state.items()})
    return model
