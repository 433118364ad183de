"""Packaging up to the container engine, which stands in here for one that notes what it is given."""

import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from lumbar_ext.deploy.packaging import stage
from lumbar_ext.errors import InputError
from tests.radiographs.dicom_study import write_sample_study

REPOSITORY = Path(__file__).parents[2]
# What `monai-deploy package` otherwise downloads from github.com; only its form matters here.
IMAGE = "registry.example/cuda:13"
SOURCES = {
    "4.2.0": {
        "holoscan": {
            "wheel-version": "4.2.0",
            "debian-version": "4.2.0",
            "base-images": {"dgpu": IMAGE, "igpu": IMAGE, "cpu": IMAGE},
            "build-images": {"dgpu": {}, "igpu": {}, "cpu": {}},
        },
        "health-probes": {},
    }
}
ENGINE = """#!/bin/sh
for last; do :; done
case "$*" in
  *"buildx build"*) cp -r "$last" "$KEPT"; exit 0;;
  *"buildx ls"*) echo '{"Name": "holoscan_app_builder", "Driver": "docker-container"}'; exit 0;;
esac
echo "Name: holoscan_app_builder"
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    stage(str(folder))
    return folder


def test_the_folder_holds_application_package_and_bundles_and_no_label_app(staged):
    app = {path.name for path in (staged / "app").iterdir()}
    assert app == {"__main__.py", "app.yaml", "requirements.txt", "lumbar_ext"}
    assert {path.name for path in (staged / "models").iterdir()} == {"lumbar_multitask", "lumbar_reconstruction"}
    assert (staged / "models" / "lumbar_reconstruction" / "models" / "model.pt").stat().st_size > 1_000_000
    assert not (staged / "app" / "lumbar_ext" / "label").exists() and not list(staged.rglob("__pycache__"))


def test_the_container_installs_what_the_package_needs(staged):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", line)[0]: line for line in project["dependencies"]}
    extra = {re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"]["deploy"]}
    listed = {re.match(r"[\w-]+", line)[0]: line for line in installed_lines(staged)}
    assert {name: listed.get(name) for name in needed} == needed
    # The packager's Dockerfile adds the SDK and starts from an image with CUDA; the packager is not needed inside.
    assert extra & set(listed) == {"dicomweb-client", "highdicom", "holoscan-cu13", "pydicom"}


def installed_lines(staged):
    lines = (staged / "app" / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_folder_starts_as_a_container_starts_it(staged, run, tmp_path):
    write_sample_study(tmp_path / "input", calibration=False)
    places = {"INPUT": "input", "OUTPUT": "output", "MODEL": staged / "models"}
    environment = {f"HOLOSCAN_{name}_PATH": str(tmp_path / place) for name, place in places.items()}
    process = run(staged / "app", cwd=tmp_path, env={**environment, "PYTHONPATH": ""})
    assert process.returncode == 2
    assert "no calibration: expected calibration.json beside the images" in process.stderr.strip().splitlines()[-1]


def test_the_packager_hands_everything_to_the_engine(staged, run, tmp_path):
    (tmp_path / "sources.json").write_text(json.dumps(SOURCES))
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    arguments = [staged / "app", "--config", staged / "app" / "app.yaml", "--models", staged / "models"]
    arguments += ["--platform", "x86_64", "--tag", "lumbar_ext:0.1.0", "--source", tmp_path / "sources.json"]
    environment = {"PATH": f"{engine.parent}{os.pathsep}{os.environ['PATH']}", "KEPT": str(tmp_path / "context")}
    packager = Path(sys.executable).with_name("monai-deploy")
    process = run(packager, "package", *arguments, cwd=tmp_path, env=environment)
    context = tmp_path / "context"
    assert context.is_dir(), process.stdout + process.stderr
    manifest = json.loads((context / "map" / "app.json").read_text())
    assert manifest["command"] == '["python3", "/opt/holoscan/app"]' and manifest["sdk"] == "monai-deploy"
    package = json.loads((context / "map" / "pkg.json").read_text())
    assert set(package["models"]) == {"lumbar_multitask", "lumbar_reconstruction"}
    assert (context / "models" / "lumbar_reconstruction" / "configs" / "inference.json").is_file()
    assert (context / "app" / "lumbar_ext" / "deploy" / "application.py").is_file()
    assert "highdicom" in (context / "pip" / "requirements.txt").read_text()
    assert IMAGE in (context / "Dockerfile").read_text()


def test_a_folder_without_bundles_is_said(tmp_path):
    with pytest.raises(InputError, match="no bundle lumbar_multitask in it"):
        stage(str(tmp_path / "out"), bundles=str(tmp_path))
