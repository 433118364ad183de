import json

import nibabel
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.surface import surface_distance_mm
from lumbar_ext.shape.sources.cohort_file import CohortShape
from lumbar_ext.shape.sources.target import Target, content_key, load_target, with_suitable_density
from tests.shape.conftest import vertebra_surface


def entry(file, **details):
    return CohortShape("a_L3", "a", "L3", file, "train", **details)


def test_coarse_targets_are_remeshed_and_others_left_alone():
    coarse = Target(vertebra_surface(4.0), None, {})
    fine = with_suitable_density(coarse, 4 * len(coarse.surface.vertices_mm))
    assert len(fine.surface.vertices_mm) == pytest.approx(4 * len(coarse.surface.vertices_mm), rel=0.02)
    assert surface_distance_mm(fine.surface, coarse.surface).max() < 0.05
    assert "remeshed from" in fine.notes[0]
    assert with_suitable_density(coarse, len(coarse.surface.vertices_mm)) is coarse


def test_landmarks_of_a_mesh_in_metres_become_millimetres(tmp_path):
    surface = vertebra_surface(3.0)
    surface.with_vertices(surface.vertices_mm / 1000).to_trimesh().export(tmp_path / "a.stl")
    names = ("left_pedicle", "right_pedicle", "spinous_process")
    (tmp_path / "a.json").write_text(json.dumps({n: [0.01, 0.02, 0.03] for n in names}))
    target = load_target(entry("a.stl", landmarks="a.json"), tmp_path)
    assert np.allclose(target.landmarks_mm["left_pedicle"], [10, 20, 30])
    assert target.notes and target.is_cut is None


def test_landmarks_of_a_label_map_turn_with_it(tmp_path):
    mask = np.zeros((40, 40, 40), dtype=np.uint8)
    mask[5:35, 5:35, 5:35] = 22
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / "a.nii.gz")
    names = ("left_pedicle", "right_pedicle", "spinous_process")
    (tmp_path / "a.json").write_text(json.dumps({n: [1, 2, 3] for n in names}))
    target = load_target(entry("a.nii.gz", label=22, landmarks="a.json"), tmp_path)
    # RAS (1, 2, 3): front 2, left -1, up 3.
    assert np.allclose(target.landmarks_mm["left_pedicle"], [2, -1, 3])


def test_a_label_too_small_for_a_vertebra_is_refused(tmp_path):
    mask = np.zeros((20, 20, 20), dtype=np.uint8)
    mask[5:15, 5:15, 5:15] = 22
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="fills 1000 mm3, expected at least 5000"):
        load_target(entry("a.nii.gz", label=22), tmp_path)


def test_content_keys_know_equal_data(tmp_path):
    (tmp_path / "a.stl").write_bytes(b"1")
    (tmp_path / "b.stl").write_bytes(b"1")
    (tmp_path / "c.stl").write_bytes(b"2")
    keys = [content_key(entry(f"{n}.stl"), tmp_path) for n in "abc"]
    assert keys[0] == keys[1] != keys[2]
    assert content_key(entry("a.stl", label=20), tmp_path) != content_key(entry("a.stl", label=21), tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        content_key(entry("gone.stl"), tmp_path)
