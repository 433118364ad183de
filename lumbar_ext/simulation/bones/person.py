"""A person with or without a pathology, in a posture: subject -> skeleton -> posture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lumbar_ext.simulation.bones.bridging import bridged
from lumbar_ext.simulation.bones.fracture import deformed, with_wear
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.bones.skeleton import Skeleton, assemble_skeleton
from lumbar_ext.simulation.bones.transitional import TRANSITIONAL
from lumbar_ext.simulation.bones.wear import sample_wear
from lumbar_ext.simulation.posture.posed_spine import Posture, sample_posture
from lumbar_ext.simulation.study_spec import StudySpec


def afflicted(spec: StudySpec, skeleton: Skeleton, population: Population) -> Skeleton:
    """The skeleton with what wear and a pathology do to bones, in any posture.

    Real subjects that are simulated as they are have their own wear, and get no other.

    Args:
        spec: what the person has, its pathology drawn, and the randomness of spurs.
        skeleton: before it.
        population: topology and landmarks.
    """
    pathology, parameters = spec.pathology, spec.parameters
    if pathology is not None and pathology.kind in TRANSITIONAL:
        skeleton = TRANSITIONAL[pathology.kind](skeleton, population.reference)
    elif pathology is not None:
        # Spurs have their own randomness: the posture is that of the same person without them.
        skeleton = deformed(
            spec.person_generator("spurs"), skeleton, pathology, population.reference, parameters.pathology
        )
    if spec.variation == "none" or parameters.wear.share == 0:
        return skeleton
    rng = spec.person_generator("wear")
    fused = pathology.level_index if pathology is not None and pathology.kind == "fusion" else None
    wear = tuple(w for w in sample_wear(rng, parameters.wear, len(skeleton.lumbar)) if w.joint != fused)
    return with_wear(rng, skeleton, wear, population.reference, parameters.pathology) if wear else skeleton


def posed_skeleton(
    rng: np.random.Generator,
    skeleton: Skeleton,
    spec: StudySpec,
    population: Population,
    *,
    person_rng: np.random.Generator | None = None,
) -> Posture:
    """A posture, with what a pathology does to joints; see `posture.sample_posture` for the arguments."""
    posture = sample_posture(rng, skeleton, spec, person_rng=person_rng)
    if spec.pathology is not None and spec.pathology.kind == "fusion":
        return bridged(posture, spec.pathology.level_index, population.reference)
    return posture


def posed_person(population: Population, spec: StudySpec) -> Posture:
    """Draws a subject and all bones around it, and places them.

    Args:
        population: draws the subject.
        spec: who, and in which posture.
    """
    rng = spec.generator()
    spec = replace(spec, pathology=spec.drawn_pathology())
    subject = population.sample(rng, spec.split)
    skeleton = assemble_skeleton(rng, subject, population.triangles, population.background)
    return posed_skeleton(rng, afflicted(spec, skeleton, population), spec, population)
