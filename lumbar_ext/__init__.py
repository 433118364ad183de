"""lumbar_ext: a 3D model of the lumbar spine from two calibrated radiographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumbar_ext.api import Reconstruction, reconstruct

__version__ = "0.1.0"
__all__ = ["Reconstruction", "__version__", "reconstruct"]


def __getattr__(name: str) -> Any:
    """Imports torch and MONAI only for those who reconstruct."""
    if name in ("Reconstruction", "reconstruct"):
        from lumbar_ext import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
