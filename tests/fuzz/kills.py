"""Kills real commands at random moments and looks at what they leave.

    python -m tests.fuzz.kills --kills 20 --seed 0

Each command runs in a child process of its own, which is forked from one that has loaded everything, over an older set of
results. Half of the kills come at any moment of the run, the others while results are published. The law: afterwards the older
set is there, or the new one, whole; what is there can be read; files of others are untouched; and the next run, in the folder
that the last kill left, ends well and leaves nothing hidden.

One more run of each command is not killed: before every change that it makes to the disk, what lies there, which is what a kill
at this moment would leave, is held to the same law. So no moment is missed.
Prints each violation with what repeats it, and exits with 1 if there is any.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.cli.command import main as lumbar_ext
from lumbar_ext.io import atomic
from lumbar_ext.mesh.files import load_surface, write_stl
from tests.radiographs.dicom_study import write_sample_study

OLD, STRANGER = "old", "notes.txt"
QUICK = ("--max_seconds", "0.01", "--looks", "0")
Words = Callable[[Path], list[str]]


@dataclass(frozen=True)
class Command:
    """A command that writes results.

    Args:
        name: for messages.
        words: its command line, given the working folder, in which `study` and `results` lie.
        out: what it writes, a file or a folder of the working folder.
        grows: whether `out` is a folder of sets, each complete or absent, in place of one set that is replaced.
    """

    name: str
    words: Words
    out: str = "out"
    grows: bool = False


def _reconstruct(folder: Path, out: str) -> list[str]:
    study = folder / "study"
    images = [str(study / name) for name in ("IM0001", "IM0002", "calibration.json")]
    return ["reconstruct", *images, str(folder / out), *QUICK]


def _simulate(folder: Path) -> list[str]:
    return ["simulate", "--output_dir", str(folder / "out"), "--n", "2", "--size_px", "128", "--parameters", "plain"]


def _train(folder: Path) -> list[str]:
    words = [
        "train",
        "--iterations",
        "6",
        "--warmup_iterations",
        "1",
        "--decay_iterations",
        "1",
        "--validate_every",
        "3",
    ]
    words += ["--network_def#preset", "tiny", "--network_def#decoder_channels", "8", "--size_px", "[128,96]"]
    words += [
        "--batch_size",
        "2",
        "--tensorboard",
        "false",
        "--mlflow",
        "false",
        "--train_dirs",
        f"['{folder / 'cohort'}']",
    ]
    return [*words, "--validation_dirs", f"['{folder / 'cohort'}']", "--output_dir", str(folder / "out")]


def _build_shape_model(folder: Path) -> list[str]:
    words = ["build-shape-model", str(folder / "meshes"), str(folder / "out"), "--work_dir", str(folder / "work")]
    return [*words, "--n_vertices", "1000", "--n_modes", "2", "--n_subjects", "4", "--quality", "false"]


COMMANDS = (
    Command("reconstruct", lambda folder: _reconstruct(folder, "out")),
    Command(
        "dicom",
        lambda folder: ["dicom", str(folder / "results"), *_reconstruct(folder, "out")[1:3], str(folder / "out")],
    ),
    Command("simulate", _simulate, grows=True),
    Command(
        "motion",
        lambda folder: ["motion", str(folder / "results"), str(folder / "results"), "--output", f"{folder}/out.json"],
        out="out.json",
    ),
    Command(
        "evaluate",
        lambda folder: ["evaluate", str(folder / "cohort"), str(folder / "out"), "--max_seconds", "0.01"],
    ),
    Command("train", _train, grows=True),
    Command("build-shape-model", _build_shape_model),
)


def run(words: list[str]) -> None:
    """Runs a command in this process, silently."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        lumbar_ext(words)


def start(words: list[str], before: Callable[[], None] = lambda: None) -> int:
    """Starts a command in a child process, which calls `before` first."""
    child = os.fork()
    if child:
        return child
    try:
        before()
        run(words)
        os._exit(0)
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    except BaseException:
        traceback.print_exc()
        os._exit(99)


def _tell_of_publication(descriptor: int) -> None:
    """Has this process write a byte to `descriptor` whenever results are about to be published."""
    publish, replace = atomic._publish, os.replace

    def tell(action: Callable) -> Callable:
        def told(*args, **kwargs):
            os.write(descriptor, b".")
            return action(*args, **kwargs)

        return told

    atomic._publish, os.replace = tell(publish), tell(replace)


def files(place: Path) -> dict[str, bytes]:
    """Content by relative path of everything that a user sees there; a file is its own."""
    if place.is_file():
        return {"": place.read_bytes()}
    found = (path for path in place.rglob("*") if path.is_file() and path.name != STRANGER)
    return {str(path.relative_to(place)): path.read_bytes() for path in found}


def hidden(folder: Path) -> list[str]:
    """What is hidden in a folder and below it."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


def broken(command: Command, place: Path, whole: dict[str, bytes]) -> str | None:
    """What is wrong with what a kill left; None for the older set or the new one."""
    seen = {name: content for name, content in files(place).items() if not name.startswith(".") and "/." not in name}
    if command.grows:
        begun = {name.split("/")[0] for name in seen if "/" in name}
        wanted = {name for name in whole if name.split("/")[0] in begun}
        return None if wanted <= set(seen) else f"lacks {sorted(wanted - set(seen))[:5]}"
    old = {name for name, content in seen.items() if content == OLD.encode()}
    if not (place.parent / "out" / STRANGER).is_file() and place.name == "out":
        return f"{STRANGER} is gone"
    return None if old in (set(), set(seen)) and set(seen) == set(whole) else f"{len(old)} of {len(seen)} are old"


def unreadable(place: Path) -> str | None:
    """What of the weights and documents there cannot be read."""
    for path in [place] if place.is_file() else sorted(place.rglob("[!.]*")):
        try:
            if path.is_file() and path.read_bytes() != OLD.encode():
                _READERS.get(path.suffix, lambda path: None)(path)
        except Exception as error:
            return f"{path.name} cannot be read: {error}"
    return None


_READERS: dict[str, Callable] = {
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".json": lambda path: json.loads(path.read_text()),
    ".npz": lambda path: dict(np.load(path)),
}


def plant(command: Command, place: Path, whole: dict[str, bytes]) -> None:
    """An older set of results, and a file of somebody else."""
    if place.is_dir():
        shutil.rmtree(place)
    if command.grows:
        return
    for name in whole:
        path = place / name if name else place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OLD)
    if not place.is_file():
        (place / STRANGER).write_text("mine")


def kill_once(words: list[str], seconds: float, rng: random.Random, aimed: bool) -> bool:
    """Starts a command and kills it; whether that came before its end."""
    reader, writer = os.pipe()
    child = start(words, partial(_tell_of_publication, writer))
    os.close(writer)
    if aimed:
        for _ in range(rng.choice([1, 1, 2, 3])):
            os.read(reader, 1)
        time.sleep(rng.uniform(0, 0.003))
    else:
        time.sleep(rng.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    os.close(reader)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _watch(folder: Path, log: Path, wrong: Callable[[], str | None]) -> None:
    """Has this process ask `wrong` before every change to the disk below a folder, and write a line of each answer to `log`."""
    process, own, others = os.getpid(), threading.local(), threading.Lock()

    def look(event: str, arguments: tuple) -> None:
        if getattr(own, "looks", False) or os.getpid() != process or not _changes_the_disk(event, arguments, folder):
            return
        own.looks = True
        with others, log.open("a") as file:
            file.write(json.dumps([event, str(arguments[0]), wrong()]) + "\n")
        own.looks = False

    sys.addaudithook(look)


def _changes_the_disk(event: str, arguments: tuple, folder: Path) -> bool:
    if event == "open":
        path, _, flags = arguments
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and str(path).startswith(str(folder))
    return event in _CHANGES


_CHANGES = {f"os.{name}" for name in ("rename", "remove", "rmdir", "mkdir", "link", "symlink", "truncate")}
_CHANGES |= {"ctypes.dlsym"}  # before folders are exchanged, for which Python has no function of its own
"""Python's audit events of changes to the disk, beside `open`."""


def watched(command: Command, folder: Path, whole: dict[str, bytes]) -> list[str]:
    """What lies on the disk against the law before any change that a run makes there; what a kill then would leave."""
    place, log = folder / command.out, folder / "moments.jsonl"
    plant(command, place, whole)
    wrong = partial(_first_wrong, command, place, whole)
    status = os.waitpid(start(command.words(folder), partial(_watch, folder, log, wrong)), 0)[1]
    moments = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    print(f"{command.name}: looked at before {len(moments)} changes to the disk", flush=True)
    found = [f"--only {command.name}: before {event} of {what}: {found}" for event, what, found in moments if found]
    return found + ([f"--only {command.name}: watched, it ends with {status}"] if status else [])


def _first_wrong(command: Command, place: Path, whole: dict[str, bytes]) -> str | None:
    return broken(command, place, whole) or unreadable(place)


def violations(command: Command, folder: Path, kills: int, seed: int) -> list[str]:
    """What `kills` kills of a command leave against the law, and what a kill at any other moment would."""
    place, words, found = folder / command.out, command.words(folder), []
    start_time = time.monotonic()
    status = os.waitpid(start(words), 0)[1]
    seconds = time.monotonic() - start_time
    if status:
        return [f"{command.name} ends with {os.waitstatus_to_exitcode(status)}"]
    whole, rng, early = files(place), random.Random(seed), 0
    found += watched(command, folder, whole)
    for number in range(kills):
        plant(command, place, whole)
        early += kill_once(words, seconds, rng, aimed=number % 2 == 1)
        wrong = _first_wrong(command, place, whole)
        if wrong:
            found.append(f"--only {command.name} --seed {seed}: kill {number}: {wrong}")
    if os.waitpid(start(words), 0)[1]:
        found.append(f"--only {command.name} --seed {seed}: the next run fails")
    left = hidden(folder)
    if left:
        found.append(f"--only {command.name} --seed {seed}: the next run leaves {left[:5]}")
    if OLD.encode() in files(place).values() or set(files(place)) != set(whole):
        found.append(f"--only {command.name} --seed {seed}: the next run is not whole")
    print(f"{command.name}: {kills} kills, {early} before the end, a run takes {seconds:.1f} s", flush=True)
    return found


def prepare(folder: Path) -> None:
    """The study, results of it, and a cohort; what is compiled and loaded on the way is there for every child."""
    write_sample_study(folder / "study")
    run(_reconstruct(folder, "results"))
    cohort = [word.replace(str(folder / "out"), str(folder / "cohort")) for word in _simulate(folder)]
    run([*cohort[:4], "1", *cohort[5:], "--meshes", "true"])
    (folder / "meshes").mkdir()
    for subject, stretch in (("a", [1, 1, 1]), ("b", [1.03, 0.97, 1])):
        for level in LEVELS:
            surface = load_surface(folder / "results" / f"{level}.stl")
            write_stl(folder / "meshes" / f"{subject}_{level}.stl", surface.vertices_mm * stretch, surface.triangles)


def main() -> int:
    """Runs the kills."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the names of the commands to kill")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        prepare(folder)
        for command in COMMANDS:
            if options.only in command.name:
                found += violations(command, folder, options.kills, options.seed)
                shutil.rmtree(folder / command.out, ignore_errors=True)
                (folder / command.out).unlink(missing_ok=True)
    print("\n".join([f"VIOLATION {line}" for line in found] + [f"{len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
