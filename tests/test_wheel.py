"""The wheel in an empty folder: it brings the command, the bundles and their weights along."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("lumbar_ext", "bundles", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel was installed to; nothing is fetched, nothing is built in the repository."""
    pytest.importorskip("setuptools", minversion="77")
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "target"))
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        options = {"ignore": shutil.ignore_patterns("__pycache__", "*.nb?")} if copy is shutil.copytree else {}
        copy(ROOT / name, source / name, **options)
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*PIP, "wheel", *options, "-w", str(wheels), str(source)], check=True, capture_output=True)
    (wheel,) = wheels.glob("lumbar_ext-*.whl")
    install = ["--no-deps", "--no-index", "--no-compile", "--target", str(target)]
    subprocess.run([*PIP, "install", *install, str(wheel)], check=True, capture_output=True)
    return target


def run(installed, tmp_path, *command):
    """A command of the installed package, from another folder; its dependencies are those of the tests."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    environment.pop("LUMBAR_EXT_BUNDLES", None)
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_the_command_lists_its_verbs(installed, tmp_path):
    done = run(installed, tmp_path, sys.executable, str(installed / "bin" / "lumbar-ext"), "--help")
    assert done.returncode == 0, done.stderr
    assert "reconstruct" in done.stdout and "build-shape-model" in done.stdout


def test_the_bundles_are_found_with_all_of_their_files(installed, tmp_path):
    show = "from lumbar_ext.bundle_paths import *; print(bundles_dir()); print(default_anatomy().is_file())"
    done = run(installed, tmp_path, sys.executable, "-c", show)
    assert done.stdout.split() == [str(installed / "lumbar_ext" / "bundles"), "True"], done.stderr
    for bundle in ("lumbar_multitask", "lumbar_reconstruction"):
        for place in ("configs/inference.json", "configs/metadata.json", "configs/logging.conf", "models/model.pt"):
            shipped, own = installed / "lumbar_ext" / "bundles" / bundle / place, ROOT / "bundles" / bundle / place
            assert shipped.read_bytes() == own.read_bytes()
    assert (installed / "lumbar_ext" / "bundles" / "lumbar_reconstruction" / "sample" / "ap.png").is_file()


def test_a_verb_finds_its_config(installed, tmp_path):
    done = run(installed, tmp_path, sys.executable, str(installed / "bin" / "lumbar-ext"), "reconstruct", "--help")
    assert done.returncode == 0, done.stderr
    assert "AP_IMAGE LAT_IMAGE CALIBRATION OUTPUT_DIR" in done.stdout and "(default: gauss_newton)" in done.stdout
