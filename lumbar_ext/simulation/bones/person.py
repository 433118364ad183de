"""A person with or without a pathology, in a posture: subject -> skeleton -> posture."""

from __future__ import annotations

import numpy as np

from lumbar_ext.simulation.bones.bridging import bridged
from lumbar_ext.simulation.bones.fracture import deformed
from lumbar_ext.simulation.bones.pathology import Pathology
from lumbar_ext.simulation.bones.population import Population
from lumbar_ext.simulation.bones.skeleton import Skeleton, assemble_skeleton
from lumbar_ext.simulation.bones.transitional import TRANSITIONAL
from lumbar_ext.simulation.posture.posed_spine import Posture, sample_posture
from lumbar_ext.simulation.ranges import PathologyParameters, PostureParameters


def pathological(
    rng: np.random.Generator,
    skeleton: Skeleton,
    pathology: Pathology | None,
    population: Population,
    parameters: PathologyParameters,
) -> Skeleton:
    """The skeleton with what a pathology does to bones, in any posture.

    Args:
        rng: draws the places of spurs.
        skeleton: before it.
        pathology: None changes nothing.
        population: topology and landmarks.
        parameters: number of spurs.
    """
    if pathology is None:
        return skeleton
    if pathology.kind in TRANSITIONAL:
        return TRANSITIONAL[pathology.kind](skeleton, population.reference)
    return deformed(rng, skeleton, pathology, population.reference, parameters)


def posed(
    rng: np.random.Generator,
    skeleton: Skeleton,
    pathology: Pathology | None,
    population: Population,
    parameters: PostureParameters | None = None,
    **kwargs,
) -> Posture:
    """A posture, with what a pathology does to joints; see `posture.sample_posture` for the other arguments."""
    posture = sample_posture(rng, skeleton, parameters, pathology=pathology, **kwargs)
    if pathology is not None and pathology.kind == "fusion":
        return bridged(posture, pathology.level_index, population.reference)
    return posture


def posed_person(
    rng: np.random.Generator,
    population: Population,
    split: str,
    *,
    pathology: Pathology | None = None,
    parameters: PathologyParameters | None = None,
    direction: str | None = None,
    level: int | None = None,
) -> Posture:
    """Draws a subject and all bones around it, and places them.

    Args:
        rng: the source of randomness.
        population: draws the subject.
        split: "train", "validation" or "test".
        pathology: what the person has.
        parameters: number of spurs.
        direction, level: see `posture.sample_posture`.
    """
    subject = population.sample(rng, split)
    skeleton = assemble_skeleton(rng, subject, population.triangles, population.background)
    # Spurs have their own randomness: the posture is that of the same person without them.
    (spurs,) = rng.spawn(1)
    skeleton = pathological(spurs, skeleton, pathology, population, parameters or PathologyParameters())
    return posed(rng, skeleton, pathology, population, direction=direction, level=level)
