"""Path lengths against ITK-RTK's voxel projector, an independent renderer; skipped where `itk-rtk` is not installed."""

import itk
import numpy as np
import pytest
import trimesh

from lumbar_ext.drr import path_length

RADII_MM = np.array([18.0, 26.0, 13.0])
CENTRE_MM = np.array([6.0, -9.0, 14.0])
VOXEL_MM = 0.5


def voxelised_ellipsoid():
    """An ITK image (x, y, z) of occupied fractions, its origin in the world frame."""
    size = np.ceil(2 * (RADII_MM + 2) / VOXEL_MM).astype(int)
    origin = CENTRE_MM - (size - 1) / 2 * VOXEL_MM
    axes = [origin[i] + VOXEL_MM * np.arange(size[i]) - CENTRE_MM[i] for i in range(3)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    radius = np.sqrt((x / RADII_MM[0]) ** 2 + (y / RADII_MM[1]) ** 2 + (z / RADII_MM[2]) ** 2)
    gradient = np.sqrt((x / RADII_MM[0] ** 2) ** 2 + (y / RADII_MM[1] ** 2) ** 2 + (z / RADII_MM[2] ** 2) ** 2)
    depth_mm = (1 - radius) * radius / np.maximum(gradient, 1e-9)
    image = itk.image_from_array(np.clip(depth_mm / VOXEL_MM + 0.5, 0, 1).astype(np.float32))
    image.SetOrigin(origin.tolist())
    image.SetSpacing([VOXEL_MM] * 3)
    return image


def rtk_path_length(camera, volume):
    """Joseph's projection of a volume by RTK, [rows, columns] mm."""
    kind = type(volume)
    geometry = itk.RTK.ThreeDCircularProjectionGeometry.New()
    assert geometry.AddProjection(
        camera.source_mm.tolist(), camera.detector_origin_mm.tolist(), camera.u_axis.tolist(), camera.v_axis.tolist()
    )
    blank = itk.RTK.ConstantImageSource[kind].New()
    blank.SetSpacing([*camera.pixel_spacing_mm, 1.0])
    blank.SetOrigin([0.0, 0.0, 0.0])
    blank.SetSize([*camera.size_px, 1])
    projector = itk.RTK.JosephForwardProjectionImageFilter[kind, kind].New()
    projector.SetGeometry(geometry)
    projector.SetInput(0, blank.GetOutput())
    projector.SetInput(1, volume)
    projector.Update()
    return itk.array_from_image(projector.GetOutput())[0]


@pytest.mark.skipif(not hasattr(itk, "RTK"), reason="itk-rtk is not installed")
@pytest.mark.parametrize("name", ["ap", "lat"])
def test_path_lengths_are_those_of_a_voxel_projector(cameras, name):
    ball = trimesh.creation.icosphere(subdivisions=6)
    vertices = ball.vertices * RADII_MM + CENTRE_MM
    lengths = path_length(vertices, ball.faces.astype(np.int32), cameras[name])
    expected = rtk_path_length(cameras[name], voxelised_ellipsoid())
    # Away from the silhouette, where a voxel projector cannot follow the steep rise of the length.
    inside = expected > 10
    assert inside.sum() > 1000
    assert (np.abs(lengths - expected)[inside] / expected[inside]).mean() < 0.01
