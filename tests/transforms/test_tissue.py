import numpy as np

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.transforms.tissue import (
    HU_WINDOW,
    NO_HU,
    NOT_SEEN_LABEL,
    TISSUE_LABELS,
    TISSUES,
    UNASKED_INDEX,
    UNKNOWN_LABEL,
    label_values,
    tissue_index,
)


def test_every_tissue_has_a_value_of_its_own_and_vertebrae_have_those_of_verse():
    values = [*TISSUE_LABELS.values(), UNKNOWN_LABEL, NOT_SEEN_LABEL]
    assert set(TISSUE_LABELS) == set(TISSUES) and len(set(values)) == len(values)
    assert {level: TISSUE_LABELS[level] for level in LEVELS} == VERSE_LABELS


def test_values_and_indices_are_each_others_inverse():
    indices = np.arange(UNASKED_INDEX + 1, dtype=np.uint8)
    np.testing.assert_array_equal(tissue_index(label_values(indices)), indices)
    assert tissue_index(np.array([3, NOT_SEEN_LABEL])).tolist() == [UNASKED_INDEX] * 2


def test_no_ct_number_of_the_window_looks_like_none():
    assert NO_HU < HU_WINDOW[0]
