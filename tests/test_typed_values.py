"""Words of a command line as the values that were meant, or one clear line."""

import math
import sys
from typing import Any, Literal

import pytest
import torch
from fire.parser import DefaultParseValue

from lumbar_ext.errors import InputError
from lumbar_ext.typed_values import Count, Device, Positive, Share, Weight, Whole, as_typed, text, typed, words_of

NAMES = ["2024_01_15", "1.10", "007", "case#1", "true", "None", "null", "1e3", "a b", "[1]", "{}", "$x", "@y", "é%", ""]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [str, str | None])
def test_text_stays_text(name, kind):
    assert typed("output_dir", name, kind) == name


@pytest.mark.parametrize("word", ["false", "False", "no", "0", "off", "FALSE", False])
def test_false_is_false(word):
    assert typed("keep_apart", word, bool) is False


@pytest.mark.parametrize("word", ["true", "True", "yes", "1", "on", True])
def test_true_is_true(word):
    assert typed("keep_apart", word, bool) is True


@pytest.mark.parametrize(
    ("word", "kind", "value"),
    [
        ("3", Count, 3),
        ("null", Count | None, None),
        (None, Count | None, None),
        ("0", Whole, 0),
        ("4e-4", Weight, 0.0004),
        ("7", Positive | None, 7.0),
        ("1", Share, 1.0),
        ("ap", Literal["ap", "lat"], "ap"),
        ('{"L1": 20}', dict, {"L1": 20}),
        ("{'L1': 20}", dict[str, int] | None, {"L1": 20}),
        ("[1, 2]", list, [1, 2]),
        ("cpu", Device, torch.device("cpu")),
        (torch.device("cpu"), Device, torch.device("cpu")),
        ("x", Any, "x"),
    ],
)
def test_values_of_the_right_type(word, kind, value):
    found = typed("x", word, kind)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("word", "kind", "expected"),
    [
        ("-1", Count | None, "a whole number of at least 1, or null"),
        ("1.5", Count, "a whole number"),
        ("1_0", Count, "a whole number"),
        (True, Count, "a whole number"),
        (2.0, Whole, "a whole number"),
        ("nan", Weight, "a number of at least 0"),
        (math.inf, Weight, "a number"),
        ("-3", Positive | None, "a number above 0, or null"),
        ("0", Positive, "above 0"),
        ("1.1", Share, "from 0 to 1"),
        ("maybe", bool, "true or false"),
        ("front", Literal["ap", "lat"], "one of ap, lat"),
        ("tpu", Device, "cpu or cuda:0"),
        ("cuda:99", Device, "a device that this machine has"),
        ("{", dict, "a JSON object"),
        ([1], str, "text"),
    ],
)
def test_other_values_are_one_line_that_names_the_option(word, kind, expected):
    with pytest.raises(InputError, match=r"^--thing: expected ") as caught:
        typed("thing", word, kind)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NAMES if name and name[0] not in "$@%"])
@pytest.mark.parametrize("form", ["--output_dir={}", "--output-dir={}", "two words"])
def test_what_monai_made_of_a_name_is_undone(monkeypatch, name, form):
    words = ["--output_dir", name] if form == "two words" else [form.format(name)]
    monkeypatch.setattr(sys, "argv", ["run", "--config_file", "a.json", *words])
    assert text("output_dir", DefaultParseValue(name)) == name


def test_other_values_are_not_replaced_by_words(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run", "--config_file", "a.json", "--output_dir", "1.10"])
    assert as_typed("output_dir", "elsewhere") == "elsewhere" and as_typed("n", 1.1) == 1.1
    monkeypatch.setattr(sys, "argv", ["pytest", "--output_dir", "1.10"])
    assert words_of(sys.argv) == {} and as_typed("output_dir", 1.1) == 1.1
