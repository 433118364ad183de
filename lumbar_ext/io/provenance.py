"""What was run on what: versions, hashes and parameters for `run.json`."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import lumbar_ext
from lumbar_ext.io.input_file import sha256

PACKAGES = ("monai", "torch", "numpy", "scipy", "numba", "nlopt", "nibabel", "trimesh", "pytorch-ignite")
"""Packages whose version can change a result."""


def provenance(*, inputs: dict[str, str], weights: dict[str, str], parameters: dict) -> dict:
    """The content of `run.json`.

    Args:
        inputs: role to path of every input file.
        weights: role to path of every file of weights.
        parameters: what was asked of the run, JSON values only.

    Returns:
        A dictionary of JSON values: date (UTC), versions, inputs and weights with path and SHA-256, the versions of the
        bundles that the weights are of, parameters.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "lumbar_ext": lumbar_ext.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        "inputs": {role: _file_record(path) for role, path in inputs.items()},
        "weights": {role: _file_record(path) for role, path in weights.items()},
        "bundles": dict(bundle for path in weights.values() if (bundle := _bundle_of(Path(path)))),
        "parameters": parameters,
    }


def _bundle_of(weights: Path) -> tuple[str, str] | None:
    """Name and version of the bundle that a file of weights lies in; None for a file elsewhere."""
    root = weights.resolve().parent.parent
    try:
        return root.name, str(json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file_record(path: str | Path) -> dict[str, str]:
    return {"path": str(Path(path).resolve()), "sha256": sha256(path)}
