"""Schemas that ship with the package, and what the reader refuses before it looks at them."""

import json
import os
import time
from importlib import resources

import jsonschema
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io.json_document import check_document, parse_json, read_document

SCHEMAS = ("calibration.schema.json", "landmarks.schema.json")


@pytest.mark.parametrize("name", SCHEMAS)
def test_shipped_schemas_are_valid(name):
    schema = json.loads(resources.files("lumbar_ext.io.schemas").joinpath(name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema") and schema["description"]


def test_a_byte_order_mark_is_accepted(tmp_path):
    (tmp_path / "l.json").write_bytes(b'\xef\xbb\xbf{"vertebrae": {}}')
    assert read_document(tmp_path / "l.json", "landmarks.schema.json") == {"vertebrae": {}}


def test_a_nested_repeated_key_is_refused(tmp_path):
    (tmp_path / "l.json").write_text('{"vertebrae": {"L1": {}, "L1": {}}}')
    with pytest.raises(InputError, match=r"l.json: the key 'L1' appears twice"):
        read_document(tmp_path / "l.json", "landmarks.schema.json")


def test_a_document_is_checked_before_writing():
    with pytest.raises(InputError, match=r"key vertebrae has unknown keys \['L7'\]; expected only"):
        check_document({"vertebrae": {"L7": {}}}, "landmarks.schema.json")


@pytest.mark.parametrize(
    "text, message",
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"a": 1' + "0" * 400 + "}", "key a is beyond 1e15"),
        ('{"a": [1, -1e16]}', "key a/1 is beyond 1e15"),
        ('{"a": NaN}', "key a is nan, expected a finite number"),
        ('{"a": 0,139}', "not valid JSON"),
        ("[" + "1," * 60_000 + "1]", "more than 50000 values"),
        (" " * 2_000_000, "2 MiB, expected a JSON document of at most 1 MiB"),
        ("", "an empty file"),
    ],
)
def test_what_no_document_holds_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        parse_json(tmp_path / "a.json")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_many_keys_are_checked_in_little_time(tmp_path):
    text = "{" + ",".join(f'"k{i}": 1' for i in range(40_000)) + "}"
    (tmp_path / "l.json").write_text(text)
    start = time.process_time()
    with pytest.raises(InputError, match="and 39990 more") as caught:
        read_document(tmp_path / "l.json", "landmarks.schema.json")
    assert time.process_time() - start < 5
    assert len(str(caught.value)) < 1000


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(InputError, match="a pipe or device"):
        parse_json(tmp_path / "a.json")
