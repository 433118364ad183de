"""A spine of eight vertebrae in a crop of 384 x 256 px, for the tests of the second-generation network."""

import numpy as np

from lumbar_ext.transforms.spine_targets import SpinePoints


def spine_points(seed=0, levels="all"):
    """T12 to S1, 42 px apart, at positions between pixels; "five" has no L6, and S1 in its place."""
    rng = np.random.default_rng(seed)
    count = 8 if levels == "all" else 7
    centres = np.array([128.3, 40.6]) + np.arange(count)[:, None] * [2.7, 43.4] + rng.uniform(-2, 2, (count, 2))
    landmarks = centres[:, None] + rng.uniform(-30, 30, (count, 7, 2))
    # nothing beyond the picture's edges
    landmarks = np.clip(landmarks, 1, [254, 382])
    landmarks[:, 0] = centres + np.array([-1.1, -16.2])
    landmarks[:, 1] = 2 * centres - landmarks[:, 0]
    s1 = centres[-1] + np.array([[0, 0], [-17, 3], [16, -4], [-22, 1], [21, -2]]) + 0.3
    s1[0] = centres[-1]
    if count == 7:
        missing = np.full(2, np.nan)
        centres = np.insert(centres, 6, missing, axis=0)
        landmarks = np.insert(landmarks[:6], 6, np.full((7, 2), np.nan), axis=0)
    return SpinePoints(landmarks[:7], centres, s1, np.ones(8, bool))
