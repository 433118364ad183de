"""Compiled code of an older version never runs inside a newer one, and no writable folder is no error."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from PIL import Image

import lumbar_ext
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.cli.bundle_verbs import warm_up
from lumbar_ext.compiled import digest_of_kernels, kept_in, seconds_compiling
from lumbar_ext.registration.search.record import Record
from lumbar_ext.report.reconstruction_picture import draw_picture

CALLED = "from lumbar_ext.compiled import compiled\n\n\n@compiled()\ndef weighed(x):\n    return {factor} * x\n"
CALLER = (
    "from lumbar_ext.called import weighed\nfrom lumbar_ext.compiled import compiled\n\n\n"
    "@compiled()\ndef of_two(x, y):\n    return weighed(x) + weighed(y)\n"
)
ASK = "from lumbar_ext.caller import of_two; print(of_two(1.0, 2.0), sum(of_two.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path):
    """A package of the same name with one kernel that calls another in a second file."""
    folder = tmp_path / "lumbar_ext"
    folder.mkdir()
    shutil.copy(Path(lumbar_ext.__file__).with_name("compiled.py"), folder)
    (folder / "__init__.py").touch()
    (folder / "called.py").write_text(CALLED.format(factor=2.0))
    (folder / "caller.py").write_text(CALLER)
    return folder


def asked(package, **environment):
    """The caller's result for 1 and 2 in a new process, and how much of it was compiled before."""
    settings = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    settings = {key: value for key, value in settings.items() if key != "NUMBA_CACHE_DIR" or key in environment}
    run = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, env=settings, cwd=package.parent)
    assert run.returncode == 0, run.stderr
    result, hits = run.stdout.split()
    return float(result), int(hits)


def test_a_change_in_a_called_kernel_of_another_file_is_noticed(package):
    assert asked(package) == (6.0, 0)
    assert asked(package) == (6.0, 1)
    (package / "called.py").write_text(CALLED.format(factor=5.0))
    assert asked(package) == (15.0, 0)
    kept = list((package / "__pycache__").glob("lumbar_ext-kernels-*"))
    assert [folder.name.rpartition("-")[2] for folder in kept] == [digest_of_kernels(package)]


def test_where_nothing_can_be_written_every_process_compiles(package):
    (package / "__pycache__").touch()  # a file in the folder's place: nobody can write there, not even root
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    assert asked(package, **nowhere) == asked(package, **nowhere) == (6.0, 0)


def test_the_users_cache_folder_stands_in_for_the_packages(package, tmp_path):
    (package / "__pycache__").touch()
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert (asked(package, **home), asked(package, **home)) == ((6.0, 0), (6.0, 1))
    assert asked(package, **home, NUMBA_CACHE_DIR=str(tmp_path / "named")) == (6.0, 0)
    assert list((tmp_path / "named").iterdir()) and not (tmp_path / "home").exists()


def test_the_digest_is_that_of_files_with_kernels(package):
    before = digest_of_kernels(package)
    (package / "plain.py").write_text("FACTOR = 3\n")
    assert digest_of_kernels(package) == before
    (package / "inner").mkdir()
    (package / "inner" / "kernel.py").write_text("import numba\n")
    assert digest_of_kernels(package) != before


def test_compiling_does_not_use_up_the_time_of_a_search():
    record, begin, before = Record(None, 60.0), time.process_time(), seconds_compiling()

    @numba.njit(fastmath=True)  # never from a cache
    def summed(values):
        total = 0.0
        for value in values:
            total += value
        return total

    summed(np.ones(3))
    took = seconds_compiling() - before
    assert took > 0 and record.seconds <= time.process_time() - begin - took + 0.01
    summed(np.ones(4))
    assert seconds_compiling() - before == took


@pytest.fixture
def read_only(tmp_path):
    """A function that runs a command of a copy of the package to which nobody, not even root, can write, without a home."""
    package = tmp_path / "lumbar_ext"
    left_out = shutil.ignore_patterns("__pycache__", "bundles")
    shutil.copytree(Path(lumbar_ext.__file__).parent, package, ignore=left_out)
    (package / "__pycache__").touch()
    settings = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    settings |= {"HOME": "/dev/null", "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*words, **environment):
        command = [sys.executable, "-c", "from lumbar_ext.cli.command import main; main()", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=settings | environment, cwd=tmp_path)

    return run


def test_a_command_of_a_read_only_package_gives_the_same_without_a_home(read_only, tmp_path):
    """`picture` compiles the two kernels that shade meshes, the smallest that a command needs."""
    sample, folder = bundle_dir(RECONSTRUCTION) / "sample", tmp_path / "results"
    shutil.copytree(sample / "truth", folder)
    for view in ("ap", "lat"):
        shutil.copy(sample / f"{view}.png", folder / f"overlay_{view}.png")
    done = read_only("picture", folder, tmp_path / "found.png")
    assert done.returncode == 0, done.stderr
    draw_picture(str(folder), str(tmp_path / "expected.png"))
    found, expected = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("found", "expected"))
    np.testing.assert_array_equal(found, expected)
    assert not list(tmp_path.rglob("*.nbi")), "nothing can be kept"


def test_warming_up_says_where_nothing_can_be_kept(read_only, tmp_path):
    done = read_only("warm-up")
    assert done.returncode == 2 and done.stdout == ""
    *_, line = done.stderr.strip().splitlines()  # libraries that look for a home may speak before
    assert (
        line.startswith("error: compiled code cannot be kept") and "expected NUMBA_CACHE_DIR to name a folder" in line
    )


def test_warming_up_says_where_code_is_kept(monkeypatch, capsys):
    """The run itself, which the walk of the documents does, is left out."""
    ran = []
    monkeypatch.setattr("lumbar_ext.cli.bundle_verbs.run_bundle", lambda *args, **options: ran.append(args))
    warm_up()
    assert len(ran) == 1 and capsys.readouterr().out.strip().endswith(f"kept in {kept_in()}")
