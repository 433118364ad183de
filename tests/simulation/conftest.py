"""A population of toy vertebrae that needs no data file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.surface import Surface, tube
from lumbar_ext.shape.model.reference import LANDMARK_VERTICES, Reference
from lumbar_ext.shape.population.atlas import BackgroundBones
from lumbar_ext.simulation.body.ribs import sweep
from lumbar_ext.simulation.bones.neighbours import Neighbours
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.bones.skeleton import Skeleton, assemble_skeleton

ANATOMY = Path(__file__).parents[2] / "bundles" / "lumbar_reconstruction" / "models" / "anatomy.pt"
HEIGHT_MM, HALF_DEPTH_MM, HALF_WIDTH_MM = 27.0, 17.0, 23.0


@dataclass(frozen=True)
class ToySubject:
    """Stands in for `simulated_population.Subject`."""

    vertices_mm: np.ndarray
    landmarks_mm: np.ndarray
    sex: str = "female"
    stature_mm: float = 1650.0
    base: str = "toy"


def toy_vertebra() -> Surface:
    """An elliptic cylinder with three processes, in its vertebra frame."""
    steps = np.linspace(0, 1, 12)[:, None]
    spinous = sweep(np.array([-25.0, 0, 0]) + steps * [-42, 0, -6], np.full(12, 3.0))
    sides = [sweep(np.array([-25.0, side * 14, 2]) + steps * [-8, side * 28, 0], np.full(12, 4.0)) for side in (1, -1)]
    return Surface.merged([toy_body(), spinous, *sides])


def toy_body() -> Surface:
    """The cylinder alone."""
    half = HEIGHT_MM / 2
    radii = [0.15, 0.35, 0.55, 0.75, 0.92, 1.0, 1.0, 1.0, 0.92, 0.75, 0.55, 0.35, 0.15]
    heights = [-half] * 5 + [1 - half, 0, half - 1] + [half] * 5
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    ring = np.stack([HALF_DEPTH_MM * np.cos(angle), HALF_WIDTH_MM * np.sin(angle), np.zeros(32)], axis=-1)
    return tube(np.array(radii)[:, None, None] * ring + np.array(heights)[:, None, None] * [0, 0, 1])


def toy_landmarks() -> np.ndarray:
    places = {
        "superior_endplate": [0, 0, HEIGHT_MM / 2],
        "inferior_endplate": [0, 0, -HEIGHT_MM / 2],
        "left_transverse_process": [-33, 42, 2],
        "right_transverse_process": [-33, -42, 2],
        "left_pedicle": [-20, 14, 5],
        "right_pedicle": [-20, -14, 5],
        "spinous_process": [-67, 0, -6],
    }
    return np.array([places[name] for name in LANDMARKS], dtype=float)


class ToyPopulation:
    """Stands in for `simulated_population.Population`."""

    def __init__(self) -> None:
        self._vertebra = toy_vertebra()
        self.triangles = self._vertebra.triangles
        distances = np.linalg.norm(self._vertebra.vertices_mm[None] - toy_landmarks()[:, None], axis=2)
        nearest = np.repeat(distances.argmin(axis=1)[:, None], LANDMARK_VERTICES, axis=1)
        surface = Surface(self._vertebra.vertices_mm, self.triangles)
        self.reference = Reference(surface, MaterialPoints(nearest, np.full(nearest.shape, 1 / LANDMARK_VERTICES)))
        steps = np.linspace(0, 1, 15)[:, None]
        coccyx = sweep(np.array([-10.0, 0, -25]) + steps * [-70, 0, -67], np.linspace(12, 4, 15))
        promontory = toy_body()
        lowered = promontory.with_vertices(promontory.vertices_mm - [0, 0, HEIGHT_MM / 2])
        sacrum = Surface.merged([lowered, coccyx])
        wings = [sweep(np.array([-40.0, s * 40, 10]) + steps * [20, s * 80, -60], np.full(15, 8.0)) for s in (1, -1)]
        t12, hips = self._vertebra, Surface.merged(wings)
        bones = (Surface(solid.vertices_mm, solid.triangles) for solid in (sacrum, hips, t12))
        self.background = Neighbours(BackgroundBones(*bones, np.eye(4)), self._vertebra.vertices_mm)

    def sample(self, rng: np.random.Generator, split: str = "train") -> ToySubject:
        scale = rng.normal(1.0, 0.04)
        vertices = np.stack([self._vertebra.vertices_mm * scale] * len(LEVELS))
        return ToySubject(vertices, np.stack([toy_landmarks() * scale] * len(LEVELS)))


@pytest.fixture(scope="session")
def population() -> ToyPopulation:
    return ToyPopulation()


@pytest.fixture(scope="session")
def skeleton(population) -> Skeleton:
    rng = np.random.default_rng(0)
    return assemble_skeleton(rng, population.sample(rng), population.triangles, population.background)


@pytest.fixture(scope="session")
def real_population() -> Population:
    """The population of the bundle's anatomy file."""
    return Population.load(ANATOMY)
