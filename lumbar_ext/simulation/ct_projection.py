"""Ray-casting of voxel volumes by ITK (`itk.RayCastInterpolateImageFunction`, after Siddon and Jacobs).

ITK casts in the axes of the voxel grid; the camera is brought there, which is exact for any orientation of the grid.
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.geometry import Camera
from lumbar_ext.io.volume import Volume


def project_volume(volume: Volume, camera: Camera) -> np.ndarray:
    """Line integrals of a volume's values, float32 [rows, columns], in value times mm.

    Args:
        volume: values that are not negative; 0 outside the grid.
        camera: the view, in the volume's world.
    """
    import itk

    volume = volume.right_handed()
    if not volume.values.any():
        return np.zeros(camera.size_px[::-1], dtype=np.float32)
    view = _in_grid(camera, volume)
    image = itk.image_from_array(np.ascontiguousarray(volume.values.transpose(2, 1, 0), dtype=np.float32))
    image.SetSpacing(volume.spacing_mm.tolist())
    kind = type(image)
    rays = itk.RayCastInterpolateImageFunction[kind, itk.D].New()
    identity = itk.Euler3DTransform[itk.D].New()
    rays.SetTransform(identity)
    rays.SetThreshold(0.0)
    rays.SetFocalPoint(view.source_mm.tolist())
    detector = itk.ResampleImageFilter[kind, kind].New()
    detector.SetInput(image)
    detector.SetInterpolator(rays)
    detector.SetTransform(identity)
    detector.SetDefaultPixelValue(0.0)
    detector.SetSize([*view.size_px, 1])
    detector.SetOutputSpacing([*view.pixel_spacing_mm, 1.0])
    detector.SetOutputOrigin(view.detector_origin_mm.tolist())
    detector.SetOutputDirection(itk.matrix_from_array(np.stack([view.u_axis, view.v_axis, view.normal], axis=1)))
    detector.Update()
    return itk.array_from_image(detector.GetOutput())[0]


def _in_grid(camera: Camera, volume: Volume) -> Camera:
    """The camera in the frame of the grid: origin at the first voxel, axes along I, J, K, mm."""
    axes = volume.world_from_voxel[:3, :3] / volume.spacing_mm
    origin = volume.world_from_voxel[:3, 3]
    return camera.replace(
        source_mm=(camera.source_mm - origin) @ axes,
        detector_origin_mm=(camera.detector_origin_mm - origin) @ axes,
        u_axis=camera.u_axis @ axes,
        v_axis=camera.v_axis @ axes,
    )
