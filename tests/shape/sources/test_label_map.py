import itk
import nibabel
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.sources.label_map import is_label_map_name, load_label_map


def values():
    volume = np.zeros((5, 6, 7), dtype=np.uint8)
    volume[3, 1, 2], volume[1, 4, 5] = 20, 22
    return volume


def write_nifti(path, volume, affine=None):
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1, 2, 3, 1.0]) if affine is None else affine), path)
    return path


def world_of(label_map, label):
    index = np.append(np.argwhere(label_map.values == label)[0], 1)
    return (label_map.ours_from_voxel @ index)[:3]


def test_nifti_world_becomes_front_left_up(tmp_path):
    affine = np.array([[-1, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1.0]])
    label_map = load_label_map(write_nifti(tmp_path / "a.nii.gz", values(), affine))
    # Voxel (3, 1, 2): R = 10 - 3, A = 20 + 2, S = 30 + 6.
    assert np.allclose(world_of(label_map, 20), [22, -7, 36])
    assert label_map.labels == [20, 22]


@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_nrrd_and_metaimage_agree_with_nifti(tmp_path, suffix):
    image = itk.image_from_array(np.ascontiguousarray(values().transpose(2, 1, 0)))
    image.SetSpacing([1.0, 2.0, 3.0])
    image.SetOrigin([5.0, -6.0, 7.0])
    image.SetDirection(itk.matrix_from_array(np.diag([-1.0, 1.0, 1.0])))
    for name in (f"a.{suffix}", "b.nii.gz"):
        itk.imwrite(image, str(tmp_path / name))
    first, second = load_label_map(tmp_path / f"a.{suffix}"), load_label_map(tmp_path / "b.nii.gz")
    for label in (20, 22):
        assert np.allclose(world_of(first, label), world_of(second, label), atol=1e-5)


def test_empty_maps_images_and_layers_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    cases = {
        "is empty": np.zeros((4, 4, 4), dtype=np.uint8),
        "fractions": rng.uniform(size=(4, 4, 4)).astype(np.float32),
        "at most 256": rng.integers(-1000, 1000, size=(12, 12, 12)).astype(np.int16),
        "three dimensions": np.ones((4, 4, 4, 2), dtype=np.uint8),
    }
    for index, (word, volume) in enumerate(cases.items()):
        with pytest.raises(InputError, match=word):
            load_label_map(write_nifti(tmp_path / f"{index}.nii.gz", volume))


def test_missing_and_broken_files_are_named(tmp_path):
    for name in ("x.nii.gz", "x.nrrd"):
        with pytest.raises(InputError, match=r"x\..*no such file, expected a label map"):
            load_label_map(tmp_path / name)
        (tmp_path / name).write_text("nonsense")
        with pytest.raises(InputError, match=r"x\..*cannot be read"):
            load_label_map(tmp_path / name)


def test_names_are_told_by_their_suffix(tmp_path):
    assert is_label_map_name(tmp_path / "a_msk.NII.GZ") and is_label_map_name(tmp_path / "a.seg.nrrd")
    assert not is_label_map_name(tmp_path / "a.stl")
