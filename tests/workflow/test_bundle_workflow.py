"""A bundle as the applications run it: its own config, other items."""

import json

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.workflow.bundle_workflow import bundle_workflow, run_on

CONFIG = {
    "imports": ["$from lumbar_ext.io import read_calibration"],
    "bundle_root": ".",
    "factor": 2,
    "result": "$lambda item: read_calibration(item['path']) if 'path' in item else item['value'] * @factor",
    "gather": "$lambda item: item['into'].append(@result(item))",
    "dataset": {
        "_target_": "Dataset",
        "data": [{"path": "the config's own data"}],
        "transform": {"_target_": "Compose", "transforms": ["@gather"]},
    },
    "run": ["$list(@dataset)"],
}


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "configs").mkdir()
    for name, factor in (("inference", 2), ("train", 5)):
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps({**CONFIG, "factor": factor}))
    (tmp_path / "configs" / "metadata.json").write_text("{}")
    return tmp_path


def test_the_config_runs_on_the_given_item_alone_and_again(bundle):
    workflow, into = bundle_workflow(bundle), []
    for value in (3, 4):
        run_on(workflow, {"into": into, "value": value})
    assert into == [6, 8]


def test_overrides_are_used(bundle):
    into = []
    run_on(bundle_workflow(bundle, factor=7), {"into": into, "value": 3})
    assert into == [21]


def test_the_training_config_is_another(bundle):
    workflow = bundle_workflow(bundle, ["train"], "train")
    assert workflow.workflow_type == "train" and workflow.parser.get_parsed_content("factor") == 5


def test_what_the_bundle_refuses_comes_without_the_engine_around_it(bundle):
    with pytest.raises(InputError, match=r"nowhere\.json: no such file") as caught:
        run_on(bundle_workflow(bundle), {"into": [], "path": "nowhere.json"})
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_folder_that_is_no_bundle_is_said(tmp_path):
    with pytest.raises(InputError, match=r"configs/inference\.json: no such file, expected a bundle"):
        bundle_workflow(tmp_path)
