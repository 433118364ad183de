"""What a vertebra costs whose landmarks were not found: begun from its label in a volume, against begun from its landmarks.

    lumbar-ext simulate --output_dir COHORT --n 24 --seed 0 --split validation --pathology mixed --meshes true
    python benchmarks/first_guess.py COHORT --n 6

Each level in turn is forgotten in both views of each study: the field of the volume is not told its landmarks either. Then it
begins from its label (`lumbar-ext reconstruct --volume_dir V --guess_missing true`), where without that it would be missing.
One registration, no second look; distances of the vertebra's vertices to its true surface, mm.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.evaluation.surfaces.surface_error import surface_error
from lumbar_ext.evaluation.truth import study_items, true_surfaces
from lumbar_ext.io.volume import Volume
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.registration import registration_config
from lumbar_ext.registration.register import RegistrationInput, register
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.volumes.first_guess import GuessMissingLevels
from lumbar_ext.volumes.lumbar_box import lumbar_box
from lumbar_ext.volumes.study_field import StudyField
from lumbar_ext.workflow.edited_landmarks import EditedLandmarks
from lumbar_ext.workflow.locate_and_look import observe_located
from lumbar_ext.workflow.network_bundle import load_bundle_network, load_locating_networks
from lumbar_ext.workflow.observe import ObservedStudy

_VOXEL_MM = 1.5


def main() -> None:
    """Prints a line for each vertebra, then the medians of the levels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset_dir")
    parser.add_argument("--n", type=int, default=6, help="studies")
    arguments = parser.parse_args()
    networks = load_locating_networks(bundle_dir(MULTITASK))
    root = bundle_dir(RECONSTRUCTION)
    field_network = load_bundle_network(root, root / "models" / "volume.pt", config="volume_inference.json")
    model = VertebraShapeModel.load(root / "models" / "model.pt")
    guess, rows = GuessMissingLevels(model), []
    print("| study | level | from landmarks, mm | from the label, mm |\n|---|---|---|---|")
    for item in study_items(arguments.dataset_dir, "", limit=arguments.n):
        study, truth = (
            read_study(item["ap_image"], item["lat_image"], item["calibration"]),
            true_surfaces(item["truth_dir"]),
        )
        observed = observe_located(*networks, study)
        known = _registered(_landmarks_of(observed), model, truth)
        for level in (level for level in LEVELS if level in truth and level in known):
            forgotten = _landmarks_of(_without(observed, level))
            field = StudyField.of(field_network, study, forgotten.landmarks.positions_mm)
            volume = field.on_grid(lumbar_box(field, _VOXEL_MM))
            found, _ = guess(forgotten, Volume(volume.labels.astype(np.float32), volume.grid.world_from_voxel))
            guessed = _registered(found, model, truth).get(level, np.nan)
            rows.append((level, known[level], guessed))
            print(f"| {item['output_dir']} | {level} | {known[level]:.2f} | {guessed:.2f} |", flush=True)
    for level in LEVELS:
        own = np.array([row[1:] for row in rows if row[0] == level])
        if len(own):
            found = np.isfinite(own[:, 1])
            print(
                f"{level}: begun from its label in {found.sum()} of {len(own)}; median {np.median(own[found, 1]):.2f} mm "
                f"(largest {own[found, 1].max():.2f}), from landmarks {np.median(own[:, 0]):.2f}"
            )


def _landmarks_of(observed: ObservedStudy) -> EditedLandmarks:
    landmarks = triangulate_landmarks(observed.geometry, observed.landmarks)
    return EditedLandmarks(observed, landmarks, np.zeros_like(landmarks.confidence, dtype=bool))


def _without(observed: ObservedStudy, level: str) -> ObservedStudy:
    """The study as if a level had not been found."""
    own = LEVELS.index(level)
    decoded = {}
    for view, seen in observed.decoded.items():
        pixels, confidence = seen.landmarks_px.copy(), seen.landmark_confidence.copy()
        pixels[own], confidence[own] = np.nan, 0.0
        decoded[view] = replace(seen, landmarks_px=pixels, landmark_confidence=confidence)
    return replace(observed, decoded=decoded)


def _registered(found: EditedLandmarks, model: VertebraShapeModel, truth: dict[str, Surface]) -> dict[str, float]:
    """Mean distance of each level that has a true surface, mm."""
    seen = found.observed
    result = register(
        RegistrationInput(seen.decompositions, seen.geometry, found.landmarks, seen.landmarks),
        model,
        registration_config(),
    )
    triangles = model.triangles.numpy()
    return {
        level: surface_error(Surface(fit.vertices_mm, triangles), truth[level]).numbers["mean_mm"]
        for level, fit in result.vertebrae.items()
        if level in truth
    }


if __name__ == "__main__":
    main()
