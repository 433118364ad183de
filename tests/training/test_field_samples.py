"""On a study whose truth is known by formula: two balls for vertebrae in water."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks, write_landmarks
from lumbar_ext.losses.field_loss import FieldLoss
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.networks.field_network import FieldNet
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.studies.truth_volume import TruthVolume
from lumbar_ext.training import field_samples
from lumbar_ext.training.field_samples import (
    FieldDraws,
    FieldLattice,
    FieldRecord,
    PointShares,
    as_found,
    drawn_points,
    mirrored,
    point_sample,
    prepare_field_batch,
)
from lumbar_ext.transforms.tissue import NO_HU, TISSUE_LABELS, TISSUES, UNASKED_INDEX, UNKNOWN_LABEL

CENTRES_MM = {"L2": np.array([0.0, 0, 25]), "L3": np.array([0.0, 0, -20])}
RADIUS_MM = 18.4
GRID = VoxelGrid(np.array([-45.0, -45, -60]), 3.0, (31, 31, 41))


def ball_volume():
    lines = [GRID.origin_mm[a] + GRID.voxel_mm * np.arange(n) for a, n in enumerate(GRID.shape)]
    places = np.stack(np.meshgrid(*lines, indexing="ij"), -1)
    labels = np.full(GRID.shape, TISSUE_LABELS["soft_tissue"], np.uint8)
    values = np.rint(places[..., 0]).astype(np.int16)  # a CT number is the place along X
    for level, centre in CENTRES_MM.items():
        labels[np.linalg.norm(places - centre, axis=-1) < RADIUS_MM] = TISSUE_LABELS[level]
    labels[0, 0, 0], values[0, 0, 0] = UNKNOWN_LABEL, NO_HU
    return TruthVolume(values, labels, GRID)


@pytest.fixture(scope="module")
def cohort(write_view_cohort, tmp_path_factory):
    """Two studies with volumes, and one without; all know where their landmarks are in space."""
    folder = write_view_cohort(tmp_path_factory.mktemp("fields"), 3)
    for study in sorted(folder.iterdir()):
        path = StudyFolder(study).truth.landmarks
        heights = np.linspace(60, -60, 5)[:, None, None] * [0, 0, 1]
        positions_mm = np.random.default_rng(1).uniform(-20, 20, (5, 7, 3)) + heights
        write_landmarks(path, replace(read_landmarks(path), positions_mm=positions_mm))
    for name in ("study_0000", "study_0001"):
        ball_volume().write(StudyFolder(folder / name).truth)
    return folder


def points_of(sample, record):
    return sample["positions"] * 150.0 + record.views.middle_mm


def test_samples_have_the_truth_of_their_points(cohort):
    record = FieldRecord.read(cohort / "study_0000")
    points, values, tissue = drawn_points(ball_volume(), 2000, PointShares(around=0.1), np.random.default_rng(0))
    known = np.isfinite(values)
    np.testing.assert_allclose(values[known], points[known, 0], atol=0.51)
    for level, centre in CENTRES_MM.items():
        inside = np.linalg.norm(points - centre, axis=1) < RADIUS_MM
        np.testing.assert_array_equal(tissue == TISSUES.index(level), inside)
    half = 3.0 * np.array(GRID.shape) / 2
    beyond = (np.abs(points - (GRID.origin_mm + half - 1.5)) > half - 1e-6).any(1)
    assert beyond.sum() == 200 and (tissue[beyond] == len(TISSUES)).all() and np.isnan(values[beyond]).all()
    sample = point_sample(record, record.float_images(), points, values, tissue)
    geometry = read_calibration(StudyFolder(cohort / "study_0000").calibration)
    for index, view in enumerate(VIEWS):
        pixel = ((sample["places"][:, index] + 1) * 256 - 1) / 2
        np.testing.assert_allclose(
            record.views.seen[view].to_original_px(pixel), geometry[view].project(points), atol=2e-3
        )


def test_shares_of_points_lie_where_they_are_asked_for():
    rng = np.random.default_rng(0)
    shares = {"surface": 0.5, "inside": 0.0, "other_surface": 0.0, "around": 0.0}
    points, _, _ = drawn_points(ball_volume(), 4000, PointShares(**shares, spread_mm=2.0), rng)

    def near_surface(points):
        return np.min([np.abs(np.linalg.norm(points - c, axis=1) - RADIUS_MM) for c in CENTRES_MM.values()], axis=0) < 6

    everywhere, _, _ = drawn_points(ball_volume(), 4000, PointShares(0, 0, 0, 0), rng)
    assert near_surface(points).mean() == pytest.approx(0.5 + 0.5 * near_surface(everywhere).mean(), abs=0.05)
    _, _, inside = drawn_points(ball_volume(), 500, PointShares(0, 1, 0, 0), rng)
    assert set(inside.tolist()) == {TISSUES.index("L2"), TISSUES.index("L3")}


def test_the_mirrored_person_is_seen_in_the_mirrored_film(cohort):
    record = FieldRecord.read(cohort / "study_0000")
    points = np.random.default_rng(0).uniform(-30, 30, (20, 3))
    images = record.float_images()
    other = mirrored(point_sample(record, images, points, np.zeros(20), np.zeros(20)))
    # the cohort's cameras look straight at the person: the mirrored points lie where the film was turned round
    expected = record.views.places(points * [1, -1, 1])
    np.testing.assert_allclose(other["places"][:, 0], expected[:, 0], atol=1e-5)
    middle = record.views.middle_mm[1]
    np.testing.assert_allclose(points_of(other, record)[:, 1], 2 * middle - points[:, 1], atol=1e-3)
    np.testing.assert_array_equal(other["image"][0], images[0][:, ::-1])
    np.testing.assert_array_equal(other["image"][1], images[1])
    # and the guides are those of the mirrored landmarks, whose left is the other side
    turned = (record.views.landmarks_mm * [1, -1, 1])[:, list(LEFT_RIGHT_SWAP)]
    expected = record.with_landmarks(turned).views.guides(points * [1, -1, 1])
    np.testing.assert_allclose(other["guides"], expected, atol=1e-5)


def test_a_draw_depends_on_its_number_alone_and_studies_without_volumes_are_left_out(cohort):
    draws = [FieldDraws([cohort], points=300, seed=4) for _ in range(2)]
    assert len(draws[0]) == 2
    draws[1][0]
    for name, value in draws[0][5].items():
        torch.testing.assert_close(value, draws[1][5][name], equal_nan=True)
    assert not torch.equal(draws[0][6]["positions"], draws[0][5]["positions"])


def test_landmarks_are_told_as_often_and_as_exactly_as_they_are_found(cohort):
    told = [FieldDraws([cohort], points=50, told=share)[3]["guides"].abs().sum() for share in (0.0, 1.0)]
    assert told[0] == 0 and told[1] > 0
    rng = np.random.default_rng(0)
    true = np.zeros((5, 7, 3))
    found = np.stack([as_found(true, rng) for _ in range(4000)])
    missing = np.isnan(found)
    assert (missing.all(axis=(2, 3)) == missing.any(axis=(2, 3))).all(), "a vertebra is found or not"
    assert missing.mean() == pytest.approx(0.04, abs=0.01)
    spread = np.nanstd(found, axis=(0, 1, 3))
    np.testing.assert_allclose(spread, np.sqrt(0.7**2 + np.array([1, 1, 3.5, 3.5, 1.5, 1.5, 3.5]) ** 2), rtol=0.03)


def test_of_points_that_one_film_does_not_show_nothing_is_asked(cohort):
    record = FieldRecord.read(cohort / "study_0000")
    points = np.array([[0.0, 0, 0], [0, 0, 400]])
    label = point_sample(record, record.float_images(), points, np.array([5.0, 5.0]), np.array([1, 1]))["label"]
    assert label[0].tolist() == [5, 1] and np.isnan(label[1, 0]) and label[1, 1] == UNASKED_INDEX


def test_a_lattice_holds_every_so_many_voxels(cohort):
    sample = FieldLattice([cohort], step=5)[1]
    assert len(sample["label"]) == 6 * 6 * 8
    values = sample["label"][:, 0]
    middle_x = FieldRecord.read(cohort / "study_0001").views.middle_mm[0]
    np.testing.assert_allclose(values, sample["positions"][:, 0] * 150.0 + middle_x, atol=0.02)


def test_a_batch_trains_the_network(cohort):
    torch.manual_seed(0)
    network = FieldNet((8, 8, 8, 8, 8), 4, (16, 16, 8), 2)
    draws = FieldDraws([cohort], points=400)
    batch = {name: torch.stack([draws[i][name] for i in range(2)]) for name in draws[0]}
    images, label, others, _ = prepare_field_batch(batch, torch.device("cpu"))
    loss, optimiser, course = FieldLoss(), torch.optim.Adam(network.parameters(), 0.02), []
    for _ in range(15):
        optimiser.zero_grad()
        value = loss(network(images, *others), label)
        value.backward()
        optimiser.step()
        course.append(float(value.detach()))
    assert course[-1] < 0.9 * course[0]


def test_a_damaged_study_is_passed_over_and_nothing_but_damage_is_said(write_view_cohort, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(field_samples._LOGGER, "warning", lambda text, *values: said.append(text % values))
    folder = write_view_cohort(tmp_path, 2)
    truths = [StudyFolder(study).truth for study in sorted(folder.iterdir())]
    for truth in truths:
        ball_volume().write(truth)
    draws = FieldDraws([folder], points=50)
    assert len(draws[0]["label"]) == 50 and not said
    truths[0].volume.write_bytes(b"no volume")
    assert all(len(draws[number]["label"]) == 50 for number in range(6))
    assert said and all(text.startswith(f"another study instead: {truths[0].volume}") for text in said)
    truths[1].volume.write_bytes(b"no volume")
    with pytest.raises(InputError, match=r"volume\.nii\.gz"):
        draws[0]


def test_what_cannot_be_trained_with_is_refused(cohort, tmp_path):
    with pytest.raises(InputError, match="simulate-volumes"):
        FieldDraws([tmp_path])
    with pytest.raises(InputError, match="shares"):
        PointShares(surface=0.9, inside=0.2)
