"""State dictionaries of networks and shape models, their check sums verified."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import one_line, require_file

_MAX_BYTES = 2**32  # shipped files stay below 25 MB


def read_tensors(path: str | Path, what: str) -> Any:
    """What `torch.save` wrote, on the CPU, without running pickled code.

    PyTorch's files are zip archives, which hold a check sum for every tensor; PyTorch does not look at them, so that a
    flipped bit becomes another network.

    Args:
        path: the file.
        what: what it is expected to hold, for the message: "weights of a network".

    Raises:
        InputError: if it is missing, damaged or no such file.
    """
    import torch

    path = require_file(path, what, _MAX_BYTES)
    try:
        if zipfile.is_zipfile(path):
            _verify(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # torch, pickle and zipfile have errors of their own
        raise InputError(f"{path}: not {what} ({one_line(error)})") from error


def _verify(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise InputError(f"{path}: its parts are compressed, expected a file of torch.save")
        damaged = archive.testzip()
    if damaged:
        raise InputError(f"{path}: damaged: the check sum of its part {damaged!r} is wrong; copy the file again")
