"""The package needs neither application: their SDKs live in environments of their own."""

import re
from pathlib import Path

import pytest

import lumbar_ext

PACKAGE = Path(lumbar_ext.__file__).parent
IMPORTS = re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE)
FORBIDDEN = {
    "": ("monai.deploy", "holoscan", "monailabel", "lumbar_ext.deploy", "lumbar_ext.label"),
    "deploy": ("monailabel", "lumbar_ext.label"),
    "label": ("monai.deploy", "holoscan", "lumbar_ext.deploy"),
}


def part_of(path):
    part = path.relative_to(PACKAGE).parts[0]
    return part if part in FORBIDDEN else ""


@pytest.mark.parametrize("part", FORBIDDEN)
def test_a_part_imports_no_sdk_but_its_own(part):
    files = [path for path in PACKAGE.rglob("*.py") if part_of(path) == part]
    wrong = {
        str(path.relative_to(PACKAGE)): name
        for path in files
        for name in IMPORTS.findall(path.read_text(encoding="utf-8"))
        if any(name == known or name.startswith(f"{known}.") for known in FORBIDDEN[part])
    }
    assert len(files) > 5 and wrong == {}


def test_tests_outside_their_folders_import_no_sdk():
    tests = Path(__file__).parents[1]
    own = [path for path in tests.rglob("*.py") if path.relative_to(tests).parts[0] not in ("deploy", "label")]
    imported = {name for path in own for name in IMPORTS.findall(path.read_text(encoding="utf-8"))}
    assert not {name for name in imported if name.startswith(FORBIDDEN[""])}
