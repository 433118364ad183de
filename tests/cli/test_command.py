"""The verbs, their arguments and their help."""

import inspect
import os
import re
import subprocess
import sys

import pytest

from lumbar_ext.cli.arguments import bound_arguments, help_text
from lumbar_ext.cli.command import VERB_GROUPS, VERBS, overview, run
from lumbar_ext.errors import InputError


def greet(name: str, folder: str = "x", *, times: int = 1, loudly: bool = False, labels: dict | None = None) -> None:
    """Greets.

    Args:
        name: whom.
        folder: where.
        times: how often.
        loudly: whether to shout.
        labels: by level.
    """


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["1.10", "2024_01_15"], {"name": "1.10", "folder": "2024_01_15"}),
        (["--name", "case#1", "--loudly", "false"], {"name": "case#1", "loudly": False}),
        (["x", "--loudly"], {"name": "x", "loudly": True}),
        (["x", "--labels={'L1': 20}", "--times", "2"], {"name": "x", "labels": {"L1": 20}, "times": 2}),
        (["-", "--times=-3"], {"name": "-", "times": -3}),
        (["$HOME/@x%"], {"name": "$HOME/@x%"}),
    ],
)
def test_words_become_typed_arguments(words, expected):
    assert bound_arguments("greet", greet, words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x", "--tims", "2"], r"^--tims: no such option; did you mean --times\?$"),
        (["x", "--zzz"], "--zzz: no such option; there are --name, --folder"),
        (["x", "--times", "two"], "--times: expected a whole number, found 'two'"),
        ([], "lumbar-ext greet: .*name.*lumbar-ext greet --help"),
        (["x", "y", "z"], "lumbar-ext greet: .*z.*--help"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(words, message):
    with pytest.raises(InputError, match=message) as caught:
        bound_arguments("greet", greet, words)
    assert "\n" not in str(caught.value)


def test_help_names_every_argument_with_its_type_and_default():
    text = help_text("greet", greet)
    assert text.startswith("lumbar-ext greet NAME [--OPTION VALUE ...]")
    for part in ("--times", "how often. [a whole number] (default: 1)", "(default: false)", "[a JSON object, or null]"):
        assert part in text


def test_the_overview_has_a_line_for_each_verb_and_needs_no_torch():
    code = "import sys; from lumbar_ext.cli.command import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == overview() + "\n"
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\S", done.stdout, re.M)
    assert sum(map(len, VERB_GROUPS.values())) == len(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_documents_every_argument(verb):
    function = VERBS[verb].function()
    text = help_text(verb, function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            name = f"--{parameter.name}" if parameter.default is not parameter.empty else parameter.name.upper()
            (line,) = (line for line in text.splitlines() if line.startswith(f"  {name} "))
            assert len(line.split()) > 1, f"{verb} {name} has no word of help"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reconstruc"], "did you mean reconstruct"),
        (
            ["reconstruct", "a", "b", "c", "d", "--keep_appart", "true"],
            r"^--keep_appart: .*did you mean --keep_apart\?",
        ),
        (["reconstruct", "a", "b", "c", "d", "--n_modes", "-1"], "^--n_modes: expected a whole number"),
        (["reconstruct", "a", "b", "c", "d", "--device", "tpu"], "^--device: expected a device"),
        (["reconstruct", "a", "b", "c", "d", "--configs", "papers"], "papers.json: no such file.*paper"),
        (["train", "--loss#facal", "1"], "^--loss#facal: no entry of the config"),
        (["train", "--session_minuts", "1"], r"did you mean --session_minutes\?"),
        (["decompose", "--bundle_root", "nowhere"], "nowhere: no bundle in it"),
        (["simulate", "out", "--split", "tset"], "split must be one of"),
    ],
)
def test_verbs_refuse_what_cannot_be_used(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run(words)
    assert list(tmp_path.iterdir()) == []
