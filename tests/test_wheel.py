"""The wheel in an empty folder: it brings the command, the bundles and their weights along."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lumbar_ext.landmarks.study_landmarks import read_landmarks

ROOT = Path(__file__).parents[1]
SHIPPED = ("lumbar_ext", "bundles", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An empty environment with the wheel in it; nothing is fetched, nothing is built in the repository.

    Dependencies are those of the tests, by a path: what is installed beside them (this repository among it) is not.
    """
    pytest.importorskip("setuptools", minversion="77")
    source, wheels, venv = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "venv"))
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        options = {"ignore": shutil.ignore_patterns("__pycache__", "*.nb?")} if copy is shutil.copytree else {}
        copy(ROOT / name, source / name, **options)
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*PIP, "wheel", *options, "-w", str(wheels), str(source)], check=True, capture_output=True)
    (wheel,) = wheels.glob("lumbar_ext-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (own,) = venv.glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["--python", str(venv / "bin" / "python"), "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*PIP, *install, str(wheel)], check=True, capture_output=True)
    return Installed(venv / "bin", own / "lumbar_ext")


@dataclass(frozen=True)
class Installed:
    """Where the environment's commands and the package are."""

    commands: Path
    package: Path

    def run(self, folder, command, *words):
        """Runs one of its commands in another folder."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        for name in ("LUMBAR_EXT_BUNDLES", "PYTHONPATH", "VIRTUAL_ENV"):
            environment.pop(name, None)
        words = [str(self.commands / command), *map(str, words)]
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_lists_its_verbs(installed, tmp_path):
    done = installed.run(tmp_path, "lumbar-ext", "--help")
    assert done.returncode == 0, done.stderr
    assert "reconstruct" in done.stdout and "build-shape-model" in done.stdout


def test_the_bundles_are_found_with_all_of_their_files(installed, tmp_path):
    show = "from lumbar_ext.bundle_paths import *; print(bundles_dir()); print(default_anatomy().is_file())"
    done = installed.run(tmp_path, "python", "-c", show)
    assert done.stdout.split() == [str(installed.package / "bundles"), "True"], done.stderr
    for bundle in ("lumbar_multitask", "lumbar_reconstruction"):
        for place in ("configs/inference.json", "configs/metadata.json", "configs/logging.conf", "models/model.pt"):
            shipped, own = installed.package / "bundles" / bundle / place, ROOT / "bundles" / bundle / place
            assert shipped.read_bytes() == own.read_bytes()


def test_a_verb_finds_its_config(installed, tmp_path):
    done = installed.run(tmp_path, "lumbar-ext", "reconstruct", "--help")
    assert done.returncode == 0, done.stderr
    assert "AP_IMAGE LAT_IMAGE CALIBRATION OUTPUT_DIR" in done.stdout and "(default: gauss_newton)" in done.stdout


def test_the_sample_is_read_by_the_shipped_network_in_any_folder(installed, tmp_path):
    """The whole way through a bundle; `reconstruct` as well would first compile its kernels here for half a minute."""
    sample = installed.package / "bundles" / "lumbar_reconstruction" / "sample"
    options = ["--view", "ap", "--pixel_spacing_mm", "0.417", "--output_dir", "seen"]
    done = installed.run(tmp_path, "lumbar-ext", "decompose", "--image", sample / "ap.png", *options)
    assert done.returncode == 0, done.stderr
    found = read_landmarks(tmp_path / "seen" / "ap_landmarks.json").positions_px["ap"]
    true = read_landmarks(sample / "truth" / "landmarks.json").positions_px["ap"]
    assert np.nanmedian(np.linalg.norm(found - true, axis=-1)) * 0.417 < 4
