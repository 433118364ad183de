"""The engine simulates, too: the same studies as one process alone writes."""

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.cohort import write_cohort

OPTIONS = {"n": 2, "seed": 7, "size_px": 96, "parameters": "plain"}


def test_processes_write_what_one_alone_writes(tmp_path):
    write_cohort(str(tmp_path / "alone"), **OPTIONS)
    write_cohort(str(tmp_path / "together"), **OPTIONS, workers=2)
    written = {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*") if path.is_file()}
    assert written == {
        path.relative_to(tmp_path / "together") for path in (tmp_path / "together").rglob("*") if path.is_file()
    }
    assert len(written) > 10
    for path in written:
        assert (tmp_path / "alone" / path).read_bytes() == (tmp_path / "together" / path).read_bytes(), path


def test_what_no_process_can_use_ends_the_command(tmp_path):
    (tmp_path / "anatomy.pt").write_bytes(b"none")
    with pytest.raises(InputError, match=r"anatomy\.pt"):
        write_cohort(str(tmp_path / "out"), **OPTIONS, workers=2, anatomy=str(tmp_path / "anatomy.pt"))
