"""Damages valid files of every reader and holds the results to the law, for a number of seconds.

    python -m tests.fuzz.run --seconds 30 --seed 0

The law: a damaged file gives a clear `InputError` that names it in one short line, or the result of the undamaged file, or
a result with a warning. Where no check sum guards the values, they may be others, but as many as before, and finite. No
file, whatever it says of itself, takes more than a bounded time and memory. Prints each violation with what repeats it,
and exits with 1 if there is any.
"""

import argparse
import faulthandler
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from tests.fuzz.mutations import damaged
from tests.fuzz.targets import TARGETS, Facts, Target

MAX_CPU_SECONDS = 10.0
MAX_GROWTH_MIB = 400
MAX_MESSAGE = 600


def violation(target: Target, path: Path, expected: Facts) -> str | None:
    """What a damaged file does against the law; None if it keeps it."""
    start, before = time.process_time(), _peak_mib()
    found, flagged, said = None, False, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = target.read(path)
        except InputError as error:
            said = _unclear(str(error), path)
        except BaseException as error:
            said = f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error)[-4:])}"
        flagged = any(issubclass(warning.category, UserWarning) for warning in caught)
    if said:
        return said
    if time.process_time() - start > MAX_CPU_SECONDS:
        return f"{time.process_time() - start:.1f} s"
    if _peak_mib() - before > MAX_GROWTH_MIB:
        return f"{_peak_mib() - before:.0f} MiB"
    return None if found is None or flagged else _difference(target, found, expected)


def _unclear(message: str, path: Path) -> str | None:
    if len(message) > MAX_MESSAGE or "\n" in message.strip() or path.parent.name not in message:
        return f"an unclear message: {message[:1000]!r}"
    return None


def _difference(target: Target, found: Facts, expected: Facts) -> str | None:
    names = expected if target.guarded else [name for name in expected if name in ("shape", "finite")]
    for name in names:
        if name not in found or not np.array_equal(found[name], expected[name]):
            return f"another {name} without a word"
    return None


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Runs until the time is over; every target gets the same number of cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10**9, help="most seeds, whatever the time")
    parser.add_argument("--only", default="", help="part of the names of the targets to run")
    parser.add_argument("--most", type=int, default=5, help="violations after which to stop")
    options = parser.parse_args()
    faulthandler.enable()
    targets = [target for target in TARGETS if options.only in target.name]
    violations = cases = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        originals, expected = {}, {}
        for target in targets:
            path = Path(folder) / target.name / target.file
            path.parent.mkdir()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target.make(path)
                originals[target.name], expected[target.name] = path.read_bytes(), target.read(path)
        end, seed = time.monotonic() + options.seconds, options.seed
        while time.monotonic() < end and violations < options.most and seed < options.seed + options.seeds:
            for target in targets:
                path = Path(folder) / target.name / target.file
                name, content = damaged(seed, originals[target.name])
                path.write_bytes(content)
                _remember(f"--only {target.name} --seed {seed} ({name})")
                found = violation(target, path, expected[target.name])
                cases += 1
                if found:
                    violations += 1
                    print(f"VIOLATION --only {target.name} --seed {seed} ({name}): {found}", flush=True)
            seed += 1
    print(f"{cases} cases of {len(targets)} readers, seeds {options.seed} to {seed - 1}: {violations} violations")
    return 1 if violations else 0


def _remember(case: str) -> None:
    """Leaves the case in hand where it can be read if the process dies of it."""
    LAST_CASE.write_text(case)


LAST_CASE = Path(tempfile.gettempdir()) / "lumbar_ext_fuzz_last_case.txt"

if __name__ == "__main__":
    sys.exit(main())
