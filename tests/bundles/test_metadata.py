"""What the metadata of both bundles say of the software around them."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "metadata", sorted(ROOT.glob("bundles/*/configs/*metadata.json")), ids=lambda path: path.parts[-3]
)
def test_required_packages_are_dependencies_in_the_pinned_versions(metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    stated = json.loads(metadata.read_text())
    for package, version in stated["required_packages_version"].items():
        if package != "lumbar_ext":
            assert package in dependencies and pinned[package] == version, package
    for package, entry in {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}.items():
        assert pinned[package] == stated[entry]
