"""`false` means false, whoever reads it: no switch of a config is used as it was typed."""

import json
import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from lumbar_ext.workflow import options

CONFIGS = sorted((Path(__file__).parents[2] / "bundles").glob("*/configs/*.json"))
TRAININGS = [path for path in CONFIGS if path.stem.endswith("train") and '"+imports"' not in path.read_text()]
"""Those that stand alone."""


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parts[-3]}: {path.name}")
def test_a_switch_is_typed_wherever_it_is_used(config):
    entries = json.loads(config.read_text())
    switches = [
        name
        for name, value in entries.items()
        if isinstance(value, bool) or ("find_spec" in str(value) and name[0] != "i")
    ]
    typed = {name for each in vars(options).values() for name in getattr(each, "__annotations__", {})}
    for name in switches:
        uses = [line for line in config.read_text().splitlines() if re.search(rf"@{name}\b", line)]
        for line in uses:
            handed = re.fullmatch(rf'\s*"{name}": "@{name}",?', line) and name in typed
            assert handed or f"typed('{name}', @{name}, bool)" in line, line


@pytest.mark.parametrize("config", TRAININGS, ids=lambda path: path.name)
def test_a_training_writes_into_its_output_folder_unless_told_otherwise(config, tmp_path):
    """The shipped weights lie in `models`."""
    parser = ConfigParser()
    parser.read_config(str(config))
    parser["output_dir"] = str(tmp_path)
    written = [key for key in ("ckpt_dir", "output_dir", "resume") if key in parser]
    assert {"output_dir", "resume"} <= set(written)
    assert all(Path(parser.get_parsed_content(key)).is_relative_to(tmp_path) for key in written)
