"""What real processes leave behind when they are killed, or publish into one folder at once."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path, staged_output, write_text

OWNED = ("L?.stl", "report.pdf", "truth/*")
fork = multiprocessing.get_context("fork")
small = multiprocessing.get_context("forkserver")
"""Children of a server that holds nothing but this module: forking a process full of tests takes a second."""
small.set_forkserver_preload([__name__])


def publish(out, number):
    """One set: every file says its number; odd sets have files that even ones lack, as a found or missing vertebra."""
    with staged_output(out, OWNED) as staging:
        for level in range(1, 6 if number % 2 else 5):
            (staging / f"L{level}.stl").write_text(str(number))
        (staging / "truth").mkdir()
        (staging / "truth" / "meta.json").write_text(str(number))
        if number % 2:
            (staging / "report.pdf").write_text(str(number))


def publish_on(out, first, started, step=1):
    started.set()
    for number in range(first, first + 100_000 * step, step):
        publish(out, number)


def the_set(out):
    """The number that all files of a set share; fails for a mixture or a part of a set."""
    files = {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file() and p.suffix != ".txt"}
    (number,) = set(files.values())
    assert len(files) == (7 if int(number) % 2 else 5), files
    return int(number)


def hidden(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_a_kill_leaves_one_whole_set_and_the_next_run_no_leftovers(tmp_path):
    rng, out = random.Random(0), tmp_path / "out"
    publish(out, 0)
    (out / "notes.txt").write_text("of the user")
    (out / "dicom").mkdir()
    (out / "dicom" / "a.txt").write_text("of another command")
    seen, abandoned = set(), 0
    for attempt in range(40):
        started = small.Event()
        child = small.Process(target=publish_on, args=(out, 1000 * attempt + 1, started))
        child.start()
        started.wait()
        time.sleep(rng.uniform(0.0, 0.05))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        seen.add(the_set(out))
        abandoned += bool(hidden(tmp_path))
        assert (out / "notes.txt").read_text() == "of the user" and (out / "dicom" / "a.txt").exists()
    assert len(seen) > 5 and abandoned > 5, "the kills came at no interesting moment"
    publish(out, 7)
    assert the_set(out) == 7 and hidden(tmp_path) == []


def test_runs_at_once_never_mix(tmp_path):
    out = tmp_path / "out"
    for _ in range(10):
        started = [small.Event(), small.Event()]
        children = [small.Process(target=publish_on, args=(out, k + 1, started[k], 2)) for k in range(2)]
        for child in children:
            child.start()
        for event in started:
            event.wait()
        time.sleep(0.03)
        for child in children:
            child.kill()
            child.join()
        the_set(out)
    publish(out, 3)
    assert the_set(out) == 3 and hidden(tmp_path) == []


def test_runs_at_once_in_a_folder_that_cannot_be_switched_take_turns(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)

    def publish_some(first):
        for number in range(first, first + 40, 2):
            publish(out, number)

    children = [fork.Process(target=publish_some, args=(first,)) for first in (1, 2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert the_set(out) in (39, 40) and hidden(tmp_path) == []


def test_a_living_process_keeps_its_staging_folder_and_its_temporary_file(tmp_path):
    out = tmp_path / "out"
    with staged_output(out) as staging, atomic_path(tmp_path / "a.pt") as temporary:
        child = fork.Process(target=lambda: (publish(out, 1), write_text(tmp_path / "a.pt", "x")))
        child.start()
        child.join()
        assert child.exitcode == 0 and staging.is_dir() and temporary.exists()


def test_the_temporary_file_of_a_killed_process_is_removed_by_the_next_write(tmp_path):
    def die():
        with atomic_path(tmp_path / "resume.pt"):
            os.kill(os.getpid(), signal.SIGKILL)

    child = fork.Process(target=die)
    child.start()
    child.join()
    assert len(hidden(tmp_path)) == 1
    write_text(tmp_path / "other.pt", "x")
    assert len(hidden(tmp_path)) == 1, "it may belong to a command that writes other files"
    write_text(tmp_path / "resume.pt", "x")
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("is_working_folder", [False, True])
def test_a_folder_in_the_place_of_a_file_is_refused_and_kept(tmp_path, monkeypatch, is_working_folder):
    (tmp_path / "out" / "L3.stl" / "mine").mkdir(parents=True)
    if is_working_folder:
        monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(InputError, match=r"L3\.stl: is a folder"):
        publish(tmp_path / "out", 1)
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["L3.stl", "mine"] and hidden(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "truth").write_text("mine")
    with pytest.raises(InputError, match="truth: is a file"):
        publish(tmp_path / "out", 1)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["truth"]


def test_links_and_permissions_of_a_switched_folder_are_kept(tmp_path):
    out = tmp_path / "out"
    publish(out, 1)
    out.chmod(0o750)
    (out / "link").symlink_to("nowhere")
    (out / "folder").symlink_to(tmp_path)
    (tmp_path / "named").symlink_to(out)
    publish(tmp_path / "named", 2)
    assert the_set_without_links(out) == 2 and (tmp_path / "named").is_symlink()
    assert out.stat().st_mode & 0o777 == 0o750
    assert (out / "link").readlink() == Path("nowhere") and (out / "folder").is_symlink()


def the_set_without_links(out):
    for name in ("link", "folder"):
        assert (out / name).is_symlink()
    return int((out / "L1.stl").read_text())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a small disk")
def test_a_full_disk_is_one_sentence_that_names_the_folder(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k none {disk} 2>/dev/null"):
        pytest.skip("mounting is not allowed here")
    try:
        for out in (disk, disk / "out"):
            publish(out, 1)
            with pytest.raises(InputError, match=f"^{out}: the disk is full"), staged_output(out, OWNED) as staging:
                (staging / "L1.stl").write_bytes(bytes(200_000))
            assert (out / "L1.stl").read_text() == "1" and hidden(disk) == []
        with pytest.raises(InputError, match=r"a\.bin: the disk is full"), atomic_path(disk / "a.bin") as temporary:
            temporary.write_bytes(bytes(200_000))
    finally:
        os.system(f"umount {disk}")
