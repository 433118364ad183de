"""The command that makes studies of a real CT with labelled vertebrae.

    lumbar-ext simulate-ct --ct CT.nii.gz --labels MSK.nii.gz --output_dir DIR --n 4 --seed 0

Each study is another biplanar geometry and exposure of the same person, in the folder layout of `study_files`. Rays are
cast through the voxels; meshes, decompositions, silhouettes and landmarks come from the labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.drr.bone_images import bone_images
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera, RigidTransform
from lumbar_ext.io.volume import Volume, read_volume
from lumbar_ext.mesh.voxels import occupancy
from lumbar_ext.simulation.body.materials import MATERIALS
from lumbar_ext.simulation.cohort import DEFAULT_ANATOMY
from lumbar_ext.simulation.ct.ct_labels import LabelledVertebrae, read_vertebrae
from lumbar_ext.simulation.ct.ct_projection import ct_paths
from lumbar_ext.simulation.ct.ct_surroundings import with_surroundings
from lumbar_ext.simulation.imaging.acquisition import sample_geometry
from lumbar_ext.simulation.imaging.exposure import expose, sample_exposures
from lumbar_ext.simulation.imaging.picture_processing import finish
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.ranges import SimulationParameters
from lumbar_ext.simulation.simulated_study import SimulatedStudy, Truth, refuse_no_picture
from lumbar_ext.simulation.study_files import is_complete, write_study
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.studies.truth_volume import TruthVolume, truth_grid, values_at
from lumbar_ext.transforms.tissue import NO_HU, NOT_SEEN_LABEL, TISSUE_LABELS, UNKNOWN_LABEL

# A whole trunk is this wide and deep; less is filled up.
_WHOLE_MM = (180.0, 260.0)
_AIR_SHARE = 0.02  # of voxels: a CT with less shows no skin
_AIR_HU = -500.0  # between air and fat
_SHUTTER_MM = 4.0  # inside the CT's ends, where a picture is cut off


@dataclass(frozen=True)
class CtSubject:
    """A CT and what its labels say, in a world frame whose origin is the middle of the labelled vertebrae.

    Args:
        ct: CT numbers.
        vertebrae: surfaces and landmarks.
        study_from_file: from the frame X front, Y left, Z up of the file to this one.
        name: of the file.
    """

    ct: Volume
    vertebrae: LabelledVertebrae
    study_from_file: RigidTransform
    name: str

    @property
    def bones_mm(self) -> np.ndarray:
        """[M, 3] points on the labelled vertebrae."""
        return np.concatenate([solid.vertices_mm[::50] for solid in self.vertebrae.solids if solid])

    @property
    def is_cropped(self) -> bool:
        """Whether the image ends inside the person: smaller than a trunk, or without air around it."""
        depth, width = np.abs(self.ct.world_from_voxel[:2, :3]) @ np.array(self.ct.values.shape)
        return bool(depth < _WHOLE_MM[0] or width < _WHOLE_MM[1] or (self.ct.values < _AIR_HU).mean() < _AIR_SHARE)


def write_ct_studies(
    ct: str,
    labels: str,
    output_dir: str,
    n: int = 1,
    seed: int = 0,
    *,
    landmarks: str | None = None,
    label_values: dict[str, int] | None = None,
    fill: str = "auto",
    anatomy: str | None = str(DEFAULT_ANATOMY),
    parameters: str | None = None,
    meshes: bool = True,
    volumes: bool = False,
) -> None:
    """Writes `n` studies of a CT, named by its file and their seeds, skipping those that exist.

    Args:
        ct: CT numbers: NIfTI, NRRD, MetaImage, or a folder with one DICOM series.
        labels: label map in the same world: NIfTI, NRRD or MetaImage.
        output_dir: folder to fill.
        n: number of studies; their seeds are `seed` to `seed + n - 1`.
        seed: first seed.
        landmarks: JSON file {"L1": {"superior_endplate": [x, y, z], ...}, ...}, mm in the world of the label file.
        label_values: label of each level, {"L1": 20, ..., "L5": 24} by default.
        fill: "yes" fills in soft tissue around the image, "no" does not, "auto" does if it ends inside the person.
        anatomy: anatomy file whose mean shapes find the landmarks that no file gives; "none" leaves them unknown.
        parameters: JSON file that overrides ranges, see `parameter_file`.
        meshes: whether to write the vertebrae as STL files.
        volumes: whether to write the CT about the vertebrae, `truth/volume.nii.gz` and `labels.nii.gz`, to train fields with.

    Raises:
        InputError: for unreadable or contradicting input.
    """
    if fill not in ("auto", "yes", "no"):
        raise InputError(f"fill must be auto, yes or no, found {fill!r}")
    ranges = read_parameters(parameters)
    folders = {number: _folder(output_dir, ct, number) for number in range(seed, seed + n)}
    todo = [number for number, folder in folders.items() if not is_complete(folder)]
    bare = [folder for folder in folders.values() if volumes and not StudyFolder(folder).truth.labels.is_file()]
    if not (todo or bare):
        print(f"{output_dir}: all {n} studies found")
        return
    found = read_vertebrae(
        labels,
        label_values or VERSE_LABELS,
        landmarks=landmarks,
        anatomy=None if anatomy in (None, "none") else anatomy,
    )
    subject = ct_subject(read_volume(ct), found, Path(ct).name)
    filled = subject.is_cropped if fill == "auto" else fill == "yes"
    for number in tqdm(todo, desc=f"studies of {subject.name}"):
        study = simulate_ct_study(subject, number, fill=filled, parameters=ranges)
        write_study(study, folders[number], meshes=meshes)
    if bare:
        known = ct_truth_volume(subject)
        for folder in bare:
            known.write(StudyFolder(folder).truth)


def ct_subject(ct: Volume, vertebrae: LabelledVertebrae, name: str) -> CtSubject:
    """Puts the origin into the middle of the labelled vertebrae.

    Raises:
        InputError: if the vertebrae do not lie in the image.
    """
    centres = np.array([solid.vertices_mm.mean(0) for solid in vertebrae.solids if solid])
    index = (centres - ct.world_from_voxel[:3, 3]) @ np.linalg.inv(ct.world_from_voxel[:3, :3]).T
    if (index < 0).any() or (index > np.array(ct.values.shape) - 1).any():
        raise InputError(f"{name}: labelled vertebrae lie outside the image; are both files of one scan?")
    study_from_file = RigidTransform(np.eye(3), -centres.mean(0))
    moved = Volume(ct.values, study_from_file.to_matrix() @ ct.world_from_voxel)
    return CtSubject(moved, vertebrae.moved(study_from_file), study_from_file, name)


def ct_truth_volume(subject: CtSubject) -> TruthVolume:
    """What a CT and its labels say of the box about the labelled vertebrae.

    Air is known by its CT number. Of all else that has no label it is known that it is no lumbar vertebra, if all five are
    labelled and whole; otherwise nothing.
    """
    solids = subject.vertebrae.solids
    grid = truth_grid([solid for solid in solids if solid])
    values = values_at(subject.ct, grid, np.nan)
    inside = np.isfinite(values)
    all_known = all(solids) and not subject.vertebrae.cut
    labels = np.where(inside & all_known, np.uint8(UNKNOWN_LABEL), np.uint8(NOT_SEEN_LABEL))
    labels[inside & (values < _AIR_HU)] = TISSUE_LABELS["air"]
    for level, solid in zip(LEVELS, solids, strict=True):
        if solid:
            labels[occupancy(solid, grid) & inside] = TISSUE_LABELS[level]
    return TruthVolume(np.where(inside, np.rint(values), NO_HU).astype(np.int16), labels, grid)


def simulate_ct_study(
    subject: CtSubject,
    seed: int,
    *,
    fill: bool,
    size_px: int = 512,
    parameters: SimulationParameters | None = None,
) -> SimulatedStudy:
    """Simulates one biplanar study of a CT; equal arguments give equal studies.

    Args:
        subject: the CT.
        seed: of geometry, exposure and picture.
        fill: whether soft tissue is filled in around the image.
        size_px: rows and columns of the panel.
        parameters: ranges, the defaults if omitted.
    """
    parameters = parameters or SimulationParameters()
    rng = np.random.default_rng([seed, len(LEVELS)])
    geometry = sample_geometry(rng, subject.bones_mm, parameters.geometry, size_px=size_px)
    exposures = sample_exposures(rng, parameters.beam)
    body = subject.ct
    if fill:
        spine = np.array([solid.vertices_mm.mean(0) for solid in subject.vertebrae.solids if solid])
        body = with_surroundings(rng, body, subject.bones_mm, _at_least_two(spine), parameters.trunk)
    pictures, images = {}, {}
    for view in VIEWS:
        camera = geometry[view]
        signal = expose(rng, _paths(subject.ct, body, camera), camera, exposures[view])
        refuse_no_picture(signal, f"{subject.name} seed {seed}, {view}: the signal")
        pictures[view] = finish(rng, signal, camera, _shown_mm(subject, camera), _shuttered(parameters).appearance)
        images[view] = bone_images(subject.vertebrae.solids, camera)
        refuse_no_picture(images[view].decomposition, f"{subject.name} seed {seed}, {view}: the decomposition")
    truth = Truth(
        vertebrae=subject.vertebrae.solids,
        landmarks_mm=subject.vertebrae.landmarks_mm,
        decomposition={view: images[view].decomposition for view in VIEWS},
        silhouettes={view: images[view].silhouettes for view in VIEWS},
        posture=None,
        geometry=geometry,
        exposures=exposures,
        composition=None,
        subject={"seed": seed, "person_seed": seed} | _provenance(subject, fill),
    )
    return SimulatedStudy(pictures, geometry, truth)


def _paths(ct: Volume, body: Volume, camera: Camera) -> np.ndarray:
    """Path lengths [4, rows, columns] in `MATERIALS`: bone and metal from the CT, the rest from the whole body."""
    paths = ct_paths(body, camera)
    if body is not ct:
        hard = [MATERIALS.index(name) for name in ("bone", "metal")]
        paths[hard] = ct_paths(ct, camera)[hard]
    return paths


def _provenance(subject: CtSubject, fill: bool) -> dict:
    """What meta.json says about a CT."""
    return {
        "base": subject.name,
        "labelled_levels": [level for level, solid in zip(LEVELS, subject.vertebrae.solids, strict=True) if solid],
        "cut_levels": list(subject.vertebrae.cut),
        "soft_tissue_filled_in": fill,
        "study_from_file": subject.study_from_file.to_matrix().tolist(),
        "world_from_vertebra": {
            level: pose.to_matrix().round(6).tolist() for level, pose in subject.vertebrae.poses.items()
        },
    }


def _shown_mm(subject: CtSubject, camera: Camera) -> np.ndarray:
    """World points [N, 3] that span what the image shows of the spine: shutters hide what it ends without."""
    corners = np.stack(np.meshgrid(*([0, n - 1] for n in subject.ct.values.shape), indexing="ij"), -1).reshape(-1, 3)
    corners = corners @ subject.ct.world_from_voxel[:3, :3].T + subject.ct.world_from_voxel[:3, 3]
    top, bottom = corners[:, 2].max() - _SHUTTER_MM, corners[:, 2].min() + _SHUTTER_MM
    bones = subject.bones_mm
    # The middle of the detector's rays: magnified alike, the ends of the image give the ends of the field.
    ends = np.array([[0.0, 0.0, top], [0.0, 0.0, bottom]]) + bones.mean(0) * [1, 1, 0]
    sides = np.concatenate([bones, ends])
    return np.clip(sides, [-np.inf, -np.inf, bottom], [np.inf, np.inf, top])


def _shuttered(parameters: SimulationParameters) -> SimulationParameters:
    """The parameters with shutters closed to what is shown, as the image ends there."""
    appearance = replace(
        parameters.appearance, collimation_share=1.0, collimation_v=(0.05, 0.1), collimation_margin=(0.0, 0.0)
    )
    return replace(parameters, appearance=appearance)


def _at_least_two(spine_mm: np.ndarray) -> np.ndarray:
    """Body centres [N, 3] that span a course; a single one gets a neighbour above."""
    return spine_mm if len(spine_mm) > 1 else np.concatenate([spine_mm, spine_mm + np.array([0.0, 0.0, 35.0])])


def _folder(output_dir: str, ct: str, seed: int) -> Path:
    stem = Path(ct).name.split(".")[0] or "ct"
    return Path(output_dir) / f"{stem}-{seed:06d}"
