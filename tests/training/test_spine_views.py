import json

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from torch.utils.data import DataLoader

from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.landmarks.anchors import read_anchors
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.training.spine_views import ConsecutiveDraws, SpineDraws, SpineViewDataset, map_folder, read_spine_view
from lumbar_ext.transforms.spine_crop import RandSpineCropd
from lumbar_ext.transforms.spine_targets import EncodeSpineTargetd

T12_MM, S1_MM = [0.0, 3.0, 150.0], [-5.0, 1.0, -160.0]


@pytest.fixture
def cohort(write_view_cohort, tmp_path):
    return write_view_cohort(tmp_path / "cohort", 3)


def give_anchors(study, **more):
    s1 = {"superior_centre_mm": S1_MM, "superior_left_mm": [-5.0, 26.0, -158.0], "superior_right_mm": None}
    document = {"T12": {"centre_mm": T12_MM}, "S1": s1, **more}
    (study / "truth" / "anchors.json").write_text(json.dumps(document))


def test_a_mapped_view_is_that_of_the_files(cohort, tmp_path):
    folder = map_folder(cohort, tmp_path / "cache")
    assert len(folder) == 6 and folder.views == ("ap", "lat") * 3
    image, decomposition, points = read_spine_view(cohort / "study_0001", "lat")
    sample = folder.sample(3)
    assert np.allclose(sample["image"][0], image, atol=1e-4)
    assert np.allclose(sample["decomposition"][0], decomposition, atol=1e-4)
    landmarks = read_landmarks(cohort / "study_0001" / "truth" / "landmarks.json").positions_px["lat"]
    assert np.allclose(sample["points"].landmarks_px[1:6], landmarks, atol=1e-3)
    assert sample["points"].known.tolist() == [False, *[True] * 5, False, False]
    assert np.array_equal(points.known, sample["points"].known)


def test_anchors_are_projected_and_an_absent_sixth_is_known(cohort):
    study = cohort / "study_0000"
    give_anchors(study)
    points = read_spine_view(study, "ap")[2]
    camera = read_calibration(study / "calibration.json")["ap"]
    assert np.allclose(points.centres_px[[0, 7]], camera.project(np.array([T12_MM, S1_MM])))
    assert points.known.all() and np.isnan(points.centres_px[6]).all()
    # S1: centre and left edge are given, the right one is null, front and back are missing
    assert np.isfinite(points.s1_px).all(axis=1).tolist() == [True, False, False, True, False]


def test_a_lateral_view_from_the_right_names_the_sides_it_seems_to_show(cohort):
    study = cohort / "study_0000"
    give_anchors(study)
    before = read_spine_view(study, "lat")[2]
    document = json.loads((study / "calibration.json").read_text())
    for name in ("source_mm", "detector_origin_mm"):
        document["views"]["lat"][name][1] *= -1
    (study / "calibration.json").write_text(json.dumps(document))
    after = read_spine_view(study, "lat")[2]
    assert np.isfinite(after.s1_px).all(axis=1).tolist() == [True, False, False, False, True]
    assert np.allclose(after.landmarks_px[1:6, 2], before.landmarks_px[1:6, 3], atol=1e-3)


def test_an_anchor_file_without_anchors_says_nothing(cohort):
    study = cohort / "study_0000"
    (study / "truth" / "anchors.json").write_text("{}")
    assert read_spine_view(study, "ap")[2].known.sum() == 5
    (study / "truth" / "anchors.json").write_text('{"T12": {"centre_mm": [1, 2]}}')
    with pytest.raises(InputError, match="positions of T12"):
        read_anchors(study / "truth" / "anchors.json")


def test_a_black_picture_is_left_out(cohort, tmp_path, caplog):
    caplog.set_level("WARNING")
    write_png(cohort / "study_0002" / "ap.png", np.zeros((512, 512), np.uint16))
    folder = map_folder(cohort, tmp_path / "cache")
    assert len(folder) == 5 and "study_0002" in caplog.text


def test_new_truth_makes_new_arrays(cohort, tmp_path):
    map_folder(cohort, tmp_path / "cache")
    give_anchors(cohort / "study_0000")
    assert map_folder(cohort, tmp_path / "cache").points[0].known.all()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def draws(cohort, tmp_path, **options):
    transform = Compose([RandSpineCropd(), EncodeSpineTargetd()])
    return SpineDraws([cohort], tmp_path / "cache", transform, **options)


def test_a_draw_depends_on_its_number_alone(cohort, tmp_path):
    one, other = draws(cohort, tmp_path), draws(cohort, tmp_path)
    later = other[17]
    assert torch.equal(one[4]["image"], other[4]["image"]) and torch.equal(one[17]["image"], later["image"])
    assert not torch.equal(one[4]["image"], one[5]["image"])
    assert not torch.equal(one[4]["image"], draws(cohort, tmp_path, seed=1)[4]["image"])


def test_a_loader_goes_on_where_the_run_stood(cohort, tmp_path):
    data = draws(cohort, tmp_path)

    def batches(sampler, count):
        loader = iter(DataLoader(data, batch_size=2, sampler=sampler, collate_fn=lambda b: [d["image"] for d in b]))
        return [torch.stack(next(loader)) for _ in range(count)]

    whole = batches(ConsecutiveDraws(2), 4)
    resumed = ConsecutiveDraws(2)
    resumed.load_state_dict({"iterations": 2})
    assert torch.equal(torch.stack(batches(resumed, 2)), torch.stack(whole[2:]))
    assert [next(iter(ConsecutiveDraws(2, replica, 3))) for replica in range(3)] == [0, 1, 2]


def test_every_view_once_and_in_order(cohort, tmp_path):
    data = SpineViewDataset([cohort, cohort], tmp_path / "cache")
    assert len(data) == 12 and [data[i]["view"] for i in range(4)] == ["ap", "lat"] * 2
