"""Curvature of the standing spine: relative angles and disc heights of the joints from T8-T9 to L5-S1.

The lumbar angles are those of real supine spines (`posture_statistics`), shifted to standing; some people have a
scoliosis.
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import euler_rotation
from lumbar_ext.simulation.posture.bending import N_THORACIC_JOINTS
from lumbar_ext.simulation.posture.posture_statistics import load_posture_statistics
from lumbar_ext.simulation.posture.stacking import Bone
from lumbar_ext.simulation.ranges import PostureParameters

_ANCHOR = LEVELS.index("L3")
_BISECTIONS = 25  # of the range: to a hundred-millionth of it


def neutral_angles(rng: np.random.Generator, parameters: PostureParameters) -> np.ndarray:
    """Relative standing angles (lateral, flexion, axial) [10, 3] of T8-T9 .. L5-S1, rad."""
    statistics = load_posture_statistics()
    lumbar = statistics.sample(rng, scale=(1.0, parameters.flexion_scale, parameters.axial_scale))
    lumbar[-1, 0] *= parameters.l4_l5_lateral_scale
    # L5-S1 goes with L4-L5: both follow the slope of the sacrum.
    trend = lumbar[-1, 1] - statistics.mean_rad[-1, 1]
    l5_s1 = [
        np.radians(rng.normal(0, 1.5)),
        np.radians(rng.normal(*parameters.l5_s1_flexion_deg)) + parameters.l5_s1_coupling * trend,
        np.radians(rng.normal(0, 1.0)),
    ]
    thoracic = np.radians(rng.normal(0, 1.5, (N_THORACIC_JOINTS, 3)))
    thoracic[:, 1] += np.radians(parameters.thoracic_flexion_deg)
    angles = np.concatenate([thoracic, lumbar, [l5_s1]])
    angles[N_THORACIC_JOINTS:, 1] += np.radians(parameters.standing_shift_deg)
    return angles + _scoliosis(rng, parameters)


def _scoliosis(rng: np.random.Generator, parameters: PostureParameters) -> np.ndarray:
    """Added relative angles [10, 3]: none for most people, a scoliotic curve for some."""
    if rng.random() >= parameters.scoliosis_share:
        return np.zeros((N_THORACIC_JOINTS + 5, 3))
    cobb = np.radians(rng.triangular(*parameters.scoliosis_cobb_deg))
    return cobb * _curve(rng, parameters)


def _curve(rng: np.random.Generator, parameters: PostureParameters) -> np.ndarray:
    """Relative angles [10, 3] of a scoliosis of about one rad: a smooth bend, the bodies turned to its convex side."""
    joints = np.arange(N_THORACIC_JOINTS + 5)
    side = rng.choice([-1.0, 1.0])
    # The apex lies between T12-L1 and L4-L5; beyond the end vertebrae the curve turns back.
    apex = N_THORACIC_JOINTS - 1 + rng.uniform(1.0, 4.0)
    profile = np.clip(np.cos((joints - apex) / 3.0 * np.pi / 2), -0.3, None) * np.exp(-(((joints - apex) / 5.0) ** 2))
    added = np.zeros((len(joints), 3))
    added[:, 0] = side * profile / np.abs(profile[N_THORACIC_JOINTS:-1]).sum().clip(1.0)
    bones = np.arange(len(joints) + 1)
    # A positive bend is concave on the left: negative axial angles turn the bodies to the right.
    rotation = -side * parameters.scoliosis_rotation_ratio * np.exp(-(((bones - apex - 0.5) / 2.0) ** 2))
    added[:, 2] = np.diff(rotation)
    return added


def with_cobb_angle(
    rng: np.random.Generator,
    angles_rad: np.ndarray,
    bones: list[Bone],
    person_from_anchor: np.ndarray,
    cobb_deg: float,
    parameters: PostureParameters,
) -> np.ndarray:
    """Relative angles [10, 3] to which a scoliosis is added, so that L1 .. L5 make the Cobb angle asked for.

    Args:
        rng: draws side and apex.
        angles_rad: [10, 3] without it.
        bones: T8 .. S1.
        person_from_anchor: [3, 3] rotation of L3.
        cobb_deg: largest coronal angle between endplates.
        parameters: how much the bodies turn.
    """
    curve = _curve(rng, parameters)
    lumbar = bones[N_THORACIC_JOINTS:-1]

    def cobb(amount_rad: float, own: float) -> float:
        relative = angles_rad * [own, 1.0, 1.0] + amount_rad * curve
        return cobb_of(lumbar, relative[N_THORACIC_JOINTS:-1], person_from_anchor)

    # The person's own bends may exceed a small angle: they are weakened then.
    own = next((own for own in (1.0, 0.5, 0.0) if cobb(0.0, own) < cobb_deg), 0.0)
    low, high = 0.0, 2.0 * np.radians(cobb_deg) + 0.2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if cobb(middle, own) < cobb_deg else (low, middle)
    return angles_rad * [own, 1.0, 1.0] + low * curve


def cobb_of(lumbar: list[Bone], relative_rad: np.ndarray, person_from_anchor: np.ndarray) -> float:
    """Largest coronal angle in deg between endplates of L1 .. L5 with given relative angles [4, 3] and pose of L3."""
    rotations = {_ANCHOR: person_from_anchor}
    for i in range(_ANCHOR, len(lumbar) - 1):
        rotations[i + 1] = rotations[i] @ euler_rotation(*relative_rad[i])
    for i in range(_ANCHOR, 0, -1):
        rotations[i - 1] = rotations[i] @ euler_rotation(*relative_rad[i - 1]).T
    return coronal_span_deg([rotations[i] for i in range(len(lumbar))], lumbar)


def coronal_span_deg(person_from_bone: list[np.ndarray], bones: list[Bone]) -> float:
    """Largest angle between the traces of endplates in the coronal plane, deg, from rotations [3, 3] and bones."""
    upward = np.array(
        [
            sign * rotation @ plate.normal
            for rotation, bone in zip(person_from_bone, bones, strict=True)
            for plate, sign in ((bone.superior, 1.0), (bone.inferior, -1.0))
        ]
    )
    return float(np.ptp(np.degrees(np.arctan2(upward[:, 1], upward[:, 2]))))


def disc_heights_mm(rng: np.random.Generator, parameters: PostureParameters, size_ratio: float) -> np.ndarray:
    """Disc heights [10] between endplate centres of T8-T9 .. L5-S1, with a degenerated tail."""
    mean = np.array(parameters.disc_height_mm)
    heights = size_ratio * mean * (1 + rng.normal(0, parameters.disc_common_sd)) + rng.normal(
        0, parameters.disc_sd_mm, len(mean)
    )
    degenerated = rng.random(len(mean)) < parameters.disc_degenerated_share
    heights[degenerated] *= rng.uniform(*parameters.disc_degenerated_factor, degenerated.sum())
    return np.clip(heights, parameters.disc_min_mm, None)
