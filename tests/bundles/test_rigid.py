"""The config rigid.json: the subject's own meshes become labels of its radiographs."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import trimesh

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh, write_stl
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.training.view_records import read_view
from lumbar_ext.workflow.network_bundle import load_weights
from lumbar_ext.workflow.own_study_labels import ReadSubject

CONFIGS = ("inference.json", "rigid.json")
CT_FROM_WORLD = RigidTransform.from_euler(0.0, 0.2, 0.1, np.array([10.0, 20.0, 500.0]))


@pytest.fixture(scope="module")
def shape_model():
    model = VertebraShapeModel(n_vertices=10000, n_triangles=20000, n_modes=64)
    return load_weights(model, Path(__file__).parents[2] / "bundles" / "lumbar_reconstruction" / "models" / "model.pt")


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
    assert np.nanmedian(np.linalg.norm(found.positions_mm - true_study.landmarks_mm, axis=-1)) < 2
    assert np.isnan(found.positions_mm[0]).all() and np.isfinite(found.positions_mm[1:]).all()
    for view in VIEWS:
        np.testing.assert_allclose(
            found.positions_px[view][1:], true_study.geometry[view].project(found.positions_mm[1:]), atol=1e-3
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
        labels[occupancy(surface, VoxelGrid(origin, 1.0, shape))] = VERSE_LABELS[level]
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


def _meshes(folder, study, change=lambda vertices: vertices, levels=LEVELS[1:]):
    folder.mkdir()
    for level in levels:
        vertebra = study.vertebrae[LEVELS.index(level)]
        write_stl(folder / f"{level}.stl", change(CT_FROM_WORLD.apply(vertebra.vertices_mm)), vertebra.triangles)
    return str(folder)


def test_metres_give_the_labels_of_millimetres(labels, true_study, reconstruct, tmp_path):
    meshes = _meshes(tmp_path / "ct", true_study, lambda vertices: vertices / 1000, levels=("L3", "L4"))
    truth = {"decompositions_dir": str(true_study.folder / "truth")}
    reconstruct(true_study, tmp_path / "out", configs=CONFIGS, mesh_dir=meshes, **truth)
    for level in ("L3", "L4"):
        expected, found = (read_mesh(folder / "truth" / f"{level}.stl")[0] for folder in (labels, tmp_path / "out"))
        # The other levels were not there to hold them: their neighbours' overlaps are missing from the prediction.
        np.testing.assert_allclose(found.mean(0), expected.mean(0), atol=0.5)
        np.testing.assert_allclose(np.ptp(found, axis=0), np.ptp(expected, axis=0), atol=1.0)
    meta = json.loads((tmp_path / "out" / "truth" / "meta.json").read_text())
    assert any("unit taken as m" in warning for warning in meta["warnings"])


def test_different_units_are_refused(shape_model, true_study, tmp_path):
    folder = _meshes(tmp_path / "ct", true_study)
    path = tmp_path / "ct" / "L3.stl"
    write_stl(path, read_mesh(path)[0] / 10, read_mesh(path)[1])
    with pytest.raises(InputError, match="different units"):
        ReadSubject(shape_model, mesh_dir=folder)


def test_a_study_is_not_written_over_what_it_is_made_of(shape_model, true_study, tmp_path):
    folder = _meshes(tmp_path / "truth", true_study)
    subject = ReadSubject(shape_model, mesh_dir=folder)
    images = {name: str(tmp_path / f"{name}.file") for name in ("ap_image", "lat_image", "calibration")}
    with pytest.raises(InputError, match=r"L\d\.stl: is read here"):
        subject({**images, "output_dir": str(tmp_path)})


def test_half_a_vertebra_is_refused(shape_model, true_study, tmp_path):
    folder = _meshes(tmp_path / "ct", true_study)
    path = tmp_path / "ct" / "L4.stl"
    vertices, triangles = read_mesh(path)
    cut = (vertices[triangles][:, :, 2] > np.median(vertices[:, 2])).all(axis=1)
    write_stl(path, vertices, triangles[cut])
    with pytest.raises(InputError, match=r"L4\.stl.*open"):
        ReadSubject(shape_model, mesh_dir=folder)


def test_triangles_turned_inside_out_are_turned_back(shape_model, true_study, tmp_path):
    folder = _meshes(tmp_path / "ct", true_study, levels=("L3",))
    path = tmp_path / "ct" / "L3.stl"
    vertices, triangles = read_mesh(path)
    plain = ReadSubject(shape_model, mesh_dir=folder)({})["subject"]["L3"]
    write_stl(path, vertices, triangles[:, ::-1])
    turned = ReadSubject(shape_model, mesh_dir=folder)({})
    found = turned["subject"]["L3"]
    assert Surface(found.vertices_mm, found.triangles).volume_mm3 > 0
    # Merged anew, the vertices that the fit samples are others: tips move by a quarter of a millimetre.
    np.testing.assert_allclose(found.landmarks_mm, plain.landmarks_mm, atol=0.5)
    assert any("outward" in note for note in turned["subject_notes"])


def _ball(radii, centre):
    ball = trimesh.creation.icosphere(4)
    return ball.vertices * np.array(radii) + np.array(centre), ball.faces


def test_what_is_no_vertebra_is_refused(shape_model, tmp_path):
    write_stl(tmp_path / "L3.stl", *_ball((30.0, 20.0, 15.0), (0, 0, 0)))
    with pytest.raises(InputError, match="does not look like a lumbar vertebra"):
        ReadSubject(shape_model, mesh_dir=str(tmp_path))({})


def test_labels_in_another_order_are_refused(shape_model, true_study, tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_label_map(path, true_study, ("L3", "L4"))
    upside_down = {"L3": VERSE_LABELS["L4"], "L4": VERSE_LABELS["L3"]}
    with pytest.raises(InputError, match=r"L3 lies -\d+ mm above L4"):
        ReadSubject(shape_model, label_map=str(path), label_values=upside_down)


def test_other_label_numbers_can_be_named(shape_model, true_study, tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_label_map(path, true_study, ("L3",))
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.where(image.get_fdata() > 0, 29, 0).astype(np.uint8), image.affine), path)
    with pytest.raises(InputError, match="holds none of L1"):
        ReadSubject(shape_model, label_map=str(path))
    assert list(ReadSubject(shape_model, label_map=str(path), label_values={"L3": 29})({})["subject"]) == ["L3"]


def test_a_vertebra_that_failed_is_no_truth(true_study, reconstruct, tmp_path):
    # L4's bone under L2's name: it can be posed, but not where the pictures show an L2.
    vertebra = true_study.vertebrae[LEVELS.index("L4")]
    (tmp_path / "ct").mkdir()
    write_stl(tmp_path / "ct" / "L2.stl", vertebra.vertices_mm * [1.25, 1.25, 0.8], vertebra.triangles)
    good = true_study.vertebrae[LEVELS.index("L3")]
    write_stl(tmp_path / "ct" / "L3.stl", good.vertices_mm, good.triangles)
    truth = {"decompositions_dir": str(true_study.folder / "truth")}
    try:
        reconstruct(true_study, tmp_path / "out", configs=CONFIGS, mesh_dir=str(tmp_path / "ct"), **truth)
    except ValueError as error:
        assert "L2" in str(error)
    else:
        meta = json.loads((tmp_path / "out" / "truth" / "meta.json").read_text())
        written = {path.stem for path in (tmp_path / "out" / "truth").glob("L*.stl")}
        assert set(meta["left_out"]).isdisjoint(written)
        assert "L3" in written
