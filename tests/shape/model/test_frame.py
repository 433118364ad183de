import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.shape.model.frame import world_from_vertebra

LANDMARKS_MM = np.array(
    [[0, 0, 14], [0, 0, -14], [-35, 45, 5], [-35, -45, 5], [-20, 16, 6], [-20, -16, 6], [-68, 0, -7.0]]
)


def test_landmarks_in_their_own_frame_give_the_identity():
    assert np.allclose(world_from_vertebra(LANDMARKS_MM).to_matrix(), np.eye(4), atol=1e-12)


def test_the_frame_moves_with_the_landmarks():
    pose = RigidTransform.from_euler(0.2, -0.4, 0.3, np.array([10.0, -20, 30]))
    assert np.allclose(world_from_vertebra(pose.apply(LANDMARKS_MM)).to_matrix(), pose.to_matrix(), atol=1e-12)


def test_pedicles_on_the_endplate_axis_are_refused():
    degenerate = LANDMARKS_MM.copy()
    degenerate[4], degenerate[5] = [0, 0, 5], [0, 0, -5]
    with pytest.raises(ValueError, match="undetermined"):
        world_from_vertebra(degenerate)
