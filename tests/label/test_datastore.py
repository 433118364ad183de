"""The studies folder without a server: what is there at the start, and what a full disk leaves."""

import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("monailabel", reason="needs the extra [label], see docs/label.md")

from lumbar_ext.errors import InputError
from lumbar_ext.label.datastore import INDEX, GuardedDatastore


@contextmanager
def full_disk(left_bytes):
    """A limit on file sizes makes writing fail half-way, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def wait_until(true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(bytes(2000))
    return path


@pytest.fixture
def datastore(tmp_path):
    (tmp_path / "studies").mkdir()
    return GuardedDatastore(tmp_path / "studies", auto_reload=False)


def test_an_added_image_is_copied_and_listed(datastore, image):
    assert datastore.add_image("case_ap", str(image), {}) == "case_ap"
    assert datastore.image_path("case_ap").read_bytes() == image.read_bytes()
    again = GuardedDatastore(datastore.folder, auto_reload=False)
    assert again.list_images() == ["case_ap"]


def test_an_image_for_which_the_disk_is_too_full_is_not_there_at_all(datastore, image):
    before = sorted(datastore.folder.rglob("*"))
    with full_disk(left_bytes=1000), pytest.raises(OSError, match="File too large"):
        datastore.add_image("case_ap", str(image), {})
    assert sorted(datastore.folder.rglob("*")) == before and datastore.list_images() == []


def test_a_full_disk_does_not_end_the_watch(tmp_path, caplog):
    datastore = GuardedDatastore(tmp_path, auto_reload=True)
    with full_disk(left_bytes=10):
        (tmp_path / "a_ap.png").write_bytes(b"x")
        wait_until(lambda: "the studies folder cannot be followed" in caplog.text)
    (tmp_path / "b_ap.png").write_bytes(b"x")
    wait_until(lambda: sorted(datastore.list_images()) == ["a_ap", "b_ap"])


def test_files_that_are_not_complete_are_no_images(datastore):
    (datastore.folder / ".case_ap.12ab.tmp.png").write_bytes(b"half")
    datastore.refresh()
    assert datastore.list_images() == []


def test_a_damaged_index_is_said(tmp_path):
    (tmp_path / INDEX).write_text("{")
    with pytest.raises(InputError, match=rf"{INDEX}: a damaged index; without it a new one is made"):
        GuardedDatastore(tmp_path, auto_reload=False)


def test_without_an_index_images_and_labels_are_found_again(datastore, image):
    datastore.add_image("case_ap", str(image), {})
    (datastore.folder / "labels" / "final" / "case_ap.mrk.json").write_text("{}")
    (datastore.folder / INDEX).unlink()
    again = GuardedDatastore(datastore.folder, auto_reload=False)
    assert again.list_images() == again.get_labeled_images() == ["case_ap"]


def test_a_dead_disk_is_said(tmp_path):
    (tmp_path / "labels").symlink_to("/nonexistent/disk")
    with pytest.raises(InputError, match="not usable as studies folder"):
        GuardedDatastore(tmp_path, auto_reload=False)


def test_a_start_without_bundles_ends_in_one_clear_line(tmp_path):
    command = [sys.executable, "-m", "lumbar_ext.label", "--studies", tmp_path / "studies", "--bundles", tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path)
    assert process.returncode == 1 and "Traceback" not in process.stderr
    last = process.stderr.strip().splitlines()[-1]
    assert last == f"error: {tmp_path}: no bundle lumbar_multitask in it, expected the folder of the bundles"
