import numpy as np
import pytest
import torch

from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.decode import decode_packed
from lumbar_ext.transforms.level_naming.level_choice import Peak, choose_levels, same_vertebra
from lumbar_ext.transforms.multitask_targets import encode_target

HEIGHT = 10.0


def column(*confidences, first_row=10, pitch=14):
    """One peak a level, a pitch apart."""
    return [[Peak(first_row + pitch * k, 32, c, HEIGHT)] for k, c in enumerate(confidences)]


def rows(choice):
    return [peak.row if peak else None for peak in choice.peaks]


def test_five_clear_peaks_are_five_levels():
    choice = choose_levels(column(0.9, 0.8, 0.7, 0.6, 0.5), 0.3)
    assert rows(choice) == [10, 24, 38, 52, 66] and choice.consistent
    assert choice.confidence == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])


def test_two_names_for_one_vertebra_leave_the_surer_one():
    """A sacralised L5: the heatmaps of L4 and L5 both peak at the lowest free vertebra."""
    peaks = column(0.9, 0.9, 0.9, 0.8)
    choice = choose_levels([*peaks, [Peak(54, 33, 0.4, HEIGHT)]], 0.3)
    assert rows(choice) == [10, 24, 38, 52, None]
    assert choice.confidence[4] == 0 and not choice.consistent


def test_a_doubtful_name_gives_way_to_the_level_that_fits_elsewhere():
    """L5's strongest peak doubles L4, its second one lies where L5 should."""
    peaks = column(0.9, 0.9, 0.9, 0.8)
    choice = choose_levels([*peaks, [Peak(53, 32, 0.6, HEIGHT), Peak(66, 32, 0.5, HEIGHT)]], 0.3)
    assert rows(choice) == [10, 24, 38, 52, 66] and choice.confidence[4] == 0.5


def test_peaks_below_the_threshold_are_never_chosen():
    choice = choose_levels(column(0.9, 0.9, 0.9, 0.9, 0.29), 0.3)
    assert rows(choice)[4] is None and choice.consistent and choice.confidence[4] == 0.29


def test_one_peak_out_of_order_is_dropped_not_the_others():
    peaks = column(0.8, 0.8, 0.8, 0.8, 0.8)
    peaks[1] = [Peak(90, 32, 0.9, HEIGHT)]
    assert rows(choose_levels(peaks, 0.3)) == [10, None, 38, 52, 66]


def test_vertebrae_without_a_height_are_told_apart_by_order_alone():
    assert not same_vertebra(Peak(3, 0, 1.0), Peak(4, 0, 1.0))
    assert same_vertebra(Peak(3, 0, 1.0, HEIGHT), Peak(7, 0, 1.0, HEIGHT))


@pytest.mark.parametrize("present", [[1, 1, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
def test_as_many_vertebrae_are_reported_as_there_are(present):
    """Four in the truth, a ghost of the fifth on its neighbour: four reported."""
    present = np.array(present, bool)
    landmarks = np.array([128.3, 60.7]) + np.arange(5)[:, None, None] * [3.1, 64.4] + np.zeros((5, 7, 2))
    landmarks[:, 0, 1] -= 20
    landmarks[:, 1, 1] += 20
    packed = encode_target(torch.zeros(384, 256), landmarks, present)[: LUMBAR_PACK.channels]
    for level in np.flatnonzero(~present):
        neighbour = level - 1 if level else 1
        packed[LUMBAR_PACK["heatmap"]][level] = 0.6 * torch.roll(packed[LUMBAR_PACK["heatmap"]][neighbour], 1, dims=0)
    seen = decode_packed(packed)
    assert seen.present.tolist() == present.tolist()
