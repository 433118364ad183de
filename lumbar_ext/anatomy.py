"""Names and orders of the lumbar levels, landmarks and views. Imports nothing."""

LEVELS = ("L1", "L2", "L3", "L4", "L5")
"""Lumbar levels from cranial to caudal: the order of every array axis over vertebrae."""

LANDMARKS = (
    "superior_endplate",
    "inferior_endplate",
    "left_transverse_process",
    "right_transverse_process",
    "left_pedicle",
    "right_pedicle",
    "spinous_process",
)
"""The seven landmarks of a vertebra (Yu et al., arXiv 2503.14573): endplate centres, process tips, pedicle centres."""

LEFT_RIGHT_SWAP = (0, 1, 3, 2, 5, 4, 6)
"""Index of each landmark's mirror image: `landmarks[..., LEFT_RIGHT_SWAP, :]` relabels a mirrored vertebra."""

PROCESS_LANDMARKS = (2, 3, 6)
"""Indices of the transverse and spinous process tips, which the registration weighs more."""

SPINE_LEVELS = ("T12", *LEVELS, "L6", "S1")
"""What the second-generation network names, from cranial to caudal: the lumbar levels, a sixth one, and the two anchors
of the count."""

S1_LANDMARKS = ("superior_centre", "superior_anterior", "superior_posterior", "superior_left", "superior_right")
"""Landmarks of the sacrum: centre of the superior endplate of S1, and the middle of its front, back, left and right edge."""

S1_LEFT_RIGHT_SWAP = (0, 1, 2, 4, 3)
"""Index of each of them in the mirrored person."""

ANCHOR_POINTS = (("T12", "centre"), *(("S1", name) for name in S1_LANDMARKS))
"""Level and name of the points that are located beside L1 to L5: the order of arrays over them."""

VERSE_LABELS = {"L1": 20, "L2": 21, "L3": 22, "L4": 23, "L5": 24}
"""Label values of the lumbar vertebrae in VerSe segmentations (Sekuboyina et al. 2021)."""

VIEWS = ("ap", "lat")
"""The two views of a biplanar study: anteroposterior and lateral."""
