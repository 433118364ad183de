"""Which studies a cohort holds: one of each person, or the study protocol's eighteen."""

from __future__ import annotations

from dataclasses import dataclass

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.posture.bending import DIRECTIONS

PROTOCOLS = ("single", "poses18", "poses_in_turn")
"""One study of each person in a random posture; six directions of motion at three excursions (arXiv 2503.14573); or one study
of each person in one of these eighteen, each person the next."""

LEVELS_OF_EXCURSION = (1, 2, 3)  # thirds of the full range of motion
_MOTIONS = DIRECTIONS[1:]
_POSES = len(_MOTIONS) * len(LEVELS_OF_EXCURSION)


@dataclass(frozen=True)
class StudyPlan:
    """One study of a cohort.

    Args:
        name: of its folder.
        seed: of its radiographs and, in a single study, of everything.
        person_seed: of the person, None where the seed draws it too.
        direction, level: of the posture, None for random ones.
    """

    name: str
    seed: int
    person_seed: int | None = None
    direction: str | None = None
    level: int | None = None


def plan_studies(protocol: str, n: int, seed: int, label: str) -> list[StudyPlan]:
    """The studies of a cohort.

    Args:
        protocol: one of `PROTOCOLS`.
        n: number of people.
        seed: of the first of them; the others have the seeds that follow.
        label: how folder names begin.

    Raises:
        InputError: for another protocol.
    """
    people = range(seed, seed + n)
    if protocol == "single":
        return [StudyPlan(f"{label}-{person:06d}", person) for person in people]
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    poses = [(direction, level) for direction in _MOTIONS for level in LEVELS_OF_EXCURSION]
    return [
        StudyPlan(f"{label}-{person:06d}-{direction}-{level}", person * _POSES + pose, person, direction, level)
        for person in people
        for pose, (direction, level) in enumerate(poses)
        if protocol == "poses18" or pose == (person - seed) % _POSES
    ]
