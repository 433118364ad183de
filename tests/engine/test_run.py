"""Faults in real processes: every item ends once, in the right way, and costs no other."""

import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lumbar_ext.engine.run import run_items
from lumbar_ext.engine.task import How, ItemLimits
from lumbar_ext.errors import InputError
from tests.engine.faulty import Faulty, Unprepared

LIMITS = ItemLimits(seconds=60, retries=1, threads=1)


def run(folder, items, limits=LIMITS, workers=2):
    """By item, how it ended; each ends exactly once."""
    ends = list(run_items(Faulty(str(folder)), items, limits, workers=workers))
    assert sorted(index for index, _ in ends) == list(range(len(items)))
    return {items[index]: ended for index, ended in ends}


def attempts(folder):
    return Counter(Path(folder, "attempts.txt").read_text().splitlines())


def prepared(folder):
    return len(list(Path(folder).glob("prepared-*")))


def children():
    return [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]


def test_values_come_back_from_processes_that_live_on(tmp_path):
    items = [f"good-{i}" for i in range(40)]
    ends = run(tmp_path, items)
    assert [ended for ended in ends.values() if ended.how is not How.DONE] == []
    assert [ends[item].value for item in items] == [item.upper() for item in items]
    assert 1 <= prepared(tmp_path) <= 2 and attempts(tmp_path) == Counter(items)
    assert not children()


def test_a_port_that_another_cluster_has_is_left_to_it(tmp_path, recwarn):
    with socket.socket() as other:
        with suppress(OSError):  # somebody has it already
            other.bind(("127.0.0.1", 8787))
            other.listen()
        assert run(tmp_path, ["good"])["good"].how is How.DONE
    assert not [str(warning.message) for warning in recwarn if "port" in str(warning.message).lower()]


def test_each_fault_costs_its_own_item_alone(tmp_path):
    good = [f"good-{i}" for i in range(20)]
    items = [*good[:10], "die", "raise", "exit", "refuse", "once", *good[10:]]
    ends = run(tmp_path, items)
    assert all(ends[item].how is How.DONE for item in (*good, "once"))
    assert [ends[word].how for word in ("die", "raise", "exit")] == [How.CRASHED] * 3
    assert "SIGKILL" in ends["die"].message and "last words" in ends["die"].log
    assert "status 7" in ends["exit"].message
    assert (
        ends["raise"].message == "RuntimeError: of the program"
        and "in _work" in ends["raise"].log
        and "\0" not in ends["raise"].log
    )
    assert ends["refuse"].how is How.BAD_INPUT and ends["refuse"].message == "a.png: empty, expected a radiograph"
    # A crash is tried again, once; a refusal is not.
    assert attempts(tmp_path) == Counter({**dict.fromkeys(items, 1), "die": 2, "raise": 2, "exit": 2, "once": 2})
    assert ends["once"].attempts == 2 and ends["die"].attempts == 2


def test_an_item_that_hangs_is_ended(tmp_path):
    ends = run(tmp_path, ["hang", "good"], ItemLimits(seconds=1, threads=1, retries=3))
    assert ends["hang"].how is How.TIMED_OUT and "1 s" in ends["hang"].message
    assert ends["good"].how is How.DONE and attempts(tmp_path)["hang"] == 1


def test_an_item_that_eats_memory_is_ended(tmp_path):
    ends = run(tmp_path, ["eat", "good"], ItemLimits(memory_gib=0.2, threads=1, retries=0))
    assert ends["eat"].how is How.CRASHED and "0.2 GiB allowed" in ends["eat"].message
    assert ends["good"].how is How.DONE


def test_a_full_disk_ends_the_run_with_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"/full/out: the disk is full"):
        run(tmp_path, ["full", *(f"slow-{i}" for i in range(20))])
    assert not children()


@pytest.mark.parametrize("error", [InputError("model.pt: no such file"), RuntimeError("a bug")])
def test_a_task_that_cannot_be_prepared_ends_the_run(error):
    with pytest.raises(type(error), match=str(error)):
        list(run_items(Unprepared(error), ["a", "b"], LIMITS, workers=1))


def test_processes_killed_at_random_moments_lose_nothing(tmp_path):
    items = [f"slow-{i}" for i in range(12)]
    over, killed, rng = threading.Event(), set(), random.Random(0)

    def kill_five():
        while len(killed) < 5 and not over.wait(rng.uniform(0.0, 0.4)):
            begun = {int(path.name.partition("-")[2]) for path in tmp_path.glob("prepared-*")} - killed
            for process in begun:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                killed.add(process)

    killer = threading.Thread(target=kill_five)
    killer.start()
    try:
        ends = run(tmp_path, items, ItemLimits(threads=1, retries=6))
    finally:
        over.set()
        killer.join()
    assert [ended for ended in ends.values() if ended.how is not How.DONE] == []
    assert len(killed) >= 5 and sum(attempts(tmp_path).values()) > len(items), "nothing was killed at work"


def test_whoever_stops_looking_leaves_no_process(tmp_path):
    ends = run_items(Faulty(str(tmp_path)), ["good", "hang", "hang"], ItemLimits(threads=1), workers=2)
    assert next(ends)[1].value == "GOOD"
    ends.close()
    deadline = time.monotonic() + 10
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children()
