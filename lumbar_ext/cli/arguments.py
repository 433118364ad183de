"""The words of a command line as arguments of a function: Fire takes them apart, annotations say what they mean.

Fire on its own makes Python values of words, and calls a function before it looks at the words that are left over.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import textwrap
import typing
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import fire
from fire import decorators, docstrings
from fire.parser import DefaultParseValue

from lumbar_ext.errors import InputError
from lumbar_ext.typed_values import expected, typed

_NEVER_TYPED = "\x1f"
"""In place of Fire's `-`, which parts the calls of a chain and may be the name of a file."""

_COLUMN = 24  # where the text of an argument begins, characters
_WIDTH = 110  # of the help on a terminal, characters


def bound_arguments(verb: str, function: Callable, words: Sequence[str]) -> dict[str, Any]:
    """What a function is to be called with.

    Args:
        verb: how the user calls it, for messages.
        function: with annotations; a parameter `**entries` takes further options, which the function checks itself.
        words: after the verb.

    Raises:
        InputError: for an option the function does not know, a missing or superfluous argument, or a value of the wrong
            type or out of range.
    """
    signature = inspect.signature(function)
    _refuse_unknown(signature, words)
    taken: list[dict[str, Any]] = []

    def take(*args: str, **kwargs: str) -> None:
        taken.append(dict(signature.bind(*args, **kwargs).arguments))

    take.__signature__ = signature.replace(return_annotation=inspect.Signature.empty)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            command = [*words, "--", f"--separator={_NEVER_TYPED}"]
            fire.Fire(decorators.SetParseFn(str)(take), command=command, name=f"lumbar-ext {verb}")
    except fire.core.FireExit:
        reason = errors.getvalue().partition("Usage:")[0].strip().removeprefix("ERROR: ")
        raise InputError(f"lumbar-ext {verb}: {' '.join(reason.split())}; see lumbar-ext {verb} --help") from None
    return _typed_arguments(signature, _hints(function), taken[-1])


def help_text(verb: str, function: Callable) -> str:
    """What a verb does, and all of its arguments with types and defaults."""
    signature, hints = inspect.signature(function), _hints(function)
    documented = docstrings.parse(inspect.getdoc(function) or "")
    texts = {arg.name: arg.description for arg in documented.args or ()}
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    needed = [p for p in own if p.default is p.empty]
    lines = [f"lumbar-ext {verb} {' '.join(p.name.upper() for p in needed)} [--OPTION VALUE ...]", ""]
    lines += textwrap.wrap(" ".join((documented.summary or "").split()), _WIDTH)
    if documented.description:
        lines += ["", *textwrap.wrap(" ".join(documented.description.split()), _WIDTH)]
    lines.append("")
    for parameter in own:
        lines += _argument_help(parameter, hints.get(parameter.name, str), texts.get(parameter.name) or "")
    if len(own) < len(signature.parameters):
        lines += ["", "Every other entry of the config can be given as well, # between levels."]
    return "\n".join(lines)


def _argument_help(parameter: inspect.Parameter, annotation: Any, text: str) -> list[str]:
    name = parameter.name.upper() if parameter.default is parameter.empty else f"--{parameter.name}"
    default = "" if parameter.default is parameter.empty else f" (default: {_default_text(parameter.default)})"
    kind = "" if annotation is str else f" [{expected(annotation)}]"
    text = " ".join(f"{text}{kind}{default}".split())
    lines = textwrap.wrap(text, _WIDTH - _COLUMN) or [""]
    return [f"  {name:<{_COLUMN - 3}} {lines[0]}", *(" " * _COLUMN + line for line in lines[1:])]


def _default_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if value == "":
        return "empty"
    return str(value)


def _hints(function: Callable) -> dict[str, Any]:
    """Annotations by name; those of an object stand in its signature."""
    if inspect.isfunction(function):
        return typing.get_type_hints(function, include_extras=True)
    return {p.name: p.annotation for p in inspect.signature(function).parameters.values()}


def _refuse_unknown(signature: inspect.Signature, words: Sequence[str]) -> None:
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    names = [p.name for p in parameters]
    for word in words:
        name = word[2:].partition("=")[0].replace("-", "_")
        if word.startswith("--") and name and name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"; did you mean --{close[0]}?" if close else f"; there are --{', --'.join(names)}"
            raise InputError(f"--{name}: no such option{hint}")


def _typed_arguments(signature: inspect.Signature, hints: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    arguments = {}
    for name, value in taken.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            # Entries of a config, of whose types only the config knows; as `python -m monai.bundle` reads them.
            arguments |= {entry: DefaultParseValue(word) for entry, word in value.items()}
        # Fire hands defaults over with the rest.
        elif value is not signature.parameters[name].default:
            arguments[name] = typed(name, value, hints.get(name, str))
    return arguments
