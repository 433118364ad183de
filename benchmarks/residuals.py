"""What the shape model leaves of real vertebrae: how large it is where, and how far it is alike.

    python benchmarks/residuals.py [--models_dir bundles/lumbar_reconstruction/models]

Each training person's vertebrae are brought onto models made without this person (200 simulated subjects, 64 modes; the
level means still hold it), the validation person's onto the shipped model. What is left along the surface's normals is what
the free-form fields of a registration (`registration.free_form`) have to make up for: their prior is the same everywhere and
alike over 11 mm. Printed are the standard deviation that the training people's residuals predict for each fifth of the
surface, with that of the validation person there, and the correlation of residuals with their distance. No test person takes
part.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.geometry import fit_rigid
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.build import BuildOptions, build_model
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.shape.quality.measures import best_instance

_MODES = 64
_SMOOTH_MM = 8.0
"""Width over which squares of residuals are averaged on the surface: 42 of them at a vertex are few."""
_DISTANCES_MM = (0, 3, 6, 9, 12, 16, 22)
_PAIRS = 20_000


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models_dir", type=Path, default=bundle_dir(RECONSTRUCTION) / "models")
    arguments = parser.parse_args()
    atlas = Atlas.load(arguments.models_dir / "anatomy.pt")
    normals = [Surface(mean, atlas.reference.surface.triangles).normals for mean in atlas.means_mm]
    training = np.stack([*_training_residuals(atlas, normals)])
    model = VertebraShapeModel.load(arguments.models_dir / "model.pt")
    person = atlas.bases_mm[atlas.base_splits.index("validation")]
    validation = np.stack([_residual_mm(model, own, level, normals[level]) for level, own in enumerate(person)])
    sd_mm = _smooth_sd_mm(atlas, training)
    fifth = np.digitize(sd_mm, np.quantile(sd_mm, [0.2, 0.4, 0.6, 0.8]))
    print(
        f"{len(training)} vertebrae of {len(atlas.deviation_names)} training people, {len(LEVELS)} of the validation person"
    )
    print("| fifth of the surface | predicted, mm | the validation person, mm |")
    print("|---|---|---|")
    for part in range(5):
        own = np.sqrt(np.square(validation[:, fifth == part]).mean())
        print(f"| {part + 1} | {np.sqrt(np.square(sd_mm[fifth == part]).mean()):.2f} | {own:.2f} |")
    print("\n| distance, mm | correlation of the residuals |")
    print("|---|---|")
    for low, high, correlation in _correlations(atlas, normals[LEVELS.index("L3")], training / sd_mm):
        print(f"| {low} to {high} | {correlation:.2f} |")


def _training_residuals(atlas: Atlas, normals: list[np.ndarray]) -> Iterator[np.ndarray]:
    """[V] of each real vertebra of a training person, mm."""
    for person in range(len(atlas.deviation_names)):
        rest = [i for i in range(len(atlas.deviation_names)) if i != person]
        smaller = replace(
            atlas,
            deviations_mm=atlas.deviations_mm[rest],
            deviation_names=tuple(atlas.deviation_names[i] for i in rest),
        )
        model = build_model(smaller, BuildOptions(n_subjects=200))
        for level in _own_levels(atlas.deviations_mm[person]):
            shape = atlas.means_mm[level] + atlas.deviations_mm[person, level]
            yield _residual_mm(model, shape, level, normals[level])


def _own_levels(deviations_mm: np.ndarray) -> list[int]:
    """Levels that a person really has: those that lack one borrow a neighbour's deviation, weakened."""
    flat = deviations_mm.reshape(len(deviations_mm), -1)
    size = np.linalg.norm(flat, axis=1)
    alike = flat @ flat.T > 0.9999 * np.outer(size, size)
    return [level for level in range(len(flat)) if size[level] >= 0.9999 * size[alike[level]].max()]


def _residual_mm(model: VertebraShapeModel, vertices_mm: np.ndarray, level: int, normals: np.ndarray) -> np.ndarray:
    """[V] distance of a shape from the model's best instance, along the normals of the mean."""
    instance = best_instance(model, vertices_mm, level, _MODES)
    frame = fit_rigid(vertices_mm, model.mean[level].double().numpy())
    return np.einsum("vc,vc->v", frame.apply(vertices_mm) - frame.apply(instance), normals)


def _smooth_sd_mm(atlas: Atlas, residuals_mm: np.ndarray) -> np.ndarray:
    """[V] of residuals [N, V] and their mirror images."""
    partners = atlas.mirror.partners
    mirrored = np.einsum("nvk,vk->nv", residuals_mm[:, partners.vertices], partners.weights)
    squares = np.square(np.concatenate([residuals_mm, mirrored])).mean(0)
    points = atlas.means_mm[LEVELS.index("L3")]
    smooth = [
        np.average(squares[near], weights=np.exp(-np.square(points[near] - point).sum(1) / (2 * _SMOOTH_MM**2)))
        for point, near in zip(points, cKDTree(points).query_ball_point(points, 2 * _SMOOTH_MM), strict=True)
    ]
    return np.sqrt(smooth)


def _correlations(atlas: Atlas, normals: np.ndarray, standardised: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """By distance of two points on one side of a bone."""
    rng, points = np.random.default_rng(0), atlas.means_mm[LEVELS.index("L3")]
    near = cKDTree(points).query_ball_point(points, _DISTANCES_MM[-1])
    first = rng.integers(0, len(points), _PAIRS)
    second = np.array([rng.choice(near[i]) for i in first])
    distance = np.linalg.norm(points[first] - points[second], axis=1)
    one_side = np.einsum("vc,vc->v", normals[first], normals[second]) > 0.5
    products = (standardised[:, first] * standardised[:, second]).mean(0)
    for low, high in pairwise(_DISTANCES_MM):
        yield low, high, float(products[(distance >= low) & (distance < high) & one_side].mean())


if __name__ == "__main__":
    main()
