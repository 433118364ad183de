"""Motion between two studies with known poses."""

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements.assessment import assess_values
from lumbar_ext.measurements.motion import compare_studies, relative_motion_deg
from lumbar_ext.measurements.spine import Values


def poses(flexion_deg, world):
    """A spine whose L4 leans forward over L5 by an angle."""
    turn = RigidTransform.from_euler(0, np.radians(flexion_deg), 0)
    return {level: world @ (turn if level != "L5" else RigidTransform.identity()) for level in LEVELS}


def slips(**values):
    found = {(key.replace("_", "-"), "sagittal_slip"): np.array(v) for key, v in values.items()}
    return assess_values(Values(found, {}))


OTHER_ROOM = RigidTransform.from_euler(0.2, -0.4, 1.0, np.array([300.0, 20.0, -50.0]))


def test_motion_is_that_between_the_poses_whatever_the_room():
    first, second = poses(-4, RigidTransform.identity()), poses(9, OTHER_ROOM)
    turned = relative_motion_deg(first["L4"], first["L5"], second["L4"], second["L5"])
    assert turned == pytest.approx([0, 13, 0], abs=1e-6)


@pytest.mark.parametrize(("flexion", "slip", "beyond"), [(13, 2.0, False), (21, 2.0, True), (3, 4.5, True)])
def test_a_segment_beyond_a_limit_is_flagged(flexion, slip, beyond):
    motions = compare_studies(
        poses(0, RigidTransform.identity()),
        poses(flexion, OTHER_ROOM),
        slips(L4_L5=1.0, L1_L2=0.0),
        slips(L4_L5=1.0 + slip, L1_L2=0.0),
    )
    segment = motions[-1]
    assert segment.translation_mm == pytest.approx(slip)
    assert segment.flexion_deg == pytest.approx(flexion)
    assert segment.beyond_threshold is beyond
    assert "White" in segment.threshold
    assert motions[0].beyond_threshold is False


def test_missing_vertebrae_and_slips_are_not_guessed():
    first = poses(0, RigidTransform.identity())
    second = {level: pose for level, pose in first.items() if level != "L2"}
    motions = {m.subject: m for m in compare_studies(first, second, slips(), slips())}
    assert motions["L1-L2"].flexion_deg is None
    assert motions["L1-L2"].reason == "L2: missing in a study"
    assert motions["L3-L4"].flexion_deg == pytest.approx(0)
    assert motions["L3-L4"].translation_mm is None
    assert motions["L3-L4"].beyond_threshold is None
