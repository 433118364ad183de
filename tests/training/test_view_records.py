import numpy as np
import pytest
from PIL import Image

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration, write_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.radiographs.nifti import read_nifti_image, write_nifti_image
from lumbar_ext.training.view_records import StudyViewDataset, list_studies, read_view, record_of_sample


@pytest.fixture
def study(write_view_cohort, tmp_path):
    return list_studies(write_view_cohort(tmp_path, 1))[0]


def test_a_record_keeps_the_truth_of_its_files(study):
    sample = read_view(study, "ap").as_sample()
    decomposition, _ = read_nifti_image(study / "truth" / "decomposition_ap.nii.gz")
    assert np.allclose(sample["decomposition"][0].numpy(), decomposition, atol=1e-5)
    assert np.allclose(
        sample["landmarks_px"], read_landmarks(study / "truth" / "landmarks.json").positions_px["ap"], atol=1e-3
    )
    assert sample["present"].all() and sample["view"] == "ap"
    assert np.percentile(sample["image"].numpy(), (1, 99)) == pytest.approx([0, 1], abs=1e-3)


def test_half_the_grid_keeps_positions_relative_to_the_image(study):
    full, half = read_view(study, "lat"), read_view(study, "lat", downsample=2)
    assert half.image.shape == (256, 256)
    assert np.allclose(half.landmarks_px * 2 + 0.5, full.landmarks_px, atol=1e-3)


def test_a_mirrored_lateral_view_swaps_left_and_right(study):
    """Seen from the person's right, the same pixels show the mirrored person."""
    before = read_view(study, "lat")
    geometry = read_calibration(study / "calibration.json")
    mirrored = geometry.lat.replace(
        source_mm=geometry.lat.source_mm * [1, -1, 1], detector_origin_mm=geometry.lat.detector_origin_mm * [1, -1, 1]
    )
    write_calibration(type(geometry)(geometry.ap, mirrored), study / "calibration.json")
    after = read_view(study, "lat")
    assert np.allclose(after.landmarks_px, before.landmarks_px[:, list(LEFT_RIGHT_SWAP)], atol=1e-3)
    assert np.array_equal(after.image, before.image)


def test_a_shifted_decomposition_is_refused(study):
    path = study / "truth" / "decomposition_ap.nii.gz"
    decomposition, spacing = read_nifti_image(path)
    write_nifti_image(path, np.roll(decomposition, 150, axis=1), spacing)
    with pytest.raises(InputError, match="empty at the centre"):
        read_view(study, "ap")


def test_the_dataset_holds_both_views_of_each_study(study):
    dataset = StudyViewDataset([study])
    assert [dataset[i]["view"] for i in range(len(dataset))] == ["ap", "lat"]


def test_a_folder_without_studies_is_an_error(tmp_path):
    with pytest.raises(InputError, match="found none"):
        list_studies(tmp_path)


def test_a_study_with_one_view_only_is_named(study):
    (study / "lat.png").unlink()
    with pytest.raises(
        InputError, match=r"study_0000: expected one radiograph lat\.png, \.dcm or \.nii\.gz, found none"
    ):
        StudyViewDataset([study])


def test_two_files_for_one_view_are_refused(study):
    (study / "ap.dcm").write_bytes(b"another")
    with pytest.raises(InputError, match=r"found ap\.dcm, ap\.png"):
        read_view(study, "ap")


def test_a_study_without_labels_is_named(study):
    (study / "truth" / "landmarks.json").unlink()
    with pytest.raises(InputError, match=r"study_0000: no truth/landmarks\.json"):
        list_studies(study.parent)


def test_labels_without_a_vertebra_are_refused(study):
    (study / "truth" / "landmarks.json").write_text('{"vertebrae": {}}')
    with pytest.raises(InputError, match=r"landmarks\.json: no vertebra has both endplates"):
        read_view(study, "ap")


def test_the_radiograph_may_be_of_another_format(study):
    expected = read_view(study, "ap")
    pixels = np.asarray(Image.open(study / "ap.png"), np.float32)
    write_nifti_image(study / "ap.nii.gz", pixels, (0.834, 0.834))
    (study / "ap.png").unlink()
    assert np.abs(read_view(study, "ap").image.astype(int) - expected.image).max() <= 2


def test_a_record_survives_its_sample(study):
    record = read_view(study, "lat")
    again = record_of_sample(record.as_sample())
    assert np.array_equal(again.image, record.image) and np.array_equal(again.decomposition, record.decomposition)
    assert np.allclose(again.landmarks_px, record.landmarks_px) and again.view == "lat"
