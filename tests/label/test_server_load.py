"""Many clients at once, and a server that is killed while labels are saved."""

import json
import os
import signal
import threading
import time

import pytest
import requests

from benchmarks.label_load import load, serving
from tests.label.conftest import write_studies

CLIENTS = 8


def test_all_clients_are_answered_and_nothing_is_left(server):
    """The short form of `make load`."""
    found = load(server.url, server.process.pid, clients=CLIENTS, seconds=0)
    assert found.failures == []
    assert found.answered == dict.fromkeys(("landmarks", "state", "label", "refused"), CLIENTS)
    assert found.files_left == 0
    before, most, after = found.memory_mib
    assert most < before + 700 and after < before + 500
    assert found.longest_queue <= CLIENTS


def test_the_queue_is_told(server):
    def queue():
        return requests.get(f"{server.url}/info/", timeout=60).json()["queue"]

    asked = [threading.Thread(target=server.client.infer, args=("landmarks", "case1_ap", {})) for _ in range(4)]
    assert queue() == 0
    for thread in asked:
        thread.start()
    told = 0
    while any(thread.is_alive() for thread in asked):
        told = max(told, queue())
    assert told >= 3
    # The answer leaves before the request is counted as ended.
    for _ in range(300):
        if queue() == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"{queue()} requests wait, though all were answered")


@pytest.fixture
def own_label(server):
    """A good label of case1_ap."""
    asked = {"image": "case1_ap", "output": "image"}
    answer = requests.post(f"{server.url}/infer/landmarks", params=asked, data={"params": "{}"}, timeout=600)
    return answer.content


def test_a_killed_server_has_every_label_that_it_took(own_label, tmp_path):
    studies = tmp_path / "studies"
    write_studies(studies)
    taken = []

    def save(url, number):
        """Saves labels of ever new tags until nobody answers."""
        for count in range(10_000):
            tag = f"t{number}-{count}"
            files = {"label": ("a.mrk.json", own_label)}
            where = {"image": "case1_ap", "tag": tag}
            try:
                answer = requests.put(f"{url}/datastore/label", params=where, files=files, timeout=60)
            except requests.RequestException:
                return
            assert answer.status_code == 200, answer.text
            taken.append(tag)

    with serving(studies, tmp_path / "log.txt") as (url, process):
        clients = [threading.Thread(target=save, args=(url, number)) for number in range(3)]
        for client in clients:
            client.start()
        while len(taken) < 20 and any(client.is_alive() for client in clients):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        for client in clients:
            client.join()
    assert len(taken) >= 20
    with serving(studies, tmp_path / "log.txt") as (url, _):
        for tag in taken:
            where = {"label": "case1_ap", "tag": tag}
            assert requests.get(f"{url}/datastore/label", params=where, timeout=60).content == own_label
        known = requests.get(f"{url}/datastore/?output=all", timeout=60).json()["objects"]["case1_ap"]["labels"]
        assert set(taken) <= set(known)
    assert json.loads((studies / "datastore_v2.json").read_text())
    assert not [path for path in studies.rglob("*") if ".tmp" in path.name]
