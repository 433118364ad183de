import errno

import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.training.handlers import checkpoint
from lumbar_ext.training.handlers.checkpoint import read_checkpoint, write_checkpoint


def test_what_is_written_is_read(tmp_path):
    write_checkpoint(tmp_path / "new" / "a.pt", {"weights": torch.arange(3)})
    assert read_checkpoint(tmp_path / "new" / "a.pt")["weights"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file data/0")],
)
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, error):
    write_checkpoint(tmp_path / "a.pt", 1)

    def fill(state, path):
        path.write_bytes(b"half a checkpoint")
        raise error

    monkeypatch.setattr(checkpoint.torch, "save", fill)
    with pytest.raises(InputError, match=r"a\.pt: the checkpoint could not be written .*any older file is untouched"):
        write_checkpoint(tmp_path / "a.pt", 2)
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "a.pt") == 1 and [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_truncated_missing_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(path)
    write_checkpoint(path, torch.zeros(1000))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match=r"a\.pt: not a checkpoint"):
        read_checkpoint(path)
    path.write_text("not a checkpoint")
    with pytest.raises(InputError, match="not a checkpoint"):
        read_checkpoint(path)
