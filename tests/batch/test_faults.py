"""Whatever happens, every study appears once, whole, with the right outcome, and nothing else is lost."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pyarrow.parquet
import pytest

from lumbar_ext.batch import cohort_verbs
from lumbar_ext.batch.cohort_verbs import write_cohort_report
from lumbar_ext.batch.manifest import read_manifest
from lumbar_ext.batch.study_outcome import What
from lumbar_ext.batch.study_runs import Place
from lumbar_ext.errors import InputError

ROOT = Path(__file__).parents[2]
_RUN = "from tests.batch.fake import run_in_this_process; import sys; run_in_this_process(*sys.argv[1:])"


def test_each_study_ends_in_its_way_and_the_next_run_does_what_is_left(fake_cohort, capsys):
    words = {f"good{i}": "ok" for i in range(8)}
    words |= {"flagged": "flag", "broken": "damaged", "gone": None, "killed": "kill", "hangs": "hang"}
    fake_cohort.write(words)
    with fake_cohort.manifest.open("a") as manifest:
        manifest.write("twice,good0.ap,good0.lat,good0.lat,\ntwice,good1.ap,good1.lat,good1.lat,\n")
    expected = {name: "ok" for name in words if name.startswith("good")}
    expected |= {"flagged": "flagged", "broken": "bad input", "gone": "bad input", "twice": "bad input"}
    expected |= {"killed": "crashed", "hangs": "timed out"}
    assert fake_cohort.run(seconds=3) == expected
    # A crash is tried twice, all others once; the row that contradicts itself not at all.
    once = dict.fromkeys(words, 1)
    assert fake_cohort.attempts() == {**once, "killed": 2}
    _check_report(fake_cohort, expected)

    # Nothing to do; then what changed, then what failed.
    assert fake_cohort.run(seconds=3) == expected and fake_cohort.attempts() == {**once, "killed": 2}
    (fake_cohort.root / "good3.ap").write_text("flag")
    (fake_cohort.root / "gone.ap").write_text("ok")
    expected |= {"good3": "flagged", "gone": "ok"}
    assert fake_cohort.run(seconds=3) == expected
    assert fake_cohort.attempts() == {**once, "killed": 2, "good3": 2, "gone": 2}
    for name in ("killed", "hangs"):
        (fake_cohort.root / f"{name}.ap").write_text("ok")
    expected |= {"killed": "ok", "hangs": "ok"}
    assert fake_cohort.run([What.CRASHED, What.TIMED_OUT]) == expected

    fake_cohort.folder.write_run({"options": {}, "limits": {}, "started": cohort_verbs._now()})
    cohort_verbs.write_manifest(fake_cohort.folder.manifest, read_manifest(fake_cohort.manifest))
    cohort_verbs.cohort_status(str(fake_cohort.folder.path))
    said = capsys.readouterr().out
    assert "14 studies: 10 ok, 2 flagged, 2 bad input" in said and "no run" in said


def test_studies_that_lie_where_results_go_are_refused_not_replaced(tmp_path):
    """Somebody's own folder is called `studies`, too, and the results are to go beside it."""
    own = tmp_path / "studies" / "p1"
    own.mkdir(parents=True)
    for name in ("ap.dcm", "lat.dcm", "calibration.json"):
        (own / name).write_text("the only copy")
    with pytest.raises(InputError, match=r"studies/p1/ap\.dcm: is read here"):
        cohort_verbs.cohort(str(tmp_path), str(tmp_path))
    assert {path.read_text() for path in own.iterdir()} == {"the only copy"} and list(tmp_path.iterdir()) == [
        own.parent
    ]


def _check_report(fake_cohort, expected):
    folder = fake_cohort.folder
    write_cohort_report(folder, read_manifest(fake_cohort.manifest))
    rows = list(csv.DictReader(folder.table("studies", "csv").open()))
    assert {row["study"]: row["outcome"] for row in rows} == expected and len(rows) == len(expected)
    assert {row["study"]: row["site"] for row in rows}["good1"] == "north"
    values = pyarrow.parquet.read_table(folder.table("measurements", "parquet")).to_pylist()
    done = [name for name, what in expected.items() if what in ("ok", "flagged")]
    assert {row["study"]: row["value"] for row in values} == {name: 40 + len(name) for name in done}
    assert len(list(csv.DictReader(folder.table("measurements", "csv").open()))) == len(values) == len(done)
    page = folder.page.read_text()
    studies = page[page.index("<h2>Studies</h2>") :]
    places = [studies.index(f">{name}<") for name in ("killed", "hangs", "broken", "flagged", "good0")]
    assert places == sorted(places) and 'href="studies/good0/report.html"' in studies
    assert "n 9, mean" in page and "look at it" in page


def test_a_full_disk_ends_the_run_and_the_same_command_does_the_rest(fake_cohort):
    words = {f"good{i}": "ok" for i in range(6)}
    fake_cohort.write({"big": "full", **words})
    with pytest.raises(InputError, match="disk is full"):
        fake_cohort.run()
    assert "big" not in fake_cohort.outcomes()
    (fake_cohort.root / "big.ap").write_text("ok")
    assert fake_cohort.run() == dict.fromkeys(["big", *words], "ok")


def test_a_run_that_is_killed_leaves_no_process_and_no_lock_and_the_next_one_goes_on(fake_cohort):
    words = {f"slow{i}": "slow" for i in range(10)}
    fake_cohort.write(words)
    fake_cohort.folder.studies.mkdir(parents=True)
    run = subprocess.Popen([sys.executable, "-c", _RUN, fake_cohort.folder.path, fake_cohort.manifest], cwd=ROOT)
    try:
        _wait_for(lambda: len([p for p in fake_cohort.folder.studies.iterdir() if p.name in words]) >= 2)
        assert fake_cohort.folder.is_worked_in
        with pytest.raises(InputError, match=f"process {run.pid} on"), fake_cohort.folder.alone():
            pass
        children = psutil.Process(run.pid).children(recursive=True)
    finally:
        run.kill()
        run.wait()
    assert children
    _wait_for(lambda: not any(child.is_running() for child in children))
    assert not fake_cohort.folder.is_worked_in
    assert fake_cohort.run() == dict.fromkeys(words, "ok")
    # At most the two that were being worked on were begun again.
    assert sum(fake_cohort.attempts().values()) <= len(words) + 2


def test_a_cluster_that_loses_a_worker_and_then_its_scheduler(fake_cohort, tmp_path):
    words = {f"slow{i}": "slow" for i in range(12)}
    fake_cohort.write(words)
    address, started = tmp_path / "address.json", []

    def start(kind, *options):
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{kind}",
            "--scheduler-file",
            address,
            "--no-dashboard",
            *options,
        ]
        quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, **quiet, start_new_session=True))
        return started[-1]

    try:
        scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0")
        workers = [start("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
        _wait_for(address.is_file)
        place = Place(scheduler=str(address))

        def end(process, at_least):
            _wait_for(lambda: len(list(fake_cohort.folder.studies.glob("slow*"))) >= at_least)
            os.killpg(process.pid, signal.SIGKILL)

        threading.Thread(target=end, args=(workers[0], 2)).start()
        threading.Thread(target=end, args=(scheduler, 6)).start()
        with pytest.raises(InputError, match="lost in the middle"):
            fake_cohort.run(place=place)
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert 6 <= len(fake_cohort.outcomes(just_killed=True)) < 12
    assert fake_cohort.run() == dict.fromkeys(words, "ok")


def _wait_for(condition):
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, "waited for ten minutes"
        time.sleep(0.05)
