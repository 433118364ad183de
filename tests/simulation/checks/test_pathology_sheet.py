"""One person with every pathology: what is drawn differs from the person without by what it says."""

import numpy as np
from PIL import Image

from lumbar_ext.simulation.checks import pathology_sheet as module
from lumbar_ext.simulation.checks.pathology_sheet import EXAMPLES, pathology_sheet


def test_every_pathology_has_a_column_of_its_own(real_population, monkeypatch, tmp_path):
    monkeypatch.setattr(module.Population, "load", lambda anatomy: real_population)
    kinds = [None if own is None else own.kind for own in EXAMPLES]
    few = [EXAMPLES[kinds.index(kind)] for kind in (None, "wedge", "scoliosis")]
    monkeypatch.setattr(module, "EXAMPLES", tuple(few))
    pathology_sheet(str(tmp_path / "sheet.png"))
    bones = (np.asarray(Image.open(tmp_path / "sheet.png")) != 255).any(-1)
    assert bones.shape == (860, 3 * 230)
    tiles = bones.reshape(2, 430, 3, 230).transpose(0, 2, 1, 3)
    left, front = tiles[:, :, 30:]
    changed = [[(one ^ tiles[0]).sum() / tiles[0].sum() for one in tiles] for tiles in (left, front)]
    assert 0 < changed[0][1] < 0.2  # one wedge tilts what stands on it a little
    assert changed[1][2] > 0.2 > changed[1][1]  # scoliosis shows from the front
