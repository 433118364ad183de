"""Radiographs brought to bone bright: by the user's word, by tags, by looks."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.radiograph import Radiograph, with_bone_bright


@pytest.fixture
def bright(trunk):
    return trunk(60, 80).astype(np.float32)


def make(pixels, **changes):
    return Radiograph(pixels, Path("x.png"), bit_depth=16, **changes)


def inverted(pixels):
    return pixels.min() + pixels.max() - pixels


@pytest.mark.parametrize("turn", [lambda p: p, inverted])
def test_unknown_polarity_is_told_by_looks(bright, turn):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = with_bone_bright(make(turn(bright)))
    np.testing.assert_array_equal(found.pixels, bright)
    assert (found.polarity, found.polarity_from, found.remarks) == ("bone_bright", "image", ())


def test_tags_are_followed_with_a_warning_when_the_image_contradicts(bright):
    with pytest.warns(UserWarning, match="tagged bone_dark but looks bone_bright"):
        found = with_bone_bright(make(bright, polarity="bone_dark", polarity_from="tags"))
    np.testing.assert_array_equal(found.pixels, inverted(bright))
    assert found.polarity_from == "tags" and len(found.remarks) == 1


@pytest.mark.parametrize("tagged", ["bone_bright", "bone_dark", "unknown"])
def test_the_user_s_word_decides_in_silence(bright, tagged):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = with_bone_bright(make(bright, polarity=tagged), "bone_dark")
    np.testing.assert_array_equal(found.pixels, inverted(bright))
    assert found.polarity_from == "user"


def test_an_unclear_image_is_left_as_it_is_with_a_warning():
    pixels = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
    with pytest.warns(UserWarning, match="cannot tell whether bone is bright or dark"):
        found = with_bone_bright(make(pixels))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.polarity_from == "nothing"


def test_impossible_radiographs_cannot_be_made():
    with pytest.raises(InputError, match="every pixel has the value 1"):
        make(np.ones((4, 4), np.float32))
    with pytest.raises(InputError, match="shape"):
        make(np.zeros((4, 4, 2), np.float32))
