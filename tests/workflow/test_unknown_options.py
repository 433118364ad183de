import json

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.workflow.options import refuse_unknown_options


@pytest.fixture
def command(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps({"max_epochs": 3, "loss": {"focal": 0.5}}))
    second.write_text(json.dumps({"sets": {}}))
    return ["-m", "run", "--config_file", f"['{first}','{second}']", "--meta_file", "m.json"]


def test_entries_of_any_config_pass(command):
    refuse_unknown_options(
        [*command, "--max_epochs", "2", "--loss#focal=0.1", "--sets", "{'a': '-x'}", "--_meta_#x", "1"]
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [("--max_epoch", "did you mean --max_epochs"), ("--loss#facal=1", "no entry of"), ("--zzz", "zzz: no entry")],
)
def test_a_typing_error_is_named(command, option, message):
    with pytest.raises(InputError, match=message):
        refuse_unknown_options([*command, option, "1"])


def test_other_command_lines_pass():
    refuse_unknown_options(["pytest", "--made_up", "1"])
