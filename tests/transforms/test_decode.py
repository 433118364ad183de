import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.decode import decode_packed, levels_in_order
from lumbar_ext.transforms.multitask_targets import encode_target, vertebra_centres_px


@pytest.fixture
def truth():
    """Decomposition [384, 256], landmarks [5, 7, 2] between pixels, and their packed target."""
    rng = np.random.default_rng(0)
    centres = np.array([128.3, 60.7]) + np.arange(5)[:, None] * [3.1, 64.4]
    landmarks = centres[:, None] + rng.uniform(-30, 30, (5, 7, 2))
    landmarks[:, :2] = centres[:, None] + np.array([[-1, -20], [1, 20]])
    image = torch.from_numpy(rng.uniform(0, 0.9, (384, 256)))
    return image, landmarks, encode_target(image, landmarks, np.ones(5, bool))


def test_decoding_inverts_encoding(truth):
    image, landmarks, target = truth
    seen = decode_packed(target[: LUMBAR_PACK.channels])
    assert np.abs(seen.landmarks_px - landmarks).max() < 0.05
    assert np.abs(seen.centres_px - vertebra_centres_px(landmarks)).max() < 0.05
    assert np.allclose(seen.decomposition, image)
    assert seen.present.all() and seen.order_consistent
    assert np.allclose(seen.landmark_confidence, 1, atol=1e-3)


def test_a_peak_one_cell_off_gives_the_same_positions(truth):
    _, landmarks, target = truth
    target[LUMBAR_PACK["heatmap"]] = torch.roll(target[LUMBAR_PACK["heatmap"]], (1, 1), dims=(1, 2))
    # only cells around the true centre hold offsets, so the outer cells of the window are given no weight
    target[LUMBAR_PACK["heatmap"]] *= (target[37] > 0).float()
    assert np.abs(decode_packed(target).landmarks_px - landmarks).max() < 0.05


def test_a_level_below_the_threshold_is_absent(truth):
    target = truth[2]
    target[LUMBAR_PACK["heatmap"].start + 2] *= 0.2
    seen = decode_packed(target, threshold=0.3)
    assert seen.present.tolist() == [True, True, False, True, True]
    assert np.isnan(seen.landmarks_px[2]).all() and not seen.landmark_confidence[2].any()
    assert seen.confidence[2] == pytest.approx(0.2)


def test_a_false_peak_out_of_order_gives_way_to_the_second_choice(truth):
    _, landmarks, target = truth
    target[LUMBAR_PACK["heatmap"].start + 1] *= 0.8
    target[LUMBAR_PACK["heatmap"].start + 1, 90, 32] = 0.9
    seen = decode_packed(target)
    assert np.abs(seen.centres_px - vertebra_centres_px(landmarks)).max() < 0.05
    assert not seen.order_consistent and seen.confidence[1] == pytest.approx(0.8)


def test_disagreement_between_cells_lowers_the_confidence(truth):
    target = truth[2]
    target[23] += torch.randn(96, 64, generator=torch.Generator().manual_seed(0))
    confidence = decode_packed(target).landmark_confidence
    assert confidence[:, 0].max() < 0.9 and confidence[:, 1].min() > 0.99


def test_the_decomposition_is_clamped(truth):
    target = truth[2]
    target[:16] = torch.linspace(-1, 2, 16)[:, None, None]
    decomposition = decode_packed(target).decomposition
    assert decomposition.min() == 0 and decomposition.max() == 1


def test_order_of_levels():
    centres = np.stack([np.zeros(5), [1, 2, 9, 4, 5]], axis=1)
    assert not levels_in_order(centres, np.ones(5, bool))
    assert levels_in_order(centres, np.array([1, 1, 0, 1, 1]))


def test_more_than_one_image_is_refused():
    with pytest.raises(InputError, match="one image"):
        decode_packed(torch.zeros(2, 37, 8, 8))
