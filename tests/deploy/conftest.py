"""Only `make test-deploy` runs these tests, in an environment of their own."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import lumbar_ext.deploy  # noqa: F401, loads the CUDA runtime library before anything of the SDK

pytest.importorskip("holoscan", reason="needs the extra [deploy], see docs/deploy.md")

BUNDLES = Path(__file__).parents[2] / "bundles"


@pytest.fixture(scope="package")
def run():
    """A function that runs Python with arguments, from a folder of its own; the finished process, output as text."""
    (libraries,) = (Path(place) / "cu13" / "lib" for place in find_spec("nvidia").submodule_search_locations)
    root = Path(__file__).parents[2]
    # Only plain `python -m monai.bundle` needs the library path; PYTHONPATH finds this checkout from any folder.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(root)}

    def start(*arguments, cwd, **options):
        own = {**environment, **options.pop("env", {})}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=1200, **options)

    return start
