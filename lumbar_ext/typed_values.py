"""Values of options as they were meant: text stays text, `false` is false, numbers lie in their range.

A command line hands words over. `python -m monai.bundle` makes Python values of them first (`2024_01_15` a number, `case#1`
the word before a comment, `false` a word that counts as true), so the words are looked up once more in `sys.argv`.
"""

from __future__ import annotations

import ast
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lumbar_ext.errors import InputError

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NOTHING = ("none", "null", "")


@dataclass(frozen=True)
class Range:
    """Limits of a number, both included; `above` is a limit that is not."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

    def holds(self, value: float) -> bool:
        """Whether a number lies within the limits; NaN lies in none."""
        return self.least <= value <= self.most and value > self.above

    def __str__(self) -> str:
        if math.isfinite(self.most):
            return f" from {max(self.least, self.above):g} to {self.most:g}"
        return f" above {self.above:g}" if math.isfinite(self.above) else f" of at least {self.least:g}"


class Device:
    """Annotation of a torch device that is there."""


Switch = bool
Count = Annotated[int, Range(least=1)]
Whole = Annotated[int, Range(least=0)]
Weight = Annotated[float, Range(least=0)]
Positive = Annotated[float, Range(above=0)]
Share = Annotated[float, Range(least=0, most=1)]


def typed(name: str, value: Any, annotation: Any) -> Any:
    """The value of an option.

    Args:
        name: of the option, for the message.
        value: a word, or a value already.
        annotation: what is expected: str, bool, int, float, `Device`, a Literal, list, dict, a union with None, each with a
            `Range` in Annotated or without.

    Raises:
        InputError: naming the option, what was found and what is expected.
    """
    kinds = _kinds(annotation)
    for kind in kinds:
        # "none" may be the name of a file.
        if kind is NoneType and str in kinds and value is not None:
            continue
        try:
            return _converted(value, kind)
        except (ValueError, TypeError):
            continue
    raise InputError(f"--{name}: expected {expected(annotation)}, found {_shown(value)}")


def expected(annotation: Any) -> str:
    """An annotation in words, such as "a whole number of at least 1, or null"."""
    words = [_in_words(kind) for kind in _kinds(annotation)]
    # null comes first where it is tried first, and last where it is read
    words.sort(key="null".__eq__)
    return ", or ".join(words)


def _kinds(annotation: Any) -> list[Any]:
    """The alternatives of a union, None first, as it is a word like others; each with its own limits."""
    if get_origin(annotation) in (Union, UnionType):
        alternatives = [kind for part in get_args(annotation) for kind in _kinds(part)]
        return sorted(alternatives, key=lambda kind: kind is not NoneType)
    return [annotation]


def _converted(value: Any, kind: Any) -> Any:
    """A value of one alternative; ValueError or TypeError if it is none."""
    if get_origin(kind) is Annotated:
        base, *limits = get_args(kind)
        number = _converted(value, base)
        if not all(limit.holds(number) for limit in limits):
            raise ValueError
        return number
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise ValueError
    return _CONVERTERS[get_origin(kind) or kind](value)


def _text(value: Any) -> str:
    if isinstance(value, (str, Path, bool, int, float)):
        return str(value)
    raise ValueError


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, str) else ""
    if word in _TRUE + _FALSE:
        return word in _TRUE
    raise ValueError


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, float):
        raise ValueError
    # Underscores group digits in Python, not on a command line.
    if isinstance(value, str) and "_" in value:
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _nothing(value: Any) -> None:
    if value is None or (isinstance(value, str) and value.lower() in _NOTHING):
        return None
    raise ValueError


def _collection(kind: type) -> Any:
    def converted(value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                try:
                    value = ast.literal_eval(value)
                except SyntaxError:
                    raise ValueError from None
        if kind is not dict and isinstance(value, (list, tuple)):
            return kind(value)
        if isinstance(value, kind):
            return value
        raise ValueError

    return converted


def _device(value: Any) -> Any:
    import torch

    try:
        device = torch.device(value)
    except RuntimeError:
        raise ValueError from None
    there = {"cpu": lambda: True, "cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device.type not in there or not there[device.type]():
        raise ValueError
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError
    return device


_CONVERTERS = {
    str: _text,
    bool: _switch,
    int: _whole,
    float: _number,
    NoneType: _nothing,
    dict: _collection(dict),
    list: _collection(list),
    tuple: _collection(tuple),
    Device: _device,
    Any: lambda value: value,
}


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        base, *limits = get_args(kind)
        return _in_words(base) + "".join(map(str, limits))
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    names = {
        str: "text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        NoneType: "null",
        dict: "a JSON object",
        list: "a JSON list",
        tuple: "a JSON list",
        Device: "a device that this machine has, such as cpu or cuda:0",
        Any: "a value",
    }
    return names[get_origin(kind) or kind]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= 80 else text[:77] + "...") if isinstance(value, str) else text


def as_typed(name: str, value: Any) -> Any:
    """The word that was typed for an option of `python -m monai.bundle`, where that made something else of it.

    Args:
        name: of the option.
        value: what the program was given; it stays unless it is what the command line's word was made into.
    """
    word = words_of(sys.argv).get(name)
    if word is None or (isinstance(value, str) and value == word):
        return value
    from fire.parser import DefaultParseValue

    made = DefaultParseValue(word)
    return word if type(made) is type(value) and made == value else value


def text(name: str, value: Any) -> str:
    """An option that is text, as it was typed."""
    return typed(name, as_typed(name, value), str)


def words_of(argv: Sequence[str]) -> Mapping[str, str]:
    """Names and words of `--name word` and `--name=word` of a command line of MONAI's bundles; of others, nothing."""
    found = {}
    for position, argument in enumerate(argv):
        if argument.startswith("--") and len(argument) > 2:
            name, equals, value = argument[2:].partition("=")
            following = argv[position + 1] if position + 1 < len(argv) else ""
            found[name.replace("-", "_")] = value if equals else following
    return found if found.get("config_file") else {}
