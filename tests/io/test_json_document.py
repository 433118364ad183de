"""Schemas that ship with the package, and what the reader refuses before it looks at them."""

import json
from importlib import resources

import jsonschema
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io.json_document import check_document, read_document

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
