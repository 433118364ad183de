"""What a build keeps is read whole or made again."""

import numpy as np
import pytest

from lumbar_ext.shape.correspondence.array_cache import store_arrays, stored_arrays

ARRAYS = {"vertices": np.arange(12.0).reshape(4, 3), "notes": "none"}


@pytest.fixture
def cache(tmp_path):
    store_arrays(tmp_path / "a.npz", "key", **ARRAYS)
    return tmp_path / "a.npz"


def same(stored):
    return np.array_equal(stored["vertices"], ARRAYS["vertices"]) and str(stored["notes"]) == "none"


def test_arrays_come_back_under_their_key_alone(cache):
    assert same(stored_arrays(cache, "key"))
    assert stored_arrays(cache, "another") is None and stored_arrays(cache.with_name("b.npz"), "key") is None


def test_every_cut_and_every_flipped_bit_is_made_again_or_changes_nothing(cache, caplog):
    content = cache.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in range(0, len(content), 7)]
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for one in damaged:
        cache.write_bytes(one)
        stored = stored_arrays(cache, "key")
        assert stored is None or same(stored)
    assert "cannot be read and is made again" in caplog.text
