"""The projector as a PyTorch function, so that others can learn through it.

    projector = PathLengthProjector(camera)
    vertices = posed_vertices(shape_model(coefficients)[0, 2], pose)            # both may require gradients
    drr = drr_of(projector(vertices, shape_model.triangles))
    (drr - target).square().mean().backward()

Runs on the CPU in double precision; gradients are those of vertices, and through them of poses and coefficients.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lumbar_ext.drr.adjoint import GRAZING_FLOOR, accumulate_vertex_gradient
from lumbar_ext.drr.beer_lambert import MU_BONE_800HU_PER_MM
from lumbar_ext.drr.projector import MeshProjector
from lumbar_ext.geometry.camera import Camera


class PathLengthFunction(torch.autograd.Function):
    """Path length of a closed mesh with its vector-Jacobian product by the vertices."""

    @staticmethod
    def forward(
        ctx, vertices_mm: torch.Tensor, triangles: torch.Tensor, projector: MeshProjector, grazing_floor: float
    ) -> torch.Tensor:
        """[rows, columns] mm of vertices [V, 3] and triangles [M, 3]."""
        vertices = vertices_mm.detach().cpu().double().numpy()
        faces = np.ascontiguousarray(triangles.detach().cpu().numpy().astype(np.int32))
        ctx.projector, ctx.vertices, ctx.triangles, ctx.floor = projector, vertices, faces, grazing_floor
        image = torch.from_numpy(projector.path_length(vertices, faces))
        return image.to(device=vertices_mm.device, dtype=vertices_mm.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, image_gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """The gradient [V, 3] of the vertices."""
        gradient = np.zeros_like(ctx.vertices)
        accumulate_vertex_gradient(
            ctx.projector.project_with_inverse_depth(ctx.vertices),
            ctx.vertices,
            ctx.projector.camera.source_mm,
            ctx.projector.camera.source_step_mm,
            ctx.triangles,
            image_gradient.detach().cpu().double().numpy() * ctx.projector.ray_length_mm,
            ctx.floor,
            gradient,
        )
        return torch.from_numpy(gradient).to(image_gradient), None, None, None


class PathLengthProjector(nn.Module):
    """Path lengths of closed meshes for one camera, with gradients.

    Args:
        camera: the view.
        grazing_floor: smallest cosine between ray and normal that the gradient believes in. Rays that graze a triangle
            give single pixels huge gradients; 0.05 holds them back for a few percent of length, the default for none.
    """

    def __init__(self, camera: Camera, grazing_floor: float = GRAZING_FLOOR) -> None:
        super().__init__()
        self.grazing_floor = grazing_floor
        self.projector = MeshProjector(camera)

    def forward(self, vertices_mm: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
        """The length inside the mesh along each pixel's ray.

        Args:
            vertices_mm: [V, 3] world mm, floating point.
            triangles: [M, 3] integers, counter-clockwise seen from outside; the mesh must be closed.

        Returns:
            [rows, columns] mm, of the type and device of the vertices.

        Raises:
            ValueError: if a vertex is not finite or lies behind the X-ray source.
        """
        return PathLengthFunction.apply(vertices_mm, triangles, self.projector, self.grazing_floor)


def drr_of(path_length_mm: torch.Tensor, mu_per_mm: float = MU_BONE_800HU_PER_MM) -> torch.Tensor:
    """DRR values in [0, 1) of path lengths in mm; see `lumbar_ext.drr.beer_lambert`."""
    return -torch.expm1(-mu_per_mm * path_length_mm)


def posed_vertices(vertices_mm: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """Points [..., 3] after pose parameters [6]: (tx, ty, tz) mm, then lateral, flexion, axial rad.

    `R = Rz(axial) @ Ry(flexion) @ Rx(lateral)`, then the translation, as everywhere (docs/conventions.md).
    """
    (cx, cy, cz), (sx, sy, sz) = torch.cos(pose[3:]), torch.sin(pose[3:])
    rotation = torch.stack(
        [
            torch.stack([cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx]),
            torch.stack([sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx]),
            torch.stack([-sy, cy * sx, cy * cx]),
        ]
    )
    return vertices_mm @ rotation.T + pose[:3]
