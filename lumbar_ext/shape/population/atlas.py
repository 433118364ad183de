"""The anatomy file (`anatomy.pt`): everything a simulation needs to make lumbar spines and the bones around them.

A flat dictionary of tensors, readable with `torch.load(weights_only=True)`; names of subjects are stored as UTF-8
bytes.

| key | shape, type | content |
|---|---|---|
| triangles | [M, 3] int32 | topology shared by all levels |
| landmark_vertices, landmark_weights | [7, k] int64, float32 | landmarks as weighted vertex means |
| mirror_vertices, mirror_weights | [V, 3] int32, float32 | the left-right mirror: see `mirror.MirrorMap` |
| means | [5, V, 3] float32 | level means, vertebra frames, mm |
| deviations | [N, 5, V, 3] float16 | size-free deviations of real training subjects, mm |
| deviation_names | bytes | their names, one a line |
| bases | [S, 5, V, 3] float32 | real subjects that simulated people start from as they are, vertebra frames |
| base_names, base_splits | bytes | their names and splits (train, validation or test), one a line |
| sacrum_vertices, sacrum_triangles | [., 3] | sacral frame: origin at the S1 endplate centre, Z its normal, X front |
| pelvis_vertices, pelvis_triangles | [., 3] | hip bones of the same person in the same sacral frame |
| t12_vertices, t12_triangles | [., 3] | a T12 in its vertebra frame |
| sacrum_from_l5 | [4, 4] float32 | pose of that person's L5 vertebra frame in the sacral frame |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.io.input_file import one_line
from lumbar_ext.io.weights import read_tensors
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.correspondence.mirror import MirrorMap
from lumbar_ext.shape.model.reference import Reference


@dataclass(frozen=True)
class BackgroundBones:
    """Bones that a radiograph shows beside L1-L5.

    Args:
        sacrum: closed surface in the sacral frame (origin at the S1 endplate centre, Z its normal, X front, Y left),
        mm.
        pelvis: hip bones in the sacral frame, mm.
        t12: the vertebra above L1, in its vertebra frame, mm.
        sacrum_from_l5: [4, 4] pose of the L5 vertebra frame in the sacral frame.
    """

    sacrum: Surface
    pelvis: Surface
    t12: Surface
    sacrum_from_l5: np.ndarray


@dataclass(frozen=True)
class Atlas:
    """Contents of the anatomy file; the module text explains the arrays.

    Args:
        reference: topology, landmarks and the reference vertebra (the mean L3).
        means_mm: [5, V, 3].
        deviations_mm: [N, 5, V, 3].
        deviation_names: N names.
        bases_mm: [S, 5, V, 3].
        base_names: S names.
        base_splits: S splits.
        mirror: the left-right mirror.
        background: other bones, None where the cohort has none.
    """

    reference: Reference
    means_mm: np.ndarray
    deviations_mm: np.ndarray
    deviation_names: tuple[str, ...]
    bases_mm: np.ndarray
    base_names: tuple[str, ...]
    base_splits: tuple[str, ...]
    mirror: MirrorMap
    background: BackgroundBones | None

    @classmethod
    def load(cls, path: str | Path) -> Atlas:
        """Reads an anatomy file.

        Raises:
            InputError: if the file is missing or is not an anatomy file.
        """
        try:
            stored = read_tensors(path, "an anatomy file")
            arrays = {name: value.numpy() for name, value in stored.items()}
            surface = Surface(arrays["means"][2], arrays["triangles"])
            return cls(
                reference=Reference(surface, MaterialPoints(arrays["landmark_vertices"], arrays["landmark_weights"])),
                means_mm=arrays["means"],
                deviations_mm=arrays["deviations"].astype(np.float32),
                deviation_names=_names(arrays["deviation_names"]),
                bases_mm=arrays["bases"],
                base_names=_names(arrays["base_names"]),
                base_splits=_names(arrays["base_splits"]),
                mirror=MirrorMap(MaterialPoints(arrays["mirror_vertices"].astype(np.int64), arrays["mirror_weights"])),
                background=_background(arrays),
            )
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise InputError(f"{path}: cannot be read as an anatomy file ({one_line(error)})") from error

    def save(self, path: str | Path) -> None:
        """Writes the anatomy file atomically."""
        arrays = {
            "triangles": self.reference.surface.triangles.astype(np.int32),
            "landmark_vertices": self.reference.landmarks.vertices.astype(np.int64),
            "landmark_weights": self.reference.landmarks.weights.astype(np.float32),
            "mirror_vertices": self.mirror.partners.vertices.astype(np.int32),
            "mirror_weights": self.mirror.partners.weights.astype(np.float32),
            "means": self.means_mm.astype(np.float32),
            "deviations": self.deviations_mm.astype(np.float16),
            "deviation_names": _encoded(self.deviation_names),
            "bases": self.bases_mm.astype(np.float32),
            "base_names": _encoded(self.base_names),
            "base_splits": _encoded(self.base_splits),
        }
        if self.background is not None:
            for name in ("sacrum", "pelvis", "t12"):
                bone: Surface = getattr(self.background, name)
                arrays[f"{name}_vertices"] = bone.vertices_mm.astype(np.float32)
                arrays[f"{name}_triangles"] = bone.triangles.astype(np.int32)
            arrays["sacrum_from_l5"] = self.background.sacrum_from_l5.astype(np.float32)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
        with atomic_path(path) as temporary:
            torch.save(tensors, temporary)


def _background(arrays: dict[str, np.ndarray]) -> BackgroundBones | None:
    """The other bones, if the file has them."""
    if "sacrum_vertices" not in arrays:
        return None
    bones = {
        name: Surface(arrays[f"{name}_vertices"], arrays[f"{name}_triangles"]) for name in ("sacrum", "pelvis", "t12")
    }
    return BackgroundBones(**bones, sacrum_from_l5=arrays["sacrum_from_l5"].astype(np.float64))


def _encoded(names: tuple[str, ...]) -> np.ndarray:
    """Names as bytes, one a line."""
    return np.frombuffer("\n".join(names).encode(), dtype=np.uint8).copy()


def _names(encoded: np.ndarray) -> tuple[str, ...]:
    """Inverse of `_encoded`."""
    text = encoded.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
