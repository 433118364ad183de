"""Options of `python -m monai.bundle run` that no config knows: MONAI takes them silently, a typing error included."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from difflib import get_close_matches

from monai.bundle import ConfigParser

from lumbar_ext.errors import InputError

_RUN_PARAMETERS = (
    "run_id",
    "init_id",
    "final_id",
    "meta_file",
    "config_file",
    "logging_file",
    "tracking",
    "args_file",
    "bundle_root",
)


def refuse_unknown_options(argv: Sequence[str]) -> None:
    """Checks the options of a bundle's command line; other command lines pass.

    Args:
        argv: the command line, as in `sys.argv`.

    Raises:
        InputError: naming the first option that is no entry of the config files, with the entry it resembles most.
    """
    options = _options(argv)
    if not options.get("config_file"):
        return
    parser = ConfigParser()
    parser.read_config(_as_list(options["config_file"]))
    for name in options:
        top = name.replace("::", "#").split("#")[0]
        if name in _RUN_PARAMETERS or top.startswith("_meta"):
            continue
        if top not in parser.config or name not in parser:
            close = get_close_matches(name, [*parser.config, *_RUN_PARAMETERS], n=1)
            hint = f"; did you mean --{close[0]}?" if close else ""
            raise InputError(f"--{name}: no entry of {options['config_file']}{hint}")


def _options(argv: Sequence[str]) -> dict[str, str]:
    """Names and values of `--name value` and `--name=value`."""
    found = {}
    for position, argument in enumerate(argv):
        if argument.startswith("--") and len(argument) > 2:
            name, equals, value = argument[2:].partition("=")
            following = argv[position + 1] if position + 1 < len(argv) else ""
            found[name] = value if equals else following
    return found


def _as_list(text: str) -> list[str]:
    """One file name, or a Python list of them, as fire reads it."""
    return [str(name) for name in ast.literal_eval(text)] if text.lstrip().startswith("[") else text.split(",")
