"""The config rigid.json: the subject's own meshes become labels of its radiographs."""

import json

import nibabel
import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.evaluation.surfaces.voxel_overlap import occupancy
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh, write_stl
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.training.view_records import read_view

CONFIGS = ("inference.json", "rigid.json")
CT_FROM_WORLD = RigidTransform.from_euler(0.0, 0.2, 0.1, np.array([10.0, 20.0, 500.0]))


@pytest.fixture(scope="module")
def labels(true_study, reconstruct, tmp_path_factory):
    """The study folder that a run writes from meshes in the frame of a CT that did not show L1."""
    folder = tmp_path_factory.mktemp("rigid")
    (folder / "ct").mkdir()
    for level in LEVELS[1:]:
        vertebra = true_study.vertebrae[LEVELS.index(level)]
        write_stl(folder / "ct" / f"{level}.stl", CT_FROM_WORLD.apply(vertebra.vertices_mm), vertebra.triangles)
    truth = {"decompositions_dir": str(true_study.folder / "truth")}
    reconstruct(true_study, folder / "labels", configs=CONFIGS, mesh_dir=str(folder / "ct"), **truth)
    return folder / "labels"


def test_meshes_lie_on_the_true_vertebrae(labels, true_study):
    for level in LEVELS[2:]:
        truth = true_study.vertebrae[LEVELS.index(level)].vertices_mm
        found = read_mesh(labels / "truth" / f"{level}.stl")[0]
        np.testing.assert_allclose(found.mean(0), truth.mean(0), atol=0.3)
        np.testing.assert_allclose(found.max(0), truth.max(0), atol=0.6)
    assert not (labels / "truth" / "L1.stl").exists()


def test_landmarks_are_projected_and_the_missing_level_has_none(labels, true_study):
    found = read_landmarks(labels / "truth" / "landmarks.json")
    # They come from a fitted shape model, not from the study: a few mm on a tip.
    assert np.nanmedian(np.linalg.norm(found.position_mm - true_study.landmarks_mm, axis=-1)) < 2
    assert np.isnan(found.position_mm[0]).all() and np.isfinite(found.position_mm[1:]).all()
    for view in VIEWS:
        np.testing.assert_allclose(
            getattr(found, f"{view}_px")[1:], true_study.geometry[view].project(found.position_mm[1:]), atol=1e-3
        )


def test_the_folder_is_one_the_network_trains_from(labels):
    record = read_view(labels, "ap")
    assert record.present.tolist() == [False, True, True, True, True]
    picture, _ = read_nifti_image(labels / "truth" / "decomposition_ap.nii.gz")
    assert 0.5 < picture.max() < 1
    meta = json.loads((labels / "truth" / "meta.json").read_text())
    assert set(meta["world_from_ct"]) == set(LEVELS[1:]) and meta["missing_levels"] == ["L1"]
    np.testing.assert_allclose(np.array(meta["world_from_ct"]["L4"]) @ CT_FROM_WORLD.to_matrix(), np.eye(4), atol=0.5)


def write_label_map(path, study, levels):
    """A CT label map of some vertebrae on 1 mm voxels, its axes to the right, the front and up as most files have."""
    ct_from_world = RigidTransform(np.array([[0, -1.0, 0], [1, 0, 0], [0, 0, 1]]), np.array([30.0, -20.0, 500.0]))
    surfaces = {}
    for level in levels:
        vertebra = study.vertebrae[LEVELS.index(level)]
        surfaces[level] = Surface(ct_from_world.apply(vertebra.vertices_mm), vertebra.triangles)
    every = np.concatenate([surface.vertices_mm for surface in surfaces.values()])
    origin = np.floor(every.min(0)) - 3
    shape = tuple((np.ceil(every.max(0)) - origin + 4).astype(int))
    labels = np.zeros(shape, np.uint8)
    for level, surface in surfaces.items():
        labels[occupancy(surface, origin, shape)] = VERSE_LABELS[level]
    affine = np.eye(4)
    affine[:3, 3] = origin
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)


def test_a_label_map_does_what_its_meshes_do(labels, true_study, reconstruct, tmp_path):
    levels = ("L3", "L4")
    write_label_map(tmp_path / "ct.nii.gz", true_study, levels)
    truth = {"decompositions_dir": str(true_study.folder / "truth")}
    reconstruct(true_study, tmp_path / "out", configs=CONFIGS, label_map=str(tmp_path / "ct.nii.gz"), **truth)
    for level in levels:
        from_meshes = Surface(*read_mesh(labels / "truth" / f"{level}.stl"))
        found = Surface(*read_mesh(tmp_path / "out" / "truth" / f"{level}.stl"))
        # Voxels of 1 mm alone put a surface about 0.2 mm off.
        assert surface_distance_mm(found, from_meshes).mean() < 0.5
        assert surface_distance_mm(from_meshes, found).mean() < 0.5
    meta = json.loads((tmp_path / "out" / "truth" / "meta.json").read_text())
    assert set(meta["world_from_ct"]) == set(levels)


def test_a_label_map_without_lumbar_vertebrae_is_refused(true_study, reconstruct, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.full((4, 4, 4), 7, np.uint8), np.eye(4)), tmp_path / "ct.nii.gz")
    with pytest.raises(ValueError, match="holds none of L1"):
        reconstruct(true_study, tmp_path / "out", configs=CONFIGS, label_map=str(tmp_path / "ct.nii.gz"))


def test_meshes_or_a_label_map_must_be_given(true_study, reconstruct, tmp_path):
    with pytest.raises(ValueError, match="either --mesh_dir or --label_map"):
        reconstruct(true_study, tmp_path / "out", configs=CONFIGS)
    with pytest.raises(ValueError, match=r"no such folder, expected L1\.stl"):
        reconstruct(true_study, tmp_path / "out", configs=CONFIGS, mesh_dir=str(tmp_path / "none"))
