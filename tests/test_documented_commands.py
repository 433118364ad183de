"""What the documents tell people to type is there: verbs, options, modules, files and links."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from lumbar_ext.bundle_paths import bundle_dir
from lumbar_ext.cli.bundle_verbs import BundleVerb
from lumbar_ext.cli.command import VERBS
from tests import walk_documents

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bundles/*/docs/*.md", "benchmarks/*", "Makefile")
    for path in ROOT.glob(pattern)
    if path.suffix in (".md", ".sh", "")
)
HISTORY = {ROOT / "CHANGELOG.md", ROOT / "docs" / "decisions" / "layout.md"}
"""They tell what was called otherwise before."""
TOP = ("lumbar_ext", "benchmarks", "tests")
PRESENT = [path for path in DOCUMENTS if path not in HISTORY]
COMMAND = re.compile(r"(?<![\w/-])lumbar-ext ([a-z][a-z-]*)((?:[^`#|\n]|\\\n)*)")
OPTION = re.compile(r"(?<![\w-])--([a-z]\w*)")


def commands():
    """Every command of the documents: where, verb, options."""
    for path in DOCUMENTS:
        for verb, rest in COMMAND.findall(path.read_text(encoding="utf-8")):
            yield pytest.param(verb, OPTION.findall(rest), id=f"{path.relative_to(ROOT)}: {verb}")


def known_options(verb):
    function = VERBS[verb].function()
    names = set(inspect.signature(function).parameters) | {"help"}
    if isinstance(function, BundleVerb):
        parser = ConfigParser()
        folder = bundle_dir(function.bundle) / "configs"
        parser.read_config([str(folder / f"{name}.json") for name in function.configs])
        names |= set(parser.config)
    return names


@pytest.mark.parametrize(("verb", "options"), commands())
def test_a_documented_command_is_there_with_its_options(verb, options):
    assert verb in VERBS
    assert set(options) <= known_options(verb)


def test_every_verb_is_run_by_the_walk_or_said_where_else():
    walked = {words[0] for words in walk_documents.commands()}
    assert walked | set(walk_documents.ELSEWHERE) == set(VERBS) and not walked & set(walk_documents.ELSEWHERE)
    for words in walk_documents.commands():
        assert {word[2:] for word in words if word.startswith("--")} <= known_options(words[0]) | set(_PASSED_ON)


_PASSED_ON = (
    *("val_interval", "batch_size", "downsample", "size_px", "shift_px", "tensorboard", "mlflow", "max_epochs"),
    *("looks", "max_seconds"),
)
"""Options of `train-first-generation` that `cross-validate` and `ablate` pass on, and of `reconstruct` that `cohort` does."""


def test_documents_were_found():
    assert len(PRESENT) > 15 and len(list(commands())) > 40


@pytest.mark.parametrize("path", PRESENT, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_names_of_the_package_are_there(path):
    for dotted in set(re.findall(r"\blumbar_ext(?!\.egg-info)(?:\.\w+)+", path.read_text(encoding="utf-8"))):
        parts = dotted.split(".")
        for end in range(len(parts), 0, -1):
            if (ROOT / Path(*parts[:end])).is_dir() or (ROOT / Path(*parts[:end])).with_suffix(".py").is_file():
                break
        # applications' modules need SDKs that are not installed here: their names are looked up in the text
        home = ROOT / Path(*parts[:end])
        source = (home / "__init__.py" if home.is_dir() else home.with_suffix(".py")).read_text(encoding="utf-8")
        beyond = parts[end:]
        assert not beyond or re.search(rf"\b{beyond[0]}\b", source), f"{dotted}: no such module or name"


@pytest.mark.parametrize("path", PRESENT, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_files_that_are_named_are_there(path):
    files = [*ROOT.glob("*.py"), *(file for top in TOP for file in (ROOT / top).rglob("*.py"))]
    known = {str(file.relative_to(ROOT)) for file in files}
    for name in set(re.findall(r"`((?:\w+/)*\w+\.py)`", path.read_text(encoding="utf-8"))):
        assert any(file == name or file.endswith(f"/{name}") for file in known), f"{name}: no such file"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{target}: no such file"


@pytest.mark.parametrize("path", PRESENT, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_that_are_started_are_there(path):
    for module in set(re.findall(r"python -m ([\w.]+)", path.read_text(encoding="utf-8"))):
        top = module.partition(".")[0]
        if top in TOP:
            file = ROOT / Path(*module.split("."))
            assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), f"{module}: no such module"
        else:
            assert importlib.util.find_spec(top) is not None
