"""What fills a voxel: the tissues that are told apart, their values in label files, and the window of CT numbers."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS

TISSUES = ("air", "soft_tissue", "other_bone", "sacrum", *LEVELS)
"""The classes of the field network, in the order of its output. Air is that around, in lungs and in bowel; other bone is
ribs, pelvis, thoracic vertebrae and a sixth lumbar one."""

BONES = TISSUES[2:]
"""The tissues that are bone."""

TISSUE_LABELS = {"air": 0, "soft_tissue": 100, "other_bone": 101, "sacrum": 26, **VERSE_LABELS}
"""Their values in label files: those of VerSe where it has them (26 is S1 there), others where it has none."""

UNKNOWN_LABEL = 254
"""In a label file of the truth: no lumbar vertebra, but it is not known what else."""
NOT_SEEN_LABEL = 255
"""In a label file that was reconstructed: outside one of both beams. In one of the truth: nothing is known."""

HU_WINDOW = (-1000.0, 1500.0)
"""CT numbers that a field states: air to dense bone at 1.5 mm; what lies beyond is cut off."""

NO_HU = -2048
"""In a file of CT numbers: not seen, or not known. Below every CT number, as scanners pad the field of view."""

NO_LUMBAR_INDEX, UNASKED_INDEX = len(TISSUES), len(TISSUES) + 1
"""Indices that follow those of the tissues: see `UNKNOWN_LABEL`; and nothing is known."""


def tissue_index(labels: np.ndarray) -> np.ndarray:
    """Index into `TISSUES` of label values, uint8 of any shape; `UNASKED_INDEX` for all that is no tissue's value."""
    table = np.full(256, UNASKED_INDEX, np.uint8)
    table[UNKNOWN_LABEL] = NO_LUMBAR_INDEX
    for index, name in enumerate(TISSUES):
        table[TISSUE_LABELS[name]] = index
    return table[labels]


def label_values(indices: np.ndarray) -> np.ndarray:
    """Label values of indices into `TISSUES`, uint8 of the same shape; the inverse of `tissue_index`."""
    values = [*(TISSUE_LABELS[name] for name in TISSUES), UNKNOWN_LABEL, NOT_SEEN_LABEL]
    return np.array(values, np.uint8)[indices]
