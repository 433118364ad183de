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

VERSE_LABELS = {"L1": 20, "L2": 21, "L3": 22, "L4": 23, "L5": 24}
"""Label values of the lumbar vertebrae in VerSe segmentations (Sekuboyina et al. 2021)."""

VIEWS = ("ap", "lat")
"""The two views of a biplanar study: anteroposterior and lateral."""
