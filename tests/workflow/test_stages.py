"""The walk on good and bad studies: equal studies give equal meshes, bad ones a clear error and no output."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.drr.bone_images import decomposition
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.io import write_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.volumes.volume_stages import VOLUME_FILES
from lumbar_ext.workflow.progress import Progress
from lumbar_ext.workflow.stages import INPUTS, STAGES, ReadStudy

MIRROR = np.array([1, -1, 1])
SAME_MM = 0.3


@pytest.fixture(scope="module")
def expected(reconstructed):
    """The output folder of the study as it is."""
    return reconstructed


@pytest.fixture
def copy(true_study, tmp_path):
    """The same study in a folder of the test's own."""
    shutil.copytree(true_study.folder, tmp_path / "study")
    return replace(true_study, folder=tmp_path / "study")


def document(output, name):
    return json.loads((output / f"{name}.json").read_text())


def assert_same_meshes(output, expected):
    """Corresponding corners are where they were, to what the registration's stopping rule leaves open."""
    for level in LEVELS:
        found, reference = (trimesh.load(path / f"{level}.stl", process=False).triangles for path in (output, expected))
        assert np.linalg.norm(found - reference, axis=-1).mean() < SAME_MM


def rewrite_calibration(study, change):
    path = study.folder / "calibration.json"
    content = json.loads(path.read_text())
    change(content["views"])
    path.write_text(json.dumps(content))


def test_a_mirrored_lateral_image_with_its_axes_gives_the_same_meshes(copy, reconstruct, expected, tmp_path):
    geometry = BiplanarGeometry(copy.geometry.ap.transposed(), copy.geometry.lat.flipped_u())
    pixels = {"ap": np.ascontiguousarray(copy.pixels["ap"].T), "lat": np.ascontiguousarray(copy.pixels["lat"][:, ::-1])}
    for view in VIEWS:
        write_png(copy.folder / f"{view}.png", pixels[view])
    write_calibration(geometry, copy.folder / "calibration.json")
    turned = replace(copy, pixels=pixels, geometry=geometry)
    reconstruct(turned, tmp_path / "out")
    assert_same_meshes(tmp_path / "out", expected)
    landmarks = read_landmarks(tmp_path / "out" / "landmarks.json")
    np.testing.assert_allclose(landmarks.positions_px["lat"], geometry.lat.project(turned.landmarks_mm), atol=0.05)


def test_a_lateral_image_from_the_right_gives_the_same_vertebrae(copy, reconstruct, expected, tmp_path):
    left = copy.geometry.lat
    mirrored = {name: getattr(left, name) * MIRROR for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis")}
    right = replace(left, **mirrored)
    bones = decomposition(copy.vertebrae, right)
    trunk = 20000 + 0.5 * copy.pixels["lat"]
    lateral = np.clip(trunk + 10000 * bones, 0, 65535).astype(np.uint16)
    geometry = BiplanarGeometry(copy.geometry.ap, right)
    write_png(copy.folder / "lat.png", lateral)
    write_calibration(geometry, copy.folder / "calibration.json")
    reconstruct(replace(copy, pixels={**copy.pixels, "lat": lateral}, geometry=geometry), tmp_path / "out")
    landmarks = read_landmarks(tmp_path / "out" / "landmarks.json")
    np.testing.assert_allclose(landmarks.positions_mm, copy.landmarks_mm, atol=0.1)
    for level in LEVELS:
        found, reference = (read_mesh(folder / f"{level}.stl")[0] for folder in (tmp_path / "out", expected))
        np.testing.assert_allclose(found.mean(0), reference.mean(0), atol=1.0)


def test_an_inverted_image_in_nifti_with_a_projection_matrix_gives_the_same_meshes(
    copy, reconstruct, expected, tmp_path
):
    write_png(copy.folder / "ap.png", 65535 - copy.pixels["ap"])
    spacing_mm = copy.geometry.lat.pixel_spacing_mm
    write_nifti_image(copy.folder / "lat.nii.gz", copy.pixels["lat"], spacing_mm)

    def as_matrix(views):
        matrix = copy.geometry.lat.projection_matrix().tolist()
        views["lat"] = {"projection_matrix": matrix, "size_px": views["lat"]["size_px"]}

    rewrite_calibration(copy, as_matrix)
    reconstruct(copy, tmp_path / "out", lat_image=str(copy.folder / "lat.nii.gz"))
    assert_same_meshes(tmp_path / "out", expected)


def test_dicom_files_of_two_patients_are_reconstructed_with_a_recorded_warning(
    copy, reconstruct, expected, write_dicom, tmp_path
):
    tags = {"ap": {"PatientID": "A", "StudyDate": "20240101"}, "lat": {"PatientID": "B", "StudyDate": "20240202"}}
    paths = {}
    for view in VIEWS:
        du, dv = copy.geometry[view].pixel_spacing_mm
        stored = {"ImagerPixelSpacing": [dv, du], **tags[view]}
        paths[f"{view}_image"] = str(write_dicom(copy.folder / f"{view}.dcm", copy.pixels[view], **stored))
    with pytest.warns(UserWarning, match="patient identifiers differ"):
        reconstruct(copy, tmp_path / "out", **paths)
    assert_same_meshes(tmp_path / "out", expected)
    recorded = " ".join(document(tmp_path / "out", "run")["warnings"])
    assert "patient identifiers differ" in recorded and "study dates differ" in recorded


def test_a_level_that_is_not_seen_is_reported_and_its_old_mesh_goes(true_study, reconstruct, expected, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(expected, output)
    (output / "notes.txt").write_text("mine")
    with pytest.warns(UserWarning, match="L5: not found in both views"):
        reconstruct(true_study, output, hidden=("L5",))
    assert {path.name for path in output.glob("*.stl")} == {"L1.stl", "L2.stl", "L3.stl", "L4.stl"}
    assert (output / "notes.txt").read_text() == "mine"
    for name in ("registration", "run"):
        assert document(output, name)["missing_levels"] == ["L5"]
        assert "neither view shows it" in document(output, name)["missing_reasons"]["L5"]
    naming = document(output, "registration")["levels"]
    assert naming["probability"] > 0.9 and set(naming["found"]) == {"L1", "L2", "L3", "L4"}
    assert "neither view shows it" in (output / "report.html").read_text()
    assert document(output, "landmarks")["vertebrae"]["L5"]["left_pedicle"]["position_mm"] is None


def test_nothing_found_is_an_error_and_leaves_the_output_as_it_was(true_study, reconstruct, tmp_path):
    (tmp_path / "L1.stl").write_text("older")
    reason = "no lumbar vertebra was found in both views \\(neither view shows it"
    with pytest.raises(InputError, match=rf"ap.png, .*lat.png: {reason}"):
        reconstruct(true_study, tmp_path, hidden=LEVELS)
    assert [path.name for path in tmp_path.iterdir()] == ["L1.stl"]


def set_view(view, **values):
    return lambda views: views[view].update(values)


def copy_direction(views):
    for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis"):
        views["lat"][name] = views["ap"][name]


def turn_source_round(views):
    """The lateral source beside its detector, on the far side of the person."""
    centre = np.array(views["lat"]["detector_origin_mm"])
    views["lat"]["source_mm"] = (2 * centre - np.array(views["lat"]["source_mm"])).tolist()


def swap_views(views):
    views["ap"], views["lat"] = views["lat"], views["ap"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda views: views.pop("lat"), "lat"),
        (lambda views: views["ap"].pop("source_mm"), "source_mm"),
        (set_view("ap", u_axis=[0, 2, 0]), "u_axis"),
        (set_view("ap", u_axis=[0, 0.8, -0.6], v_axis=[0, 0, -1]), "v_axis"),
        (set_view("lat", pixel_spacing_mm=[-0.8, 0.8]), "pixel_spacing_mm"),
        (set_view("lat", size_px=[400, 512]), "size_px"),
        (turn_source_round, "source"),
        (copy_direction, "parallel"),
        (swap_views, "ap"),
    ],
)
def test_a_bad_calibration_is_named(copy, reconstruct, tmp_path, change, message):
    rewrite_calibration(copy, change)
    with pytest.raises(InputError, match=message) as raised:
        reconstruct(copy, tmp_path / "out")
    assert "calibration.json" in str(raised.value)
    assert not (tmp_path / "out").exists()


BAD_IMAGES = {
    "constant": np.full((512, 512), 7, np.uint16),
    "turned size": np.zeros((512, 300), np.uint16) + np.arange(300, dtype=np.uint16),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_named(copy, reconstruct, tmp_path, name):
    write_png(copy.folder / "lat.png", BAD_IMAGES[name])
    with pytest.raises(InputError, match=r"lat\.png"):
        reconstruct(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pixels_that_are_not_numbers_are_refused(copy, reconstruct, tmp_path):
    pixels = copy.pixels["ap"].astype(np.float32)
    pixels[3, 4] = np.nan
    path = copy.folder / "ap.nii.gz"
    write_nifti_image(path, pixels, copy.geometry.ap.pixel_spacing_mm)
    with pytest.raises(InputError, match=r"ap\.nii\.gz: 1 of 262144 pixels are NaN"):
        reconstruct(copy, tmp_path / "out", ap_image=str(path))


def test_a_spacing_against_the_calibration_is_refused(copy, reconstruct, tmp_path):
    path = copy.folder / "ap.nii.gz"
    write_nifti_image(path, copy.pixels["ap"], (0.5, 0.5))
    with pytest.raises(InputError, match=r"ap\.nii\.gz: detector pixel spacing \[0\.5, 0\.5\]"):
        reconstruct(copy, tmp_path / "out", ap_image=str(path))


def test_colour_images_and_other_files_are_refused(copy, reconstruct, tmp_path):
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)).save(copy.folder / "ap.png")
    with pytest.raises(InputError, match=r"ap\.png.*(colour|channel)"):
        reconstruct(copy, tmp_path / "out")
    (copy.folder / "ap.png").write_text("not an image")
    with pytest.raises(InputError, match=r"ap\.png"):
        reconstruct(copy, tmp_path / "out")


@pytest.mark.parametrize("option", ["ap_image", "lat_image", "calibration", "output_dir"])
def test_a_path_that_is_not_given_is_named(true_study, reconstruct, tmp_path, option):
    with pytest.raises(InputError, match=f"--{option} is missing"):
        reconstruct(true_study, tmp_path, **{option: ""})


@pytest.mark.parametrize("option", ["ap_image", "lat_image", "calibration"])
def test_a_file_that_is_not_there_is_named(true_study, reconstruct, tmp_path, option):
    with pytest.raises(InputError, match=r"nowhere\.file"):
        reconstruct(true_study, tmp_path / "out", **{option: str(tmp_path / "nowhere.file")})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["/proc/lumbar", "{tmp}/file/out"])
def test_an_output_folder_that_cannot_be_written_is_named_before_any_work(true_study, reconstruct, tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    folder = place.format(tmp=tmp_path)
    with pytest.raises(InputError, match=f"{folder}: not usable as output folder"):
        reconstruct(true_study, folder, ap_image="not even read")


@pytest.mark.parametrize("option", ["landmarks_file", "volume_dir"])
def test_what_a_user_made_in_the_output_folder_is_not_written_over(tmp_path, option):
    """`OUT/landmarks.mrk.json`, corrected, or a volume, would be gone with the next run into `OUT`."""
    name = {"landmarks_file": "landmarks.mrk.json", "volume_dir": "run.json"}[option]
    own = tmp_path / name
    own.write_text("an hour's work")
    item = {**dict.fromkeys(INPUTS, "not even read"), "output_dir": str(tmp_path)}
    item[option] = str(own if option == "landmarks_file" else tmp_path)
    with pytest.raises(InputError, match=f"{own}: is read here, and results in {tmp_path} would take its place"):
        ReadStudy(Progress(len(STAGES)))(item)
    assert own.read_text() == "an hour's work" and list(tmp_path.iterdir()) == [own]


def test_each_command_heeds_the_files_that_it_writes(tmp_path):
    film = tmp_path / "volume.png"
    film.write_text("of a volume, or a radiograph's name")
    item = {**dict.fromkeys(INPUTS, "not even read"), "ap_image": str(film), "output_dir": str(tmp_path)}
    with pytest.raises(InputError, match=f"{film}: is read here"):
        ReadStudy(Progress(1), files=VOLUME_FILES)(item)
    with pytest.raises(InputError, match=f"{film}: not an image"):
        ReadStudy(Progress(1))(item)
    (tmp_path / "volume.json").touch()
    with pytest.raises(InputError, match=r"holds a volume \(volume\.json\)"):
        ReadStudy(Progress(1))(item)


def test_a_folder_name_of_digits_is_a_path(true_study, reconstruct, tmp_path, monkeypatch):
    """The command line parser hands `--output_dir 2024` over as a number."""
    monkeypatch.chdir(tmp_path)
    reconstruct(true_study, tmp_path, output_dir=2024)
    assert (tmp_path / "2024" / "L1.stl").is_file()
