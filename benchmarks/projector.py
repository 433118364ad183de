"""How long a biplanar pair of path length images takes: ours against the projectors that are installed.

    python benchmarks/projector.py [--repeats 7] [--n_vertices 10000] [--size_px 512] [--quick true]

Five vertebrae, AP and lateral, 0.834 mm pixels; medians and ratios of one run. Every projector gets the same meshes and
cameras; voxel projectors get the voxelised solid, and what voxelising costs is told apart, because a registration pays it
for every new shape. Peers: gVXR (`pip install gvxr`), ITK-RTK (`pip install itk-rtk`), DiffDRR (`pip install diffdrr`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lumbar_ext.drr import MeshProjector
from lumbar_ext.evaluation.voxels import occupancy
from lumbar_ext.geometry import BiplanarGeometry, Camera, RigidTransform
from lumbar_ext.registration.coarse_mesh import CoarseMesh
from lumbar_ext.shape.point_distribution import VertebraShapeModel
from lumbar_ext.shape.surface import Surface

MODEL = Path(__file__).parents[1] / "bundles" / "lumbar_reconstruction" / "models" / "model.pt"
Meshes = list[tuple[np.ndarray, np.ndarray]]


def main(repeats: int = 7, n_vertices: int = 10_000, size_px: int = 512, quick: bool = False) -> None:
    """Prints the table.

    Args:
        repeats: of each measurement; the median counts.
        n_vertices: of each vertebra.
        size_px: rows and columns.
        quick: leave out the scaling.
    """
    meshes, geometry = spine(n_vertices), cameras(size_px)
    cold = seconds(lambda: ours(meshes, geometry, 1), 1)
    rows = {"lumbar_ext, one thread": lambda: ours(meshes, geometry, 1)}
    rows["lumbar_ext, two threads (one a view)"] = lambda: ours(meshes, geometry, 2)
    for name, prepare in (
        ("gVXR", gvxr_pair),
        ("ITK-RTK, 1 mm voxels", rtk_pair),
        ("DiffDRR, 1 mm voxels", diffdrr_pair),
    ):
        try:
            rows[name] = prepare(meshes, geometry)
        except (ImportError, AttributeError, RuntimeError, OSError) as error:
            print(
                f"{name}: skipped ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'not installed'})"
            )
    base = None
    print(
        f"\n| biplanar pair, 5 x {n_vertices} vertices, {size_px} px | median ms | best ms | ratio of medians |\n"
        "|---|---|---|---|"
    )
    for name, run in rows.items():
        run()
        every = times(run, repeats)
        median = float(np.median(every))
        base = base or median
        print(f"| {name} | {1e3 * median:.1f} | {1e3 * min(every):.1f} | {median / base:.1f} |")
    print(f"| lumbar_ext, first call of this process | {1e3 * cold:.0f} | | {cold / base:.0f} |")
    if not quick:
        scaling(repeats)


def scaling(repeats: int) -> None:
    """Prints how our time grows with vertices, image size and vertebrae, one thread."""
    print("\n| lumbar_ext, one thread | median ms |\n|---|---|")
    full, geometry = spine(10_000), cameras(512)
    for count in (1000, 2500, 5000, 10_000):
        meshes = spine(count)
        print(
            f"| 5 vertebrae of {count} vertices, 512 px | {1e3 * seconds(lambda m=meshes: ours(m, geometry, 1), repeats):.1f} |"
        )
    for size in (256, 1024, 2048):
        own = cameras(size)
        print(
            f"| 5 vertebrae of 10000 vertices, {size} px | {1e3 * seconds(lambda g=own: ours(full, g, 1), repeats):.1f} |"
        )
    for vertebrae in (1, 3):
        part = full[:vertebrae]
        print(
            f"| {vertebrae} of 10000 vertices, 512 px | {1e3 * seconds(lambda p=part: ours(p, geometry, 1), repeats):.1f} |"
        )


def seconds(run: Callable, repeats: int) -> float:
    """The median wall time of a call."""
    return float(np.median(times(run, repeats)))


def times(run: Callable, repeats: int) -> list[float]:
    """Wall times of several calls, s."""
    found = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return found


def spine(n_vertices: int) -> Meshes:
    """The mean vertebrae of the shape model, 37 mm apart, in world mm."""
    model = VertebraShapeModel.load(MODEL)
    triangles = np.ascontiguousarray(model.triangles.numpy().astype(np.int32))
    meshes = []
    for level, mean in enumerate(model.mean.numpy()):
        vertices, faces = mean, triangles
        if n_vertices < len(mean):
            coarse = CoarseMesh.of(mean, triangles, n_vertices)
            vertices, faces = coarse.reduce(mean), coarse.triangles
        pose = RigidTransform.from_euler(0, np.radians(8.0 * (level - 2)), 0, np.array([0, 0, 74 - 37.0 * level]))
        meshes.append((pose.apply(vertices), faces))
    return meshes


def cameras(size_px: int) -> BiplanarGeometry:
    """An AP and a lateral detector of 427 mm, 1150 mm from their sources."""
    spacing = 0.834 * 512 / size_px
    half = (size_px - 1) / 2 * spacing
    grid = (spacing, spacing), (size_px, size_px)
    ap = Camera([900, 0, 0], [-250, -half, half], [0, 1, 0], [0, 0, -1], *grid)
    return BiplanarGeometry(ap, Camera([0, 900, 0], [half, -250, half], [-1, 0, 0], [0, 0, -1], *grid))


_PROJECTORS: dict[int, list[MeshProjector]] = {}


def ours(meshes: Meshes, geometry: BiplanarGeometry, threads: int) -> list[np.ndarray]:
    """Path lengths of all meshes in both views."""
    projectors = _PROJECTORS.setdefault(id(geometry), [MeshProjector(geometry.ap), MeshProjector(geometry.lat)])

    # Overlapping meshes add up, so all five are one mesh.
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes[:-1])])
    vertices = np.concatenate([own for own, _ in meshes])
    triangles = np.concatenate([own + start for (_, own), start in zip(meshes, starts, strict=True)]).astype(np.int32)

    def view(projector: MeshProjector) -> np.ndarray:
        return projector.path_length(vertices, triangles)

    if threads == 1:
        return [view(projector) for projector in projectors]
    return list(_POOL.map(view, projectors))


_POOL = ThreadPoolExecutor(2)


def voxelised(meshes: Meshes) -> tuple[np.ndarray, np.ndarray]:
    """The joined solids on 1 mm voxels [x, y, z] float32, and the centre of the first voxel."""
    every = np.concatenate([vertices for vertices, _ in meshes])
    origin = np.floor(every.min(0)) - 3
    shape = tuple((np.ceil(every.max(0) - origin) + 4).astype(int))
    solid = sum(
        occupancy(Surface(vertices, triangles), origin, shape).astype(np.float32) for vertices, triangles in meshes
    )
    return solid, origin


def gvxr_pair(meshes: Meshes, geometry: BiplanarGeometry) -> Callable:
    """gVXR's L-buffer in an off-screen OpenGL context."""
    os.environ.setdefault("EGL_PLATFORM", "surfaceless")
    from gvxrPython3 import gvxr

    gvxr.createOpenGLContext(0, 0, "EGL") if hasattr(gvxr, "createOpenGLContext") else gvxr.createWindow(
        -1, False, "EGL"
    )
    gvxr.usePointSource()
    gvxr.setMonoChromatic(50, "keV", 1000)
    for i, (vertices, triangles) in enumerate(meshes):
        gvxr.makeTriangularMesh(f"L{i}", vertices.astype(float).ravel().tolist(), triangles.ravel().tolist(), "mm")
        gvxr.setHU(f"L{i}", 800)
        gvxr.addPolygonMeshAsInnerSurface(f"L{i}")

    def view(camera: Camera) -> np.ndarray:
        gvxr.setSourcePosition(*camera.source_mm.tolist(), "mm")
        gvxr.setDetectorPosition(*camera.detector_point(camera.centre_px).tolist(), "mm")
        gvxr.setDetectorUpVector(*(-camera.v_axis).tolist())
        gvxr.setDetectorNumberOfPixels(*camera.size_px)
        gvxr.setDetectorPixelSize(*camera.pixel_spacing_mm, "mm")
        return np.array(gvxr.computeXRayImage())

    return lambda: [view(geometry.ap), view(geometry.lat)]


def rtk_pair(meshes: Meshes, geometry: BiplanarGeometry) -> Callable:
    """ITK-RTK's Joseph projector; prints what voxelising costs."""
    import itk

    solid, origin = voxelised(meshes)
    print(
        f"voxelising for ITK-RTK and DiffDRR: {1e3 * seconds(lambda: voxelised(meshes), 3):.0f} ms for each new shape"
    )
    volume = itk.image_from_array(np.ascontiguousarray(solid.T))
    volume.SetOrigin(origin.tolist())
    kind = type(volume)

    def prepare(camera: Camera) -> Callable:
        rtk_geometry = itk.RTK.ThreeDCircularProjectionGeometry.New()
        place = (camera.source_mm, camera.detector_origin_mm, camera.u_axis, camera.v_axis)
        rtk_geometry.AddProjection(*(vector.tolist() for vector in place))
        blank = itk.RTK.ConstantImageSource[kind].New()
        blank.SetSpacing([*camera.pixel_spacing_mm, 1.0])
        blank.SetOrigin([0.0, 0.0, 0.0])
        blank.SetSize([*camera.size_px, 1])
        projector = itk.RTK.JosephForwardProjectionImageFilter[kind, kind].New()
        projector.SetGeometry(rtk_geometry)
        projector.SetInput(0, blank.GetOutput())
        projector.SetInput(1, volume)

        def run() -> np.ndarray:
            projector.Modified()
            projector.Update()
            return itk.array_view_from_image(projector.GetOutput())[0]

        return run

    views = [prepare(geometry.ap), prepare(geometry.lat)]
    return lambda: [view() for view in views]


def diffdrr_pair(meshes: Meshes, geometry: BiplanarGeometry) -> Callable:
    """DiffDRR's Siddon projector on the voxelised solid, both views by turning the pose."""
    import torch
    import torchio
    from diffdrr.data import read
    from diffdrr.drr import DRR

    solid, origin = voxelised(meshes)
    affine = np.eye(4)
    affine[:3, 3] = origin
    image = torchio.ScalarImage(tensor=torch.from_numpy(solid)[None], affine=affine)
    camera = geometry.ap
    drr = DRR(
        read(image, bone_attenuation_multiplier=1.0),
        sdd=abs(camera.source_distance_mm),
        height=camera.size_px[1],
        delx=camera.pixel_spacing_mm[0],
    )
    distance = torch.tensor([[0.0, 900.0, 0.0]])

    def run() -> list:
        with torch.no_grad():
            turns = (torch.zeros(1, 3), torch.tensor([[np.pi / 2, 0.0, 0.0]], dtype=torch.float32))
            return [drr(turn, distance, parameterization="euler_angles", convention="ZXY") for turn in turns]

    return run


if __name__ == "__main__":
    import fire

    fire.Fire(main)
