"""A campaign's state in a few megabytes, to be kept beside the code: another machine goes on from it.

    lumbar-ext pack-campaign --resume runs/resume.pt --output state.pt
    lumbar-ext campaign-weights --state state.pt --output models/model.pt

The state holds the averaged weights in half precision and all counts, but neither the latest weights nor the optimiser's
moments: copied to the place of `resume.pt` it lets a campaign go on from the average, at the iteration and the draw where
it stood, with an optimiser that starts anew.
"""

from __future__ import annotations

from pathlib import Path

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import refuse_same_file
from lumbar_ext.training.handlers.checkpoint import read_checkpoint, write_checkpoint
from lumbar_ext.training.weight_parts import half_precision

_LEFT_OUT = ("network", "optimizer", "average")
_MB = 1e6  # bytes


def pack_campaign(resume: str, output: str) -> None:
    """Writes the small state of a campaign.

    Args:
        resume: what `ResumePoint` wrote.
        output: the file.

    Raises:
        InputError: when a file cannot be read or written, both are one, or it holds no averaged weights.
    """
    refuse_same_file(resume, output)
    state = read_checkpoint(resume)
    if not isinstance(state, dict) or "average" not in state:
        raise InputError(f"{resume}: holds no averaged weights, expected the resume point of a campaign")
    average = half_precision(state["average"]["average"])
    counts = {name: value for name, value in state.items() if name not in _LEFT_OUT}
    # the same tensors twice, which are stored once
    small = {**counts, "network": average, "average": {"average": average, "updates": state["average"]["updates"]}}
    write_checkpoint(output, small)
    print(f"{output}: {Path(output).stat().st_size / _MB:.1f} MB, iteration {state['iteration']}")


def campaign_weights(state: str, output: str) -> None:
    """Writes the averaged weights of a resume point or a small state, in half precision, as inference reads them.

    Args:
        state: the resume point or the small state.
        output: the file.

    Raises:
        InputError: as `pack_campaign`.
    """
    refuse_same_file(state, output)
    content = read_checkpoint(state)
    if not isinstance(content, dict) or "average" not in content:
        raise InputError(f"{state}: holds no averaged weights, expected the state of a campaign")
    write_checkpoint(output, half_precision(content["average"]["average"]))
    print(f"{output}: {Path(output).stat().st_size / _MB:.1f} MB, iteration {content['iteration']}")
