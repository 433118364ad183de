"""The tables of an evaluation."""

from dataclasses import replace

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.surfaces.surface_error import SurfaceError
from lumbar_ext.evaluation.surfaces.surface_tables import error_tables


def example(level, mean_mm, method="ours", inputs="radiographs", study="one"):
    return SurfaceError(study, inputs, method, level, mean_mm, mean_mm, 2 * mean_mm, 4 * mean_mm, 0.9, seconds=1.5)


def row(text, name, table=0):
    found = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in found[table].strip("|").split("|")]


def test_rows_are_methods_and_columns_levels_beside_the_papers():
    errors = [example(level, 0.5) for level in LEVELS] + [example("L1", 1.5, study="two")]
    text = error_tables(errors)
    assert row(text, "ours") == ["ours", "1.00 ± 0.50", *["0.50 ± 0.00"] * 4, "0.67 ± 0.37", "6 of 6"]
    assert row(text, "ours", 1)[1] == "4.00 ± 2.00"
    assert row(text, "*Yu et al., landmark-weighted (real X-rays)*")[6] == "0.80 ± 0.15"
    assert row(text, "ours", 2)[-1] == "1.5" and row(text, "ours", 2)[-2] == "83%"
    assert "## Simulated studies (2), radiographs" in text


def test_missing_vertebrae_are_counted_and_spoil_no_mean():
    missing = [SurfaceError("two", "radiographs", "ours", level) for level in LEVELS]
    text = error_tables([example(level, 0.5) for level in LEVELS] + missing)
    assert row(text, "ours")[-2:] == ["0.50 ± 0.00", "5 of 10"]
    assert row(text, "ours", 2)[-2] == "50%"
    assert row(error_tables(missing), "ours")[1:] == ["", "", "", "", "", "", "0 of 5"]


def test_inputs_are_kept_apart_and_every_row_has_the_headers_columns():
    errors = [example("L1", 1.0, inputs=inputs, method=m) for inputs in ("truth", "radiographs") for m in ("a", "b")]
    for table in error_tables(errors).split("\n\n"):
        assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) <= 1
    assert error_tables(errors).count("## Simulated studies (1)") == 2


def test_several_sets_have_a_summary_of_all():
    healthy = [replace(example("L1", 0.5), set_name="healthy"), replace(example("L2", 1.5), set_name="healthy")]
    text = error_tables([*healthy, SurfaceError("two", "radiographs", "ours", "L1", set_name="ill")])
    assert row(text, "healthy")[1:] == ["radiographs", "ours", "1.00 ± 0.50", "1.00", "4.00 ± 2.00", "50%", "2 of 2"]
    assert row(text, "ill")[3:] == ["", "", "", "0%", "0 of 1"]
    assert "## Simulated studies (1), healthy, radiographs" in text
    assert "All sets" not in error_tables(healthy)


def test_contacts_are_sums_of_a_spine_and_the_deepest_of_all():
    contacts = {"vertices_inside": 10, "vertices_deep": 1, "deepest_mm": 0.6, "crossing_triangles": 0}
    one = [replace(example(level, 0.5), **contacts) for level in LEVELS]
    two = [replace(own, study="two", vertices_inside=0, vertices_deep=0, deepest_mm=0.1) for own in one[:1]]
    found = row(error_tables([*one, *two]), "ours", 4)
    assert found[1:] == ["25.0", "2.5", "0.60", "0.0"]
    missing = SurfaceError("three", "radiographs", "ours", "L1")
    assert row(error_tables([*one, *two, missing]), "ours", 4) == found, "a missing vertebra touches nothing"
    assert row(error_tables([missing]), "ours", 4)[1:] == [""] * 4
