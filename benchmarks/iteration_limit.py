"""Does it matter where a search ends by its iteration limit? The same studies with twice the limit, and how far vertices move.

    python benchmarks/iteration_limit.py COHORT [--n 12]

Networks, registration and one second look; the limit of the last stage is doubled, in the first pass and in the look.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from same_picture import Reconstructor, study_files

from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.register import register
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.registration.search.gauss_newton import DEFAULT_STAGES, GaussNewton
from lumbar_ext.workflow.second_look import LookInput, SecondLook, movement_mm, prepare_looks


def main(dataset_dir: str, n: int = 12) -> None:
    """Prints the table.

    Args:
        dataset_dir: folder of study folders.
        n: how many of them.
    """
    run, moves = Reconstructor(inferer="$lambda inputs, *args, **kwargs: inputs"), []
    model, looks = (run.workflow.parser.get_parsed_content(name) for name in ("shape_model", "second_look"))
    last = DEFAULT_STAGES[-1]
    doubled = (*DEFAULT_STAGES[:-1], replace(last, max_iterations=2 * last.max_iterations))
    configs = [RegistrationConfig(optimiser=GaussNewton(stages)) for stages in (DEFAULT_STAGES, doubled)]
    twice = "with twice the limit"
    print(f"| study | first pass ends by | {twice} | look ends by | {twice} | moved by, mm: mean | most of a level |")
    print("|---" * 7 + "|")
    for folder in sorted(path for path in Path(dataset_dir).iterdir() if path.is_dir())[:n]:
        inputs, _ = prepare_looks(run(study_files(folder)))
        ends = [_passes(inputs, model, config, looks) for config in configs]
        moved = list(movement_mm(*(own[-1] for own in ends)).values())
        moves.append(np.mean(moved))
        reasons = " | ".join(f"{own.stop_reason}" for pair in zip(*ends, strict=True) for own in pair)
        print(f"| {folder.name} | {reasons} | {np.mean(moved):.3f} | {max(moved):.3f} |", flush=True)
    print(f"\nmean {np.mean(moves):.3f} mm, most of a study {max(moves):.3f} mm")


def _passes(inputs: LookInput, model, config: RegistrationConfig, looks: SecondLook) -> list[RegistrationResult]:
    """The first pass and what the look makes of it."""
    return list(looks.passes(inputs, model, config, register(inputs.registration, model, config)))


if __name__ == "__main__":
    import fire

    fire.Fire(main)
