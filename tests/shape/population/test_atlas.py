from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.population.atlas import Atlas, BackgroundBones


def test_a_saved_atlas_is_read_back(atlas, tmp_path):
    bones = BackgroundBones(*(atlas.reference.surface for _ in range(3)), sacrum_from_l5=np.eye(4))
    stored = replace(atlas, background=bones)
    stored.save(tmp_path / "anatomy.pt")
    loaded = Atlas.load(tmp_path / "anatomy.pt")
    assert loaded.base_names == stored.base_names
    assert np.allclose(loaded.means_mm, stored.means_mm, atol=1e-4)
    assert np.allclose(loaded.deviations_mm, stored.deviations_mm, atol=5e-3)
    assert np.array_equal(loaded.background.t12.triangles, stored.background.t12.triangles)


def test_files_that_are_no_atlas_are_named(tmp_path):
    (tmp_path / "no.pt").write_text("no atlas")
    with pytest.raises(InputError, match=r"no\.pt"):
        Atlas.load(tmp_path / "no.pt")
