import numpy as np

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP


def test_mirroring_swaps_the_landmarks_of_the_two_sides(atlas):
    bent = atlas.means_mm[2] + np.array([0.0, 3.0, 0.0]) * np.sin(atlas.means_mm[2][:, :1] / 30)
    found = atlas.reference.landmarks_mm(atlas.mirror.apply(bent))
    expected = atlas.reference.landmarks_mm(bent)[list(LEFT_RIGHT_SWAP)] * [1, -1, 1]
    assert np.abs(found - expected).max() < 3.0


def test_mirroring_twice_gives_the_shape_back(atlas):
    twice = atlas.mirror.apply(atlas.mirror.apply(atlas.means_mm[2]))
    assert np.linalg.norm(twice - atlas.means_mm[2], axis=1).mean() < 0.5
