"""The document of the bundle holds the table as the command prints it."""

from pathlib import Path

from lumbar_ext.measurements.values.definitions import DEFINITIONS
from lumbar_ext.measurements.values.definitions_table import definitions_table

DOCUMENT = Path(__file__).parents[3] / "bundles" / "lumbar_reconstruction" / "docs" / "measurements.md"


def test_the_table_has_a_row_for_every_definition():
    assert len(definitions_table().splitlines()) == len(DEFINITIONS) + 2


def test_the_document_holds_the_table_of_today():
    assert definitions_table() in DOCUMENT.read_text(encoding="utf-8")
