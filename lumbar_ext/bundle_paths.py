"""Where the bundles lie: in the repository, or inside the installed package."""

from __future__ import annotations

import os
from pathlib import Path

from lumbar_ext.errors import InputError

VARIABLE = "LUMBAR_EXT_BUNDLES"
"""Environment variable that names another folder of the bundles."""

RECONSTRUCTION, MULTITASK = "lumbar_reconstruction", "lumbar_multitask"
_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE.parent / "bundles", _PACKAGE / "bundles")


def bundles_dir() -> Path:
    """The folder of the bundles: what the environment names, else the repository's, else the wheel's."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).resolve()
    return next((place for place in _PLACES if (place / RECONSTRUCTION).is_dir()), _PLACES[-1])


def bundle_dir(name: str, root: str | Path | None = None) -> Path:
    """The folder of a bundle.

    Args:
        name: of the bundle.
        root: the bundle's folder if it is another one.

    Raises:
        InputError: if there is none.
    """
    folder = bundles_dir() / name if root is None else Path(root)
    if not (folder / "configs" / "inference.json").is_file():
        raise InputError(f"{folder}: no bundle in it, expected configs/inference.json ({VARIABLE} names another place)")
    return folder


def default_anatomy() -> Path:
    """The anatomy file of the reconstruction bundle, whatever the working directory."""
    return bundles_dir() / RECONSTRUCTION / "models" / "anatomy.pt"
