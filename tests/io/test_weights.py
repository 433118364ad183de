"""Weights whose check sums are verified."""

import zipfile

import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.io.weights import read_tensors


def test_every_flipped_bit_is_found(tmp_path):
    path = tmp_path / "model.pt"
    tensor = torch.rand(50, 40, generator=torch.Generator().manual_seed(0))
    torch.save({"a": tensor}, path)
    assert torch.equal(read_tensors(path, "weights")["a"], tensor)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 100):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = read_tensors(path, "weights")
        except InputError as error:
            assert "model.pt" in str(error)
        else:  # a bit that says nothing, such as one of a time of change
            assert torch.equal(found["a"], tensor)


def test_compressed_parts_and_other_files_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(10**6))
    with pytest.raises(InputError, match="its parts are compressed"):
        read_tensors(path, "weights")
    path.write_text("no weights")
    with pytest.raises(InputError, match=r"model\.pt: not weights"):
        read_tensors(path, "weights")
    with pytest.raises(InputError, match="no such file, expected weights"):
        read_tensors(tmp_path / "none.pt", "weights")
