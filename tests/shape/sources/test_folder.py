import json
import logging

import nibabel
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.sources.folder import scan_folder


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def label_map(path, *labels):
    volume = np.zeros((8, 8, 8), dtype=np.int16)
    volume.ravel()[: len(labels)] = labels
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)


def found(cohort):
    return {(s.subject, s.level, s.file) for s in cohort.shapes}


def test_the_three_ways_to_name_meshes(tmp_path):
    cohort = scan_folder(touch(tmp_path, "a/L1.stl", "b_l2.PLY", "c/c_L5.obj", "group/d-1_L3.stl"))
    assert found(cohort) == {
        ("a", "L1", "a/L1.stl"),
        ("b", "L2", "b_l2.PLY"),
        ("c", "L5", "c/c_L5.obj"),
        ("group_d-1", "L3", "group/d-1_L3.stl"),
    }
    assert cohort.reference is None and all(s.orientation == "unknown" and s.split == "train" for s in cohort.shapes)


def test_label_maps_give_their_lumbar_levels(tmp_path):
    label_map(tmp_path / "p_msk.nii.gz", 19, 20, 24)
    (tmp_path / "q").mkdir()
    label_map(tmp_path / "q" / "seg.nii", 22)
    shapes = scan_folder(tmp_path).shapes
    assert {(s.subject, s.level, s.label) for s in shapes} == {("p", "L1", 20), ("p", "L5", 24), ("q", "L3", 22)}
    assert all(s.surface == "mask" and s.orientation == "anatomical" for s in shapes)


def test_label_values_can_be_given(tmp_path):
    label_map(tmp_path / "p.nii.gz", 1, 2, 20)
    shapes = scan_folder(tmp_path, {"L1": 1, "L2": 2}).shapes
    assert {(s.level, s.label) for s in shapes} == {("L1", 1), ("L2", 2)}
    for wrong, word in (({"L6": 1}, "L6"), ({"L1": 1, "L2": 1}, "different"), ({"L1": 0}, "positive")):
        with pytest.raises(InputError, match=word):
            scan_folder(tmp_path, wrong)


def test_landmarks_beside_a_vertebra_are_found(tmp_path):
    touch(tmp_path, "a_L1.stl", "a_L2.stl", "a_L2.json")
    label_map(tmp_path / "p_msk.nii.gz", 20)
    (tmp_path / "p_msk_L1.json").write_text(json.dumps({}))
    landmarks = {s.name: s.landmarks for s in scan_folder(tmp_path).shapes}
    assert landmarks == {"a_L1": None, "a_L2": "a_L2.json", "p_L1": "p_msk_L1.json"}


def test_images_and_nameless_files_are_skipped_with_a_warning(tmp_path, caplog):
    touch(tmp_path, "a_L1.stl", "sacrum.stl", ".hidden/b_L1.stl")
    image = np.random.default_rng(0).integers(-1000, 1000, size=(16, 16, 16)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / "a_ct.nii.gz")
    label_map(tmp_path / "thorax.nii.gz", 8, 9)
    with caplog.at_level(logging.INFO):
        assert found(scan_folder(tmp_path)) == {("a", "L1", "a_L1.stl")}
    for word in ("sacrum.stl is skipped", "a_ct.nii.gz is skipped", "thorax.nii.gz is skipped", "a has no L2, L3"):
        assert word in caplog.text


def test_subjects_can_be_held_out(tmp_path):
    touch(tmp_path, "a_L1.stl", "b_L1.stl", "c_L1.stl")
    splits = {s.subject: s.split for s in scan_folder(tmp_path, None, ["b"], ["c"]).shapes}
    assert splits == {"a": "train", "b": "test", "c": "validation"}
    with pytest.raises(InputError, match=r"\['z'\] are to be held out"):
        scan_folder(tmp_path, None, ["z"])


def test_a_vertebra_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"L1 of subject 'a' is there twice, as a/L1.stl and a_L1.ply"):
        scan_folder(touch(tmp_path, "a/L1.stl", "a_L1.ply"))


def test_folders_without_vertebrae_are_refused(tmp_path):
    with pytest.raises(InputError, match="no lumbar vertebra found"):
        scan_folder(touch(tmp_path, "readme.txt"))
    with pytest.raises(InputError, match="no such folder"):
        scan_folder(tmp_path / "gone")
    with pytest.raises(InputError, match="holds no subject"):
        scan_folder(touch(tmp_path, "L1.stl"))
