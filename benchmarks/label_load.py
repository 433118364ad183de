"""Many clients at once on a MONAI Label server of this machine: what is answered, when, and what it costs.

    .venv-label/bin/python -m benchmarks.label_load --clients 50 --seconds 600

Starts a server on a folder of its own with the bundle's sample. Each client asks for landmarks in turn with the state of the
server, saves labels, and sends files that are to be refused. Needs the environment of `make install-label`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fire
import numpy as np
import psutil
import requests

from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir

SAMPLE = bundle_dir(RECONSTRUCTION) / "sample"
_START_SECONDS = 900
_ANSWER_SECONDS = 3600
_IMAGES = ("case1_ap", "case1_lat")


def write_sample_case(folder: Path) -> None:
    """A studies folder with the sample study as `case1`."""
    folder.mkdir()
    for view in ("ap", "lat"):
        shutil.copy(SAMPLE / f"{view}.png", folder / f"case1_{view}.png")
    shutil.copy(SAMPLE / "calibration.json", folder / "case1_calibration.json")


@contextmanager
def serving(studies: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """A server on a free port, ended with the block.

    Args:
        studies: its folder.
        log: file of its output; its temporary files lie in a folder beside it.

    Returns:
        Its address and its process.

    Raises:
        RuntimeError: with the log, if it does not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lumbar_ext.label", "--studies", str(studies), "--port", str(port)]
    temporary = log.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "TMPDIR": str(temporary)}
    with log.open("a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, log)
        yield url, process
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(_START_SECONDS):
        if process.poll() is not None:
            break
        try:
            requests.get(f"{url}/info/", timeout=60)
            return
        except requests.ConnectionError:
            time.sleep(1)
    raise RuntimeError(log.read_text()[-5000:])


@dataclass
class Load:
    """What a server did under load.

    Args:
        answered: how many requests of each kind were answered as they should.
        failures: what was answered otherwise, or not at all.
        seconds: how long each answer with landmarks took.
        memory_mib: of the server, at the beginning, at most, and at the end.
        longest_queue: as the server told it.
        files_left: files in the server's temporary folder at the end, beyond those at the beginning.
    """

    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory_mib: tuple[float, float, float] = (0.0, 0.0, 0.0)
    longest_queue: int = 0
    files_left: int = 0


def load(url: str, process_id: int, clients: int, seconds: float) -> Load:
    """Lets clients ask at once, and waits until all are answered.

    Args:
        url: of the server.
        process_id: its process on this machine.
        clients: how many.
        seconds: how long they go on asking.
    """
    server, found = psutil.Process(process_id), Load()
    label = _landmarks(url, _IMAGES[0]).content
    before, files = _mib(server), temporary_files(server)
    end, peak = time.monotonic() + seconds, before
    threads = [threading.Thread(target=_client, args=(url, label, number, end, found)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, _mib(server))
        time.sleep(0.5)
    found.memory_mib = before, peak, _mib(server)
    found.files_left = len(temporary_files(server) - files)
    return found


def temporary_files(server: psutil.Process) -> set[Path]:
    """What lies in a server's own temporary folder."""
    place = Path(server.environ().get("TMPDIR", tempfile.gettempdir()))
    return {path for own in place.glob("lumbar_ext-label-*") for path in own.rglob("*") if path.is_file()}


def _mib(server: psutil.Process) -> float:
    """Resident memory of a process and its children."""
    return sum(own.memory_info().rss for own in (server, *server.children(recursive=True))) / 2**20


def _landmarks(url: str, image: str) -> requests.Response:
    asked = {"image": image, "output": "image"}
    return requests.post(f"{url}/infer/landmarks", params=asked, data={"params": "{}"}, timeout=_ANSWER_SECONDS)


def _client(url: str, label: bytes, number: int, end: float, found: Load) -> None:
    """Asks in turn, each kind once at least, until it is time to end."""

    def save() -> requests.Response:
        asked = {"image": _IMAGES[0], "tag": f"client{number}"}
        files = {"label": ("a.mrk.json", label)}
        return requests.put(f"{url}/datastore/label", params=asked, files=files, timeout=_ANSWER_SECONDS)

    def send_what_is_no_image() -> requests.Response:
        files = {"file": ("a.exe", bytes(100_000))}
        return requests.put(f"{url}/datastore/image", params={"image": "x"}, files=files, timeout=_ANSWER_SECONDS)

    kinds: dict[str, tuple[int, Callable[[], requests.Response]]] = {
        "landmarks": (200, lambda: _landmarks(url, _IMAGES[number % len(_IMAGES)])),
        "state": (200, lambda: requests.get(f"{url}/info/", timeout=_ANSWER_SECONDS)),
        "label": (200, save),
        "refused": (400, send_what_is_no_image),
    }
    while True:
        for kind, (status, ask) in kinds.items():
            began = time.monotonic()
            try:
                answer = ask()
            except requests.RequestException as error:
                found.failures.append(f"{kind}: {error}")
                continue
            if answer.status_code != status:
                found.failures.append(f"{kind}: status {answer.status_code}: {answer.text[:200]}")
                continue
            found.answered[kind] += 1
            if kind == "landmarks":
                found.seconds.append(time.monotonic() - began)
            if kind == "state":
                found.longest_queue = max(found.longest_queue, answer.json()["queue"])
        if time.monotonic() > end:
            return


def main(clients: int = 50, seconds: float = 600) -> None:
    """Prints what a server did with so many clients for so long.

    Args:
        clients: at once.
        seconds: they go on asking.
    """
    with tempfile.TemporaryDirectory() as root:
        write_sample_case(Path(root, "studies"))
        with serving(Path(root, "studies"), Path(root, "log.txt")) as (url, process):
            found = load(url, process.pid, clients, seconds)
    slow = np.percentile(found.seconds, [50, 95, 100]).round(1).tolist() if found.seconds else []
    print(json.dumps({"answered": found.answered, "not answered as they should": found.failures[:10]}, indent=1))
    print(f"landmarks, seconds to the answer, median, 95 % and longest: {slow}")
    print(f"memory of the server, MiB, before, most, after: {[round(value) for value in found.memory_mib]}")
    print(f"longest queue: {found.longest_queue}, temporary files left: {found.files_left}")
    sys.exit(bool(found.failures))


if __name__ == "__main__":
    fire.Fire(main)
