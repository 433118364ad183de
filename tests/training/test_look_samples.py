import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import read_mesh, read_stl_of_topology, read_stored_mesh, write_stl
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.training.first_pass import FirstPassErrors
from lumbar_ext.training.look_samples import LookDataset, RandLook, read_records
from lumbar_ext.transforms.look import total_picture
from tests.simulated_study import BUNDLE

NO_ERRORS = FirstPassErrors(
    common_mm=0,
    shift_mm=0,
    turn_deg=0,
    size=0,
    bump_mm=0,
    model_share=0,
    missing=0,
    astray=0,
    displaced=0,
    level_off=0,
)
STILL = {"errors": NO_ERRORS, "warped_share": 0.0, "mirror_probability": 0.0}


@pytest.fixture(scope="module")
def shape_model():
    return VertebraShapeModel.load(BUNDLE / "models" / "model.pt")


@pytest.fixture(scope="module")
def records(true_study, shape_model):
    return {record.view: record for record in read_records(true_study.folder, level_shapes(shape_model))}


def samples(shape_model, record, **options):
    transform = RandLook(shape_model, **options)
    transform.set_random_state(0)
    return transform(record)


def test_meshes_are_those_of_the_files_in_the_order_of_the_model(records, true_study):
    for level in LEVELS:
        vertices, _ = read_mesh(true_study.folder / "truth" / f"{level}.stl")
        own = records["ap"].vertebrae[level].vertices_mm
        np.testing.assert_array_equal(np.unique(own, axis=0), vertices)


@pytest.mark.parametrize("view", VIEWS)
def test_the_label_is_the_true_decomposition_of_the_crop(records, shape_model, true_study, view):
    """Against the file that the simulator wrote: some window of it, to the pixel."""
    sample = samples(shape_model, records[view], **STILL, shift_px=0.0)
    total = total_picture(sample["label"].numpy())
    truth, _ = read_nifti_image(true_study.folder / "truth" / f"decomposition_{view}.nii.gz")
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(truth, 150), total.shape)
    row, column = np.unravel_index(np.argmax(truth), truth.shape)
    inner_row, inner_column = np.unravel_index(np.argmax(total), total.shape)
    window = windows[row - inner_row + 150, column - inner_column + 150]
    np.testing.assert_allclose(total, window, atol=1e-3)


def test_without_errors_the_network_is_shown_the_truth(records, shape_model):
    sample = samples(shape_model, records["lat"], **STILL)
    torch.testing.assert_close(sample["image"][1:3], sample["label"], atol=1e-4, rtol=0)
    assert (sample["image"][3] == 1).all() and sample["view"] == "lat"


@pytest.mark.parametrize("warped", [0.0, 1.0])
def test_radiograph_and_truth_of_a_sample_show_the_same_place(records, shape_model, warped):
    """Bone is bright: its upper and lower rims stand at the same rows of radiograph and picture."""
    options = {**STILL, "warped_share": warped}
    sample = samples(shape_model, records["ap"], **options)
    radiograph, total = sample["image"][0].numpy(), total_picture(sample["label"].numpy())
    rims = np.gradient(radiograph, axis=0).ravel()
    scores = {
        shift: np.corrcoef(np.gradient(np.roll(total, shift, axis=0), axis=0).ravel(), rims)[0, 1]
        for shift in range(-6, 7)
    }
    assert abs(max(scores, key=scores.get)) <= 1


def test_only_ap_views_are_mirrored_and_everything_with_them(records, shape_model):
    options = {"errors": NO_ERRORS, "warped_share": 0.0}
    for view in VIEWS:
        plain = samples(shape_model, records[view], **options, mirror_probability=0.0)
        mirrored = samples(shape_model, records[view], **options, mirror_probability=1.0)
        for key in ("image", "label"):
            expected = torch.flip(plain[key], [-1]) if view == "ap" else plain[key]
            torch.testing.assert_close(mirrored[key], expected)


def test_errors_are_drawn_anew_for_training_and_fixed_for_validation(records, shape_model):
    training, validation = RandLook(shape_model), RandLook(shape_model, fixed_seed=0)
    for transform, same in ((training, False), (validation, True)):
        first, second = transform(records["ap"])["image"], transform(records["ap"])["image"]
        assert torch.equal(first, second) == same


@pytest.fixture
def stored(true_study, tmp_path):
    """Results of a registration: the truth without L3, all 2 mm to the front."""
    folder = tmp_path / "passes" / true_study.folder.name
    folder.mkdir(parents=True)
    for level in (level for level in LEVELS if level != "L3"):
        vertices, triangles = read_stored_mesh(true_study.folder / "truth" / f"{level}.stl")
        write_stl(folder / f"{level}.stl", vertices + np.float32([2, 0, 0]), triangles)
    return folder


def test_a_stored_first_pass_is_shown_as_it_was_left(true_study, shape_model, stored):
    """Its lateral picture stands 2 mm, magnified, in front of the true one, which stays the target, and L3 is not in it."""
    data = LookDataset([true_study.folder], shape_model, first_passes_dir=str(stored.parent))
    record = next(record for record in data.data if record.view == "lat")
    assert sorted(record.first_pass_mm) == ["L1", "L2", "L4", "L5"]
    sample = samples(shape_model, record, **STILL, stored_share=1.0)
    made_up = samples(shape_model, record, **STILL, stored_share=0.0)
    torch.testing.assert_close(made_up["image"][1:3], made_up["label"], atol=1e-4, rtol=0)
    shown, true = sample["image"][2].numpy(), sample["label"][1].numpy()  # L2 and L4
    columns = np.arange(true.shape[1])
    apart_px = [own.sum(0) @ columns / own.sum() for own in (shown, true)]
    magnified = record.camera.magnification(record.vertebrae["L4"].vertices_mm.mean(0))[0]
    toward_front = np.sign(record.camera.project(np.array([[1.0, 0, 0], [0.0, 0, 0]])) @ [1, 0] @ [1, -1])
    expected = 2 * abs(float(magnified)) / record.camera.pixel_spacing_mm[0]
    assert toward_front * (apart_px[0] - apart_px[1]) == pytest.approx(expected, rel=0.05)
    assert sample["image"][1].sum() < 0.8 * sample["label"][0].sum(), "L3 was lost"


def test_a_folder_without_results_of_the_studies_is_refused(true_study, shape_model, tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}.*{true_study.folder.name}"):
        LookDataset([true_study.folder], shape_model, first_passes_dir=str(tmp_path))


def test_unusable_studies_are_left_out(true_study, shape_model, tmp_path, caplog):
    caplog.set_level("WARNING")
    (tmp_path / "broken").mkdir()
    data = LookDataset([tmp_path / "broken", true_study.folder], shape_model, repeats=2)
    assert len(data) == 4 and "broken" in caplog.text
    with pytest.raises(InputError, match="none of 1"):
        LookDataset([tmp_path / "broken"], shape_model)


def test_crops_must_fit_the_network(shape_model):
    with pytest.raises(InputError, match="multiples of 16"):
        RandLook(shape_model, size_px=(352, 200))


def test_meshes_of_another_topology_are_refused(true_study, shape_model, tmp_path):
    triangles = shape_model.triangles.numpy()
    path = true_study.folder / "truth" / "L1.stl"
    with pytest.raises(InputError, match="do not meet"):
        read_stl_of_topology(path, triangles[::-1].copy())
    with pytest.raises(InputError, match="expected a binary STL"):
        read_stl_of_topology(path, triangles[:-1])
    with pytest.raises(InputError, match="no such mesh"):
        read_stl_of_topology(tmp_path / "L1.stl", triangles)
