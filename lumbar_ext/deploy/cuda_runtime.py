"""Holoscan, beneath the MONAI Deploy App SDK, links to CUDA's runtime library even where there is no GPU."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

_LIBRARY = Path("cu13") / "lib" / "libcudart.so.13"


def load_cuda_runtime() -> None:
    """Loads the library from the wheel `nvidia-cuda-runtime`, where no search path leads to it.

    Once it is loaded, the dynamic linker answers Holoscan's wish for it by its name. Nothing happens where the wheel is
    absent: the system may have the library, or nobody needs it.
    """
    wheels = find_spec("nvidia")
    for folder in (wheels and wheels.submodule_search_locations) or ():
        library = Path(folder) / _LIBRARY
        if library.is_file():
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            return
