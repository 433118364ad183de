"""Wear of the motion segments: narrowed discs, spurs, sclerosis, arthrotic facets, gas and calcium in discs.

A pathology (`pathology`) is the one thing that a study is about; wear is what much of a population has besides.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lumbar_ext.simulation.ranges import WearParameters


@dataclass(frozen=True)
class JointWear:
    """A worn joint between a lumbar vertebra and the one below it, or the sacrum.

    Args:
        joint: index of the upper vertebra.
        disc: height that is left, fraction.
        spur_mm: length of the longest spur of the facing rims.
        sclerosis: thickness of the facing endplates, 1 without.
        facet_mm: growth of its articular processes.
        gas: whether the disc holds gas (vacuum phenomenon).
        calcium: share of dense bone in the disc, 0 for most.
    """

    joint: int
    disc: float
    spur_mm: float
    sclerosis: float
    facet_mm: float
    gas: bool
    calcium: float

    def document(self) -> dict:
        """Its fields by name, rounded to thousandths, as `meta.json` of a study holds them."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


def sample_wear(rng: np.random.Generator, parameters: WearParameters, n_joints: int) -> tuple[JointWear, ...]:
    """Draws the worn joints of a person, none for most.

    Args:
        rng: the source of randomness.
        parameters: shares and ranges.
        n_joints: joints below lumbar vertebrae.
    """
    worn = rng.random() < parameters.share
    severity = rng.uniform(*parameters.severity)
    shares = np.resize(parameters.joint_share, n_joints)
    affected = rng.random(n_joints) < shares * severity / np.mean(parameters.severity)
    draws = [_joint(rng, parameters, joint, severity) for joint in range(n_joints)]
    return tuple(draw for draw, own in zip(draws, affected, strict=True) if own and worn)


def _joint(rng: np.random.Generator, parameters: WearParameters, joint: int, severity: float) -> JointWear:
    low, high = parameters.disc
    disc = high - (high - low) * severity * rng.uniform(0.4, 1.0)
    facets = rng.random() < parameters.facet_share
    gas, calcium = rng.random() < parameters.gas_share, rng.random() < parameters.calcium_share
    return JointWear(
        joint=joint,
        disc=float(disc),
        spur_mm=severity * rng.uniform(*parameters.spur_mm),
        sclerosis=1 + severity * rng.uniform(*parameters.sclerosis),
        facet_mm=severity * rng.uniform(*parameters.facet_mm) if facets else 0.0,
        gas=bool(gas),
        calcium=rng.uniform(*parameters.calcium) if calcium and not gas else 0.0,
    )
