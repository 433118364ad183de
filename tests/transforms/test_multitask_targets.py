import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.multitask_targets import EncodeTargetd, encode_target, gaussian_radius, vertebra_centres_px


def overlap(shift_first: float, shift_second: float, height: float, width: float) -> float:
    """Intersection over union of a box and the box whose two corners move along the diagonal by the given amounts."""
    low, high = max(0.0, shift_first), np.minimum([height, width], np.array([height, width]) + shift_second)
    intersection = np.prod(high - low)
    moved = np.prod(np.array([height, width]) + shift_second - shift_first)
    return intersection / (height * width + moved - intersection)


@pytest.mark.parametrize(("height", "width"), [(10, 15), (4, 6), (30, 12)])
def test_the_radius_is_the_largest_shift_that_keeps_the_overlap(height, width):
    r = gaussian_radius(height, width, 0.7)
    worst = min(overlap(r, r, height, width), overlap(r, -r, height, width), overlap(-r, r, height, width))
    assert worst == pytest.approx(0.7, abs=1e-9)


@pytest.fixture
def landmarks():
    """Five vertebrae of 40 px below each other in an image of 384 x 256 px, at positions between pixels."""
    rng = np.random.default_rng(0)
    centres = np.array([128.3, 60.7]) + np.arange(5)[:, None] * [3.1, 64.4]
    points = centres[:, None] + rng.uniform(-30, 30, (5, 7, 2))
    points[:, :2] = centres[:, None] + np.array([[-1, -20], [1, 20]])
    return points


def test_each_level_has_one_peak_of_one_at_its_centre_cell(landmarks):
    heat = encode_target(torch.zeros(384, 256), landmarks, np.ones(5, bool))[LUMBAR_PACK["heatmap"]]
    for level, centre in enumerate(vertebra_centres_px(landmarks)):
        rows, columns = np.nonzero((heat[level] == 1).numpy())
        assert len(rows) == 1
        assert np.abs(4 * np.array([columns[0], rows[0]]) + 1.5 - centre).max() <= 2


def test_absent_levels_and_centres_outside_leave_no_trace(landmarks):
    landmarks[4] += 1000
    target = encode_target(torch.zeros(384, 256), landmarks, np.array([0, 0, 1, 0, 1]))
    assert target[LUMBAR_PACK["heatmap"]].amax((1, 2)).tolist() == [0, 0, 1, 0, 0]
    assert target[LUMBAR_PACK["cell_weight"]].sum() == 9


def test_landmarks_outside_or_unknown_are_masked(landmarks):
    landmarks[2, 3] = [300, 100]
    landmarks[2, 6] = np.nan
    target = encode_target(torch.zeros(384, 256), landmarks, np.array([0, 0, 1, 0, 0]))
    assert target[LUMBAR_PACK["landmark_mask"]].amax((1, 2)).tolist() == [1, 1, 1, 0, 1, 1, 0]
    assert torch.isfinite(target).all()


def test_a_centre_in_the_corner_is_cut_off_cleanly():
    landmarks = np.full((5, 7, 2), 0.5)
    target = encode_target(torch.zeros(64, 64), landmarks, np.ones(5, bool))
    assert target[LUMBAR_PACK["cell_weight"]].sum() == 4


def test_the_dictionary_form_adds_the_label(landmarks):
    data = {"decomposition": torch.rand(1, 384, 256), "landmarks_px": landmarks, "present": np.ones(5, bool)}
    assert EncodeTargetd()(data)["label"].shape == (LUMBAR_PACK.target_channels, 96, 64)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="landmarks_px"):
        encode_target(torch.zeros(64, 64), np.zeros((5, 6, 2)), np.ones(5))
    with pytest.raises(InputError, match="multiples of 4"):
        encode_target(torch.zeros(63, 64), np.zeros((5, 7, 2)), np.ones(5))
