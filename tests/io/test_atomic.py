"""Output is complete or absent, whatever interrupts it."""

import os

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io import atomic
from lumbar_ext.io.atomic import atomic_path, refuse_to_replace, refuse_unwritable, staged_output, write_text


def tree(folder):
    """Relative paths and contents of all files, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def folders(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_dir()}


def test_atomic_path_replaces_on_success_and_keeps_suffixes(tmp_path):
    write_text(tmp_path / "a.nii.gz", "old")
    with atomic_path(tmp_path / "a.nii.gz") as temporary:
        assert temporary.parent == tmp_path and temporary.name.endswith(".nii.gz")
        temporary.write_text("new")
        assert (tmp_path / "a.nii.gz").read_text() == "old"
    assert tree(tmp_path) == {"a.nii.gz": "new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_path_leaves_nothing_on_failure(tmp_path, error):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(error), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert tree(tmp_path) == {"a.txt": "old"}


def test_atomic_path_names_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        write_text(tmp_path / "no" / "a.txt", "x")


def test_staged_files_move_in_and_replace_older_ones(tmp_path):
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    (out / "a.txt").write_text("old")
    (out / "kept.txt").write_text("kept")
    with staged_output(out) as staging:
        (staging / "a.txt").write_text("new")
        (staging / "sub" / "sub").mkdir(parents=True)
        (staging / "sub" / "sub" / "b.txt").write_text("b")
        assert (out / "a.txt").read_text() == "old"
    assert tree(tmp_path) == {
        "deep/out/a.txt": "new",
        "deep/out/kept.txt": "kept",
        "deep/out/sub/sub/b.txt": "b",
    }
    assert folders(tmp_path) == {"deep", "deep/out", "deep/out/sub", "deep/out/sub/sub"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_older_output_as_it_was_and_makes_no_folder(tmp_path, error):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.txt").write_text("old")
    for out in (tmp_path / "old", tmp_path / "new" / "deep"):
        with pytest.raises(error), staged_output(out) as staging:
            (staging / "a.txt").write_text("half")
            raise error
    assert tree(tmp_path) == {"old/a.txt": "old"}
    assert folders(tmp_path) == {"old"}


@pytest.mark.parametrize("interrupted_at", range(1, 6))
def test_an_interruption_while_files_move_is_rolled_back(tmp_path, monkeypatch, interrupted_at):
    out, calls = tmp_path / "out", []
    out.mkdir()
    (out / "a.txt").write_text("old a")
    (out / "b.txt").write_text("old b")
    # A working folder keeps its identity, so its files are moved one by one.
    monkeypatch.chdir(out)
    replace = os.replace

    def interrupted(source, target):
        calls.append(target)
        if len(calls) == interrupted_at:
            raise KeyboardInterrupt
        replace(source, target)

    with pytest.raises(KeyboardInterrupt), staged_output(out) as staging:
        for name in ("a.txt", "b.txt", "c.txt"):
            (staging / name).write_text("new")
        monkeypatch.setattr(atomic.os, "replace", interrupted)
    assert tree(tmp_path) == {"out/a.txt": "old a", "out/b.txt": "old b"}
    assert folders(tmp_path) == {"out"}


def test_unusable_output_folders_are_reported_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below", "/proc/lumbar_ext"):
        with pytest.raises(InputError, match="not usable as output folder"), staged_output(out):
            pytest.fail("the block must not run")

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(atomic.tempfile, "mkdtemp", refuse)
    with pytest.raises(InputError, match="Permission denied"), staged_output(tmp_path / "new"):
        pytest.fail("the block must not run")
    assert not (tmp_path / "new").exists()


def test_new_files_get_the_usual_permissions(tmp_path):
    with staged_output(tmp_path / "out") as staging:
        write_text(staging / "a.txt", "x")
        (staging / "sub").mkdir()
        (staging / "sub" / "b.txt").write_text("x")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "p.txt").write_text("x")
    assert (tmp_path / "out/a.txt").stat().st_mode == (tmp_path / "plain/p.txt").stat().st_mode
    assert (tmp_path / "out/sub").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_no_result_takes_the_place_of_a_file_that_it_is_made_of(tmp_path):
    out = tmp_path / "out"
    (out / "truth").mkdir(parents=True)
    (tmp_path / "film.png").write_text("read")
    (out / "by_link.png").symlink_to(tmp_path / "film.png")
    (tmp_path / "elsewhere").symlink_to(out)
    owned = ("ap.png", "by_link.png", "truth/*")
    # beside the results, under names that none of them has, or not there at all
    refuse_to_replace([tmp_path / "film.png", out / "lat.png", tmp_path / "out2" / "ap.png"], out, owned)
    for path in (out / "ap.png", out / "truth" / "L1.stl", out / "by_link.png", tmp_path / "elsewhere" / "ap.png"):
        with pytest.raises(InputError, match=f"{path}: is read here"):
            refuse_to_replace([path], out, owned)
    with pytest.raises(InputError, match="is read here"):
        refuse_to_replace([out / "ap.png"], tmp_path / "elsewhere", owned)


def test_a_check_of_an_output_folder_leaves_nothing(tmp_path):
    """Not even where two checks meet, each of which found no folder."""
    refuse_unwritable(tmp_path / "new" / "one")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in ("file", "file/below", 300 * "x"):
        with pytest.raises(InputError, match="not usable as output folder"):
            refuse_unwritable(tmp_path / place)
    (tmp_path / "old" / "L1.stl").mkdir(parents=True)
    with pytest.raises(InputError, match="is a folder where a file of the results goes"):
        refuse_unwritable(tmp_path / "old", ("L1.stl",))
    assert tree(tmp_path) == {"file": ""} and folders(tmp_path) == {"old", "old/L1.stl"}
