"""A phantom CT, boxes in a box, becomes studies whose pictures, meshes, landmarks and cameras agree."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io.volume import read_volume
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.simulation.ct.ct_labels import read_vertebrae
from lumbar_ext.simulation.ct.ct_surroundings import missing_voxels, with_surroundings
from lumbar_ext.simulation.ct.from_ct import ct_subject, simulate_ct_study, write_ct_studies
from lumbar_ext.simulation.ranges import SimulationParameters
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.studies.truth_volume import read_truth_volume
from lumbar_ext.transforms.tissue import NO_HU, NOT_SEEN_LABEL

SPACING = 2.0
SHAPE = (50, 70, 90)  # right, anterior, superior
# Half sizes of a body, and the heights of L2 and L3 in the image; mm.
HALF = np.array([21.0, 16.0, 13.0])
CENTRES = {"L2": np.array([3.0, -8.0, 25.0]), "L3": np.array([-2.0, -5.0, -12.0])}
OFFSETS = {
    "superior_endplate": [0, 0, 13],
    "inferior_endplate": [0, 0, -13],
    "left_pedicle": [-14, -20, 4],
    "right_pedicle": [14, -20, 4],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """CT, labels and landmarks of the phantom, in RAS."""
    folder = tmp_path_factory.mktemp("ct")
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = -(np.array(SHAPE) - 1) / 2 * SPACING
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    points = index * SPACING + affine[:3, 3]
    hu, labels = np.full(SHAPE, 40, np.int16), np.zeros(SHAPE, np.uint8)
    for value, (_, centre) in zip((21, 22), CENTRES.items(), strict=True):
        body = (np.abs(points - centre) <= HALF).all(-1)
        hu[body], labels[body] = 400, value
    nibabel.save(nibabel.Nifti1Image(hu, affine), folder / "ct.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "msk.nii.gz")
    landmarks = {
        level: {name: (centre + offset).tolist() for name, offset in OFFSETS.items()}
        for level, centre in CENTRES.items()
    }
    (folder / "landmarks.json").write_text(json.dumps(landmarks))
    return folder


@pytest.fixture(scope="module")
def subject(files):
    vertebrae = read_vertebrae(files / "msk.nii.gz", landmarks=files / "landmarks.json")
    return ct_subject(read_volume(files / "ct.nii.gz"), vertebrae, "ct.nii.gz")


def test_the_world_is_front_left_up(subject):
    """RAS (right, anterior, superior) is (anterior, -right, superior) here."""
    solid = subject.vertebrae.solids[LEVELS.index("L2")]
    middle = (solid.vertices_mm.max(0) + solid.vertices_mm.min(0)) / 2 - subject.study_from_file.translation_mm
    assert np.allclose(middle, [-8.0, -3.0, 25.0], atol=1.0)
    left = subject.vertebrae.landmarks_mm[1, LANDMARKS.index("left_pedicle")]
    right = subject.vertebrae.landmarks_mm[1, LANDMARKS.index("right_pedicle")]
    assert left[1] > right[1]


def test_missing_levels_are_none_and_unknown_landmarks_nan(subject):
    assert [solid is None for solid in subject.vertebrae.solids] == [True, False, False, True, True]
    known = np.isfinite(subject.vertebrae.landmarks_mm).all(-1)
    assert known.sum() == 2 * len(OFFSETS)
    assert not subject.vertebrae.cut


def test_a_vertebra_is_brighter_than_the_disc_above_it_where_the_mesh_projector_puts_both(subject):
    study = simulate_ct_study(subject, 0, fill=False, size_px=96)
    for view in VIEWS:
        camera = study.geometry[view]
        centre = camera.project(subject.vertebrae.landmarks_mm[2, :2].mean(0))
        picture = study.pictures[view].pixels.astype(float)
        u, v = np.rint(centre).astype(int)
        assert study.truth.silhouettes[view][v, u] & 4
        disc = camera.project((subject.vertebrae.landmarks_mm[1, 1] + subject.vertebrae.landmarks_mm[2, 0]) / 2)
        between = picture[round(disc[1]), round(disc[0])]
        assert picture[v - 2 : v + 3, u - 2 : u + 3].mean() > between


def test_a_study_folder_has_the_layout_of_simulated_ones(files, tmp_path):
    write_ct_studies(
        str(files / "ct.nii.gz"),
        str(files / "msk.nii.gz"),
        str(tmp_path),
        n=2,
        landmarks=str(files / "landmarks.json"),
        anatomy="none",
        fill="no",
    )
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["ct-000000", "ct-000001"]
    truth = tmp_path / "ct-000000" / "truth"
    assert {path.name for path in truth.glob("*.stl")} == {"L2.stl", "L3.stl"}
    vertices, _ = read_mesh(truth / "L2.stl")
    landmarks = read_landmarks(truth / "landmarks.json")
    assert np.isclose(vertices[:, 2].max(), landmarks.positions_mm[1, 0, 2], atol=1.2)
    assert np.isnan(landmarks.positions_mm[0]).all()
    for view in VIEWS:
        bone, _ = read_nifti_image(truth / f"decomposition_{view}.nii.gz")
        u, v = np.rint(landmarks.positions_px[view][1, :2].mean(0)).astype(int)
        assert bone[v, u] > 0.5
    meta = json.loads((truth / "meta.json").read_text())
    assert meta["labelled_levels"] == ["L2", "L3"]
    assert meta["soft_tissue_filled_in"] is False


def test_equal_seeds_give_equal_studies_and_others_other_cameras(subject):
    one, same, other = (simulate_ct_study(subject, seed, fill=False, size_px=48) for seed in (3, 3, 4))
    assert np.array_equal(one.pictures["ap"].pixels, same.pictures["ap"].pixels)
    assert not np.allclose(one.geometry["ap"].source_mm, other.geometry["ap"].source_mm)


def test_surroundings_leave_the_image_as_it_is_and_reach_the_skin(subject):
    trunk = replace(SimulationParameters().trunk, width_mm=(300.0, 300.0))
    spine = np.array([solid.vertices_mm.mean(0) for solid in subject.vertebrae.solids if solid])
    body = with_surroundings(np.random.default_rng(0), subject.ct, subject.bones_mm, spine, trunk)
    first = np.rint(np.linalg.inv(body.world_from_voxel) @ subject.ct.world_from_voxel[:, 3]).astype(int)[:3]
    inner = body.values[tuple(slice(a, a + n) for a, n in zip(first, subject.ct.values.shape, strict=True))]
    assert np.array_equal(inner, subject.ct.values)
    middle = body.values[:, body.values.shape[1] // 2, body.values.shape[2] // 2]
    assert np.isclose((middle > -500).sum() * SPACING, 300, atol=30)
    # Just beside the image its tissue goes on; bones do not.
    beside = body.values[first[0] - 2, first[1] + 20 : first[1] + 50, first[2] + 5 : first[2] + 85]
    assert np.abs(beside - 40).max() < 60


def test_constant_corners_of_resampled_scans_are_missing_and_noisy_air_is_not():
    rng = np.random.default_rng(0)
    values = rng.normal(-1000, 15, (20, 20, 20)).astype(np.float32)
    assert not missing_voxels(values).any()
    values[:8] = -1024.0
    missing = missing_voxels(values)
    assert missing[:8].all()
    assert not missing[12:].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "none.nii.gz"}, "no such file, expected a label map"),
        ({"ct": "none.nii.gz"}, "no such file, expected a volume"),
        ({"label_values": {"L1": 99}}, "none of the labels"),
        ({"label_values": {"L7": 20}}, "L7"),
        ({"fill": "perhaps"}, "fill must be"),
    ],
)
def test_bad_input_is_refused(files, tmp_path, changes, message):
    arguments = {"ct": "ct.nii.gz", "labels": "msk.nii.gz"} | changes
    for name in ("ct", "labels"):
        arguments[name] = str(files / arguments[name])
    with pytest.raises(InputError, match=message):
        write_ct_studies(output_dir=str(tmp_path), anatomy="none", **arguments)


def test_labels_of_another_scan_are_refused(files):
    vertebrae = read_vertebrae(files / "msk.nii.gz")
    ct = read_volume(files / "ct.nii.gz")
    elsewhere = replace(ct, world_from_voxel=ct.world_from_voxel + np.eye(4)[:, :3] @ np.zeros((3, 4)))
    elsewhere.world_from_voxel[:3, 3] += 500
    with pytest.raises(InputError, match="outside the image"):
        ct_subject(elsewhere, vertebrae, "ct.nii.gz")


def test_the_ct_about_the_vertebrae_is_written_with_its_labels(files, tmp_path):
    write_ct_studies(
        str(files / "ct.nii.gz"),
        str(files / "msk.nii.gz"),
        str(tmp_path),
        landmarks=str(files / "landmarks.json"),
        anatomy=None,
        fill="no",
        volumes=True,
    )
    study = StudyFolder(next(tmp_path.iterdir()))
    found = read_truth_volume(study.truth)
    for level in CENTRES:
        inside = found.labels == VERSE_LABELS[level]
        middle = found.grid.origin_mm + np.argwhere(inside).mean(0) * found.grid.voxel_mm
        vertices, _ = read_mesh(study.truth.mesh(level))
        np.testing.assert_allclose(middle, (vertices.max(0) + vertices.min(0)) / 2, atol=0.5)
        assert np.median(found.values_hu[inside]) == 400
    # three levels have no label, so that nothing is known of what has none; beyond the image no CT number is
    assert set(np.unique(found.labels)) == {VERSE_LABELS["L2"], VERSE_LABELS["L3"], NOT_SEEN_LABEL}
    assert 0.05 < (found.values_hu == NO_HU).mean() < 0.99
