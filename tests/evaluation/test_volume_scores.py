import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.volume_scores import ALL_LUMBAR, SCORE_WINDOW_HU, mask_scores, volume_scores
from lumbar_ext.evaluation.volume_tables import ScoredVolume, about_vertebrae, scored_study, volume_tables
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.studies.truth_volume import TruthVolume
from lumbar_ext.transforms.tissue import NO_HU, NOT_SEEN_LABEL, TISSUE_LABELS, UNKNOWN_LABEL
from lumbar_ext.volumes.study_field import ReconstructedVolume

GRID = VoxelGrid(np.array([-30.0, -30, -45]), 1.5, (40, 40, 60))


def truth():
    """Five blocks of 12 x 16 x 6 voxels in soft tissue."""
    labels = np.full(GRID.shape, TISSUE_LABELS["soft_tissue"], np.uint8)
    for index, level in enumerate(LEVELS):
        labels[14:26, 12:28, 5 + 10 * index : 11 + 10 * index] = VERSE_LABELS[level]
    values = np.where(labels == TISSUE_LABELS["soft_tissue"], 50, 400).astype(np.int16)
    return TruthVolume(values, labels, GRID)


def reconstructed(values=None, labels=None):
    known = truth()
    return ReconstructedVolume(
        known.values_hu if values is None else values, known.labels if labels is None else labels, GRID
    )


def test_the_truth_scores_best():
    scores = volume_scores(reconstructed(), truth())
    assert set(scores.overlap) == {*LEVELS, ALL_LUMBAR}
    assert all(own.dice == 1 and own.average_distance_mm == 0 == own.hausdorff95_mm for own in scores.overlap.values())
    assert all(value == float("inf") for value in scores.psnr_db.values())
    assert all(value == pytest.approx(1) for value in scores.ssim.values())


def test_a_constant_error_has_the_psnr_of_its_share_of_the_window():
    scores = volume_scores(reconstructed(truth().values_hu + 120), truth())
    share = 120 / (SCORE_WINDOW_HU[1] - SCORE_WINDOW_HU[0])
    assert list(scores.psnr_db.values()) == pytest.approx([-20 * np.log10(share)] * 3, rel=1e-4)


def test_errors_count_where_they_are():
    values = truth().values_hu.copy()
    values[:5] += 200  # far from bone
    scores = volume_scores(reconstructed(values), truth())
    assert scores.psnr_db["bone"] == scores.psnr_db["boundary"] == float("inf") and scores.psnr_db["elsewhere"] < 40


def test_a_block_moved_by_a_voxel_is_as_far_as_that():
    moved = np.roll(truth().labels, 1, axis=0)
    scores = volume_scores(reconstructed(labels=moved), truth())
    assert scores.overlap["L2"].dice == pytest.approx(11 / 12)
    assert (
        scores.overlap["L2"].hausdorff95_mm == pytest.approx(1.5) and 0 < scores.overlap["L2"].average_distance_mm < 1.5
    )


def test_exchanged_names_cost_the_vertebrae_but_not_the_bone():
    labels = truth().labels.copy()
    labels[truth().labels == VERSE_LABELS["L1"]] = VERSE_LABELS["L2"]
    labels[truth().labels == VERSE_LABELS["L2"]] = VERSE_LABELS["L1"]
    scores = volume_scores(reconstructed(labels=labels), truth())
    assert scores.overlap["L1"].dice == 0 and scores.overlap[ALL_LUMBAR].dice == 1


def test_a_level_that_is_missed_has_no_distance():
    scores = mask_scores(np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool), 1.5)
    assert scores.dice == 0 and np.isnan(scores.average_distance_mm) and np.isnan(scores.hausdorff95_mm)


def test_what_is_not_seen_or_not_known_does_not_count():
    labels, values = truth().labels.copy(), truth().values_hu.copy()
    labels[:, :20], values[:, :20] = NOT_SEEN_LABEL, NO_HU
    scores = volume_scores(reconstructed(values, labels), truth())
    assert all(own.dice == 1 for own in scores.overlap.values()) and scores.psnr_db["bone"] == float("inf")
    known = truth()
    known.labels[:, :20] = UNKNOWN_LABEL
    wrong = truth().labels.copy()
    wrong[:, :20] = VERSE_LABELS["L1"]
    assert volume_scores(reconstructed(labels=wrong), known).overlap["L1"].dice == 1


def test_without_ct_numbers_there_is_no_psnr():
    scores = volume_scores(reconstructed(), truth(), intensity=False)
    assert np.isnan(list(scores.psnr_db.values())).all() and scores.overlap["L1"].dice == 1


def test_other_grids_are_refused():
    other = ReconstructedVolume(truth().values_hu, truth().labels, VoxelGrid(GRID.origin_mm + 1, 1.5, GRID.shape))
    with pytest.raises(InputError, match="other grids"):
        volume_scores(other, truth())


def test_the_part_about_the_vertebrae_keeps_its_place():
    part = about_vertebrae(truth(), margin_mm=3.0)
    assert part.grid.shape == (16, 20, 50)
    np.testing.assert_allclose(part.grid.origin_mm, GRID.origin_mm + 1.5 * np.array([12, 10, 3]))
    assert (part.labels == VERSE_LABELS["L5"]).sum() == (truth().labels == VERSE_LABELS["L5"]).sum()


def test_studies_are_scored_with_every_method_and_gains_are_paired(write_view_cohort, tmp_path):
    folder = write_view_cohort(tmp_path, 2)
    methods = {
        "right": lambda study, films, grid: known_on(grid),
        "off": lambda study, films, grid: known_on(grid, added_hu=60),
    }
    scored = []
    for name in ("study_0000", "study_0001"):
        truth().write(StudyFolder(folder / name).truth)
        scored += scored_study("a set", StudyFolder(folder / name), methods)
    assert [score.method for score in scored] == ["right", "off"] * 2
    tables = volume_tables(scored)
    assert "## a set (2 studies)" in tables and "| off | 1.000 ± 0.000 | 0.00 ± 0.00 |" in tables
    assert "right less ..." in tables


def test_gains_are_differences_of_the_same_studies():
    def scored(study, method, hu):
        scores = volume_scores(reconstructed(truth().values_hu + hu), truth())
        return ScoredVolume("s", study, method, scores, 1.0)

    rows = volume_tables([scored("1", "a", 12), scored("1", "b", 120), scored("2", "a", 24), scored("2", "b", 240)])
    assert "| b | 0.000 ± 0.000 | 20.00 ± 0.00 | 20.00 ± 0.00 | 20.00 ± 0.00 |" in rows


def known_on(grid, added_hu=0):
    part = about_vertebrae(truth())
    assert part.grid.shape == grid.shape
    return ReconstructedVolume((part.values_hu + added_hu).astype(np.int16), part.labels, grid)
