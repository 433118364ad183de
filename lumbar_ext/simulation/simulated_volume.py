"""Volumes of simulated people, for studies that are there: the person is made again from the study's own meta.json.

    lumbar-ext simulate-volumes --dataset_dir DIR

Pictures of meshes get their textures film by film, so the person has none that both could show: such a volume is smooth.
One whose radiographs are rays through voxels is that very body.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy
from lumbar_ext.simulation.body.trunk import TissueTexture
from lumbar_ext.simulation.bones.pathology import CHOICES
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.cohort import DEFAULT_ANATOMY
from lumbar_ext.simulation.ct.ct_materials import AIR_HU
from lumbar_ext.simulation.ct.voxel_body import body_on_grid, voxel_body
from lumbar_ext.simulation.imaging.material_paths import BodyScene
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.ranges import SimulationParameters
from lumbar_ext.simulation.simulated_study import PersonInBeam, person_in_beam
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.studies.study_folder import StudyFolder, study_folders
from lumbar_ext.studies.truth_volume import TruthVolume, truth_grid, values_at
from lumbar_ext.transforms.tissue import TISSUE_LABELS

_SAME_MM = 0.01  # landmarks of a person made again; those in files are rounded to 1e-5
_TISSUE_FROM_HU = -400.0  # between lung or gas and fat, in which a voxel of half air counts as air
_PARAMETERS_NAME = "parameters.json"


def write_simulated_volumes(
    dataset_dir: str, *, anatomy: str = str(DEFAULT_ANATOMY), limit: int | None = None, part: int = 0, parts: int = 1
) -> None:
    """Writes `truth/volume.nii.gz` (CT numbers) and `truth/labels.nii.gz` of simulated studies that lack them.

    Args:
        dataset_dir: folder of study folders that `lumbar-ext simulate` wrote.
        anatomy: anatomy file that they were made with.
        limit: of studies, from the first by name; all if omitted.
        part: which of `parts` equal parts of them, from 0.
        parts: into how many parts they are divided, for as many processes.

    Raises:
        InputError: if there are no studies, or none of them can be made again.

    Warns:
        UserWarning: for a study that another version of the simulator or another anatomy made.
    """
    folders = study_folders(dataset_dir)[:limit]
    if not folders:
        raise InputError(f"{dataset_dir}: holds no study folders, expected those of lumbar-ext simulate")
    if not 0 <= part < parts:
        raise InputError(f"part must be 0 to {parts - 1}, found {part}")
    parameters = read_parameters(_existing(Path(dataset_dir) / _PARAMETERS_NAME))
    todo = [folder for folder in folders[part::parts] if not StudyFolder(folder).truth.labels.is_file()]
    population = Population.load(anatomy)
    written = 0
    for folder in tqdm(todo, desc="volumes"):
        try:
            simulated_volume(population, folder, parameters).write(StudyFolder(folder).truth)
            written += 1
        except InputError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    if todo and not written:
        raise InputError(f"{dataset_dir}: no volume could be made of {len(todo)} studies, see the warnings")
    print(f"{written} volumes written, {len(folders[part::parts]) - len(todo)} found")


def simulated_volume(population: Population, folder: str | Path, parameters: SimulationParameters) -> TruthVolume:
    """The volume of a study that a folder holds.

    Args:
        population: that the study's person was drawn from.
        folder: the study.
        parameters: that it was made with.

    Raises:
        InputError: if the person made again has other landmarks than the study's.
    """
    files = StudyFolder(Path(folder))
    spec = recorded_spec(files, parameters)
    rng = spec.generator()
    person = person_in_beam(population, spec, rng)
    known = read_landmarks(files.truth.landmarks).positions_mm
    found = person.landmarks_mm[: len(LEVELS)]
    apart = np.nanmax(np.abs(known[: len(found)] - found))
    if not apart < _SAME_MM:
        raise InputError(
            f"{folder}: the person made again from meta.json differs by {apart:.1f} mm: another version of the simulator "
            "or another anatomy made this study"
        )
    return volume_of(person, rng)


def recorded_spec(files: StudyFolder, parameters: SimulationParameters) -> StudySpec:
    """What a study was made from, as its meta.json records it.

    Raises:
        InputError: if the file is missing or tells of no simulated person.
    """
    meta = files.truth.read_meta()
    if "seed" not in meta or "variation" not in meta:
        raise InputError(f"{files.truth.meta}: tells of no simulated person, expected a study of lumbar-ext simulate")
    camera = read_calibration(files.calibration)[VIEWS[0]]
    spec = StudySpec(
        meta["seed"],
        meta["split"],
        variation=meta["variation"],
        geometry=meta.get("geometry", "cone"),
        voxel_mm=meta["voxel_mm"],
        parameters=parameters,
    )
    if spec.geometry == "cone":
        spec = replace(spec, size_px=round(parameters.geometry.panel_mm / camera.pixel_spacing_mm[0]))
    if meta["person_seed"] != meta["seed"]:
        posture = meta["posture"]
        spec = replace(spec, person_seed=meta["person_seed"], direction=posture["direction"], level=posture["level"])
    return replace(spec, pathology=_recorded_pathology(spec, meta["pathology"], files))


def _recorded_pathology(spec: StudySpec, document: dict | None, files: StudyFolder) -> str:
    """The choice that draws what is recorded; the record itself is rounded."""
    for choice in CHOICES:
        drawn = replace(spec, pathology=choice).drawn_pathology()
        if (drawn.document() if drawn else None) == document:
            return choice
    raise InputError(f"{files.truth.meta}: no choice of pathology draws {document} for this person")


def volume_of(person: PersonInBeam, rng: np.random.Generator) -> TruthVolume:
    """The volume of a person before the cameras.

    Args:
        person: who.
        rng: the study's, where the pictures begin.
    """
    named = {bone.name: bone.outer for bone in person.scene.bones if bone.name}
    grid = truth_grid([named[level] for level in LEVELS if level in named])
    if person.spec.voxel_mm is None:
        values = body_on_grid(rng, _without_texture(person.scene), grid).values
    else:
        values = values_at(voxel_body(rng, person.scene, person.geometry, person.spec.voxel_mm), grid, AIR_HU)
    return TruthVolume(np.round(values).astype(np.int16), tissue_labels(values, person.scene, grid), grid)


def tissue_labels(values_hu: np.ndarray, scene: BodyScene, grid: VoxelGrid) -> np.ndarray:
    """Label values of a scene's voxels, uint8: bones by their meshes, air and soft tissue by the CT number.

    Args:
        values_hu: [I, J, K] CT numbers.
        scene: the bones, world frame.
        grid: the voxels.
    """
    labels = np.where(values_hu < _TISSUE_FROM_HU, TISSUE_LABELS["air"], TISSUE_LABELS["soft_tissue"]).astype(np.uint8)
    # Lumbar vertebrae last: where meshes touch, what is asked for counts.
    for bone in sorted(scene.bones, key=lambda bone: bone.name in LEVELS):
        slices = grid.slices_around(bone.outer.box_corners_mm)
        part = labels[slices]
        if part.size:
            part[occupancy(bone.outer, grid.part(slices))] = TISSUE_LABELS.get(bone.name, TISSUE_LABELS["other_bone"])
    return labels


def _without_texture(scene: BodyScene) -> BodyScene:
    """The scene without what the renderer of meshes draws anew for each film."""
    texture = TissueTexture(lung_density=scene.trunk.texture.lung_density)
    composition = replace(scene.composition, texture=0.0, patches=0.0)
    return replace(scene, composition=composition, trunk=replace(scene.trunk, texture=texture))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
