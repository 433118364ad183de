"""What a manifest may look like, and what is made of rows that cannot be used."""

import pytest

from lumbar_ext.batch.manifest import Study, read_manifest, write_manifest
from lumbar_ext.errors import InputError

HEADER = "Study_ID,AP,Lateral,calibration,site\n"


def read(tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    return read_manifest(tmp_path / "m.csv")


def test_paths_are_relative_to_the_manifest_and_other_columns_are_carried(tmp_path):
    (study,) = read(tmp_path, HEADER + "p1,a/ap.dcm,/b/lat.dcm,c.json,north\n")
    files = {"ap": str(tmp_path / "a/ap.dcm"), "lat": "/b/lat.dcm", "calibration": str(tmp_path / "c.json")}
    assert study == Study("p1", files, {"site": "north"})


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_a_byte_order_mark_are_read(tmp_path, delimiter):
    text = (HEADER + "p1,a,b,c,d\n").replace(",", delimiter)
    assert [s.name for s in read(tmp_path, "\ufeff" + text)] == ["p1"]


def test_an_id_is_one_study_whatever_the_rows_say(tmp_path):
    rows = ["p1,a,b,c,x", "p2,a,b,c,x", "p1,a,b,c,x", "p2,a,b,OTHER,x", "p3,a,b,c,x"]
    studies = {study.name: study for study in read(tmp_path, HEADER + "\n".join(rows))}
    assert list(studies) == ["p1", "p2", "p3"]
    assert studies["p1"].refused == studies["p3"].refused == ""
    assert "more than once" in studies["p2"].refused


@pytest.mark.parametrize(
    ("row", "said"), [(",a,b,c,x", "study id"), ("p,,b,,x", "no ap and no calibration"), ("p,a,b,c,d,e", "fields")]
)
def test_a_row_that_cannot_be_used_is_refused_alone(tmp_path, row, said):
    refused, good = read(tmp_path, HEADER + row + "\ngood,a,b,c,x\n")
    assert said in refused.refused and "line 2" in refused.refused and good.refused == ""


@pytest.mark.parametrize(
    "text", ["", HEADER, "study,ap,lat\np,a,b\n", "id,study,ap,lat,calibration\np,p,a,b,c\n", "\0\xff"]
)
def test_a_manifest_that_says_nothing_clear_is_refused(tmp_path, text):
    (tmp_path / "m.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"m\.csv"):
        read_manifest(tmp_path / "m.csv")


def test_parquet_says_the_same_as_csv(tmp_path):
    import pyarrow
    import pyarrow.parquet

    from_csv = read(tmp_path, HEADER + "7,a,b,c,x\n8,a,b,c,\n")
    table = {"id": [7, 8], "ap": ["a", "a"], "lat": ["b", "b"], "calibration": ["c", "c"], "site": ["x", None]}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == from_csv
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        read_manifest(tmp_path / "bad.parquet")


def test_a_folder_is_scanned_at_any_depth(tmp_path):
    for place, names in {
        "a/p1": ("ap.dcm", "lat.png", "calibration.json"),
        "p2": ("ap.png", "calibration.json"),
    }.items():
        (tmp_path / place).mkdir(parents=True)
        for name in names:
            (tmp_path / place / name).touch()
    whole, half = read_manifest(tmp_path)
    assert whole.name == "a/p1" and whole.files["ap"] == str(tmp_path / "a/p1/ap.dcm") and not whole.refused
    assert half.name == "p2" and "lat" in half.refused


def test_what_is_written_is_read(tmp_path):
    rows = 'p1,"/a,""b",/b,/c,"two\nlines"\np1,/x,/b,/c,\np2,/a,/b,/c,\n'
    studies = read(tmp_path, HEADER + rows)
    write_manifest(tmp_path / "again.csv", studies)
    assert read_manifest(tmp_path / "again.csv") == studies


@pytest.mark.parametrize("name", ["../../etc", "..", ".hidden", "a/b", "x" * 300, "Müller\n", "a\0b"])
def test_every_id_is_a_folder_of_its_own_below_the_studies(tmp_path, name):
    folder = Study(name, {}).folder_name
    (tmp_path / folder).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [folder] and not folder.startswith(".")
    assert Study(name + "x", {}).folder_name != folder
