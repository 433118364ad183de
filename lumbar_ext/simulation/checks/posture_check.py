"""The command that holds simulated postures against the literature and counts intersections.

    lumbar-ext posture-check --n 200

prints Markdown tables: standing curvature, offsets and heights of the discs, range of motion and coupling of each joint
(full excursions of the same people), and overlaps in random postures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.endplate_planes import EndplatePair, find_endplates
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.bones.skeleton import Skeleton, assemble_skeleton
from lumbar_ext.simulation.cohort import DEFAULT_ANATOMY
from lumbar_ext.simulation.posture.bending import DIRECTIONS
from lumbar_ext.simulation.posture.posed_spine import Posture, sample_posture
from lumbar_ext.simulation.study_spec import StudySpec

JOINTS = ("L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")
# segments' ranges of motion by level; sources in docs/population.md
_PUBLISHED_ROM_DEG = {
    "flexion and extension": (13, 14, 13, 16, 14),
    "both lateral bends": (10, 11, 10, 6, 3),
    "both axial rotations": (2, 2, 3, 3, 2),
}
_PAIRS = {
    "flexion and extension": ("flexion", "extension", 1),
    "both lateral bends": ("left_bend", "right_bend", 0),
    "both axial rotations": ("left_twist", "right_twist", 2),
}


@dataclass(frozen=True)
class JointState:
    """The joints L1-L2 .. L5-S1 of one posture.

    Args:
        angles_deg: [5, 3] (lateral, flexion, axial) of the lower bone against the upper one.
        forward_mm: [5] how far the upper endplate centre stands in front of the lower one.
        height_mm: [5] distance of the endplate centres along the disc.
        overlap_mm: [5] greatest depth of a vertex of one bone in the other.
    """

    angles_deg: np.ndarray
    forward_mm: np.ndarray
    height_mm: np.ndarray
    overlap_mm: np.ndarray


def joint_states(posture: Posture) -> JointState:
    """What the joints of a posture of five lumbar vertebrae look like."""
    skeleton = posture.skeleton
    poses = [*posture.world_from_vertebra, posture.world_from_sacrum]
    solids = [*(vertebra.solid for vertebra in skeleton.lumbar), skeleton.sacrum]
    plates = [find_endplates(v.solid, v.landmarks_mm) for v in skeleton.lumbar]
    plates.append(EndplatePair(skeleton.sacral_plate, skeleton.sacral_plate))
    bodies = [ContactBody(solid) for solid in solids]
    rows = []
    for i in range(len(JOINTS)):
        upper_from_lower = poses[i].inverse() @ poses[i + 1]
        ceiling, floor = plates[i].inferior, plates[i + 1].superior.moved(upper_from_lower)
        up = (floor.normal - ceiling.normal) / np.linalg.norm(floor.normal - ceiling.normal)
        forward = upper_from_lower.rotation[:, 0] - (upper_from_lower.rotation[:, 0] @ up) * up
        offset = ceiling.centre_mm - floor.centre_mm
        overlap = find_contact(bodies[i], bodies[i + 1], upper_from_lower).depth_mm
        rows.append((*np.degrees(upper_from_lower.euler_rad()), offset @ forward, offset @ up, overlap))
    table = np.array(rows)
    return JointState(table[:, :3], table[:, 3], table[:, 4], table[:, 5])


def posture_check(
    n: int = 200, n_motion: int = 25, *, split: str = "train", seed: int = 0, anatomy: str = str(DEFAULT_ANATOMY)
) -> None:
    """Prints the tables.

    Args:
        n: people, each once standing and once in a random posture.
        n_motion: people who bend as far as they can in all six directions.
        split: "train", "validation" or "test".
        seed: of the first person.
        anatomy: anatomy file.

    Raises:
        InputError: for fewer than two people, an unknown split or a missing anatomy file.
    """
    if min(int(n), int(n_motion)) < 2:
        raise InputError(f"n and n_motion are {n!r} and {n_motion!r}, expected at least 2 people each")
    population = Population.load(anatomy)
    standing, any_posture = [], []
    for number in tqdm(range(seed, seed + int(n)), desc="postures"):
        skeleton = _person(population, number, split)
        standing.append(_posture(skeleton, number, "neutral", None))
        any_posture.append(_posture(skeleton, number, None, None))
    states = [joint_states(posture) for posture in standing]
    print(_standing_table(standing, states), end="\n\n")
    print(_motion_table(population, int(n_motion), split, int(seed)), end="\n\n")
    print(_overlap_line([*states, *(joint_states(posture) for posture in any_posture)]))


def _person(population: Population, seed: int, split: str) -> Skeleton:
    rng = np.random.default_rng([seed, 0])
    return assemble_skeleton(rng, population.sample(rng, split), population.triangles, population.background)


def _posture(skeleton: Skeleton, seed: int, direction: str | None, level: int | None) -> Posture:
    """A posture in which everything but the motion belongs to the person."""
    person_rng, rng = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    return sample_posture(rng, skeleton, StudySpec(seed, direction=direction, level=level), person_rng=person_rng)


def _standing_table(postures: list[Posture], states: list[JointState]) -> str:
    lordosis = np.array([posture.lordosis_deg for posture in postures])
    disc = np.array([_disc_angle_deg(posture) for posture in postures])
    angles = np.array([state.angles_deg[:, 1] for state in states])
    forward, height = (np.array([getattr(s, name) for s in states]) for name in ("forward_mm", "height_mm"))
    lines = [
        "| standing | population | published |",
        "|---|---|---|",
        f"| lordosis L1-S1, deg | {_pair(lordosis)} | 49.8±11.2, 627 adults (PMC6680033) |",
        f"| lordosis L1-L5 (planes through the whole endplates), deg | {_pair(lordosis - disc)} | about 30-35 between rims |",
        f"| disc angle L5-S1 (the same), deg | {_pair(disc)} | 14-16 between rims; 3.5 so measured in the Visible Human |",
        f"| relative flexion {', '.join(JOINTS)}, deg | {_pairs(angles)} | 4, 8, 11, 17, 22 (segments with their discs) |",
        f"| height of the disc at its middle, mm | {_pairs(height)} | 10.0±1.9, 11.6±1.5, 12.5±1.8, 13.8±2.0, 13.0±2.5 "
        "(14 people of 40-59 y); 8.7, 9.6, 10.4, 11.2, 10.1 (middle of the range, 169 Asians, Zhang 2018) |",
        f"| upper endplate centre before the lower, mm | {_pairs(forward)} | -, -1.8, -1.4, 0.7, 0.2 (mean of 87 CTs; VHP) |",
    ]
    return "\n".join(lines)


def _disc_angle_deg(posture: Posture) -> float:
    """Angle of the disc L5-S1 in the person's sagittal plane."""
    last = posture.skeleton.lumbar[-1]
    person_from_world = posture.world_from_person.inverse()
    inferior = find_endplates(last.solid, last.landmarks_mm).inferior.moved(
        person_from_world @ posture.world_from_vertebra[-1]
    )
    sacral = posture.skeleton.sacral_plate.moved(person_from_world @ posture.world_from_sacrum)
    return float(np.degrees(np.arctan2(*sacral.normal[[0, 2]]) - np.arctan2(*(-inferior.normal[[0, 2]]))))


def _motion_table(population: Population, n: int, split: str, seed: int) -> str:
    ranges = {name: [] for name in _PAIRS}
    coupling = []
    for number in tqdm(range(seed, seed + n), desc="motion"):
        skeleton = _person(population, number, split)
        angles = {d: joint_states(_posture(skeleton, number, d, 3)).angles_deg for d in DIRECTIONS[1:]}
        for name, (one, other, axis) in _PAIRS.items():
            ranges[name].append(np.abs(angles[one][:, axis] - angles[other][:, axis]))
        bend = angles["left_bend"] - angles["right_bend"]
        coupling.append(bend[:, 2] / bend[:, 0])
    lines = ["| range of motion, deg (largest excursions) | L1-L2 .. L5-S1 | published full range |", "|---|---|---|"]
    for name, values in ranges.items():
        lines.append(f"| {name} | {_pairs(np.array(values))} | {', '.join(map(str, _PUBLISHED_ROM_DEG[name]))} |")
    lines.append(
        f"| axial rotation per lateral bend | {', '.join(f'{v:.2f}' for v in np.median(coupling, axis=0))} "
        "| 0.2-0.33 to the other side, reversing at L5-S1 (White and Panjabi) |"
    )
    return "\n".join(lines)


def _overlap_line(states: list[JointState]) -> str:
    overlap = np.array([state.overlap_mm for state in states])
    touched = (overlap > 0).any(axis=1)
    return (
        f"{touched.sum()} of {len(states)} postures hold two neighbours of L1 .. S1 that overlap "
        f"(deepest vertex {overlap.max():.2f} mm)."
    )


def _pair(values: np.ndarray) -> str:
    return f"{values.mean():.1f}±{values.std(ddof=1):.1f}"


def _pairs(values: np.ndarray) -> str:
    return ", ".join(_pair(column) for column in values.T)
