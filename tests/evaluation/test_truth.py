"""The truth of a study, as the registration would get it from a perfect network."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.truth import ObserveTruth, set_items, study_items, true_surfaces
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.landmarks.study_landmarks import read_landmarks, write_landmarks
from lumbar_ext.radiographs.nifti import read_nifti_image, write_nifti_image
from lumbar_ext.studies.biplanar_study import read_study


def observed(true_study, folder):
    inputs = true_study.inputs("out")
    study = read_study(inputs["ap_image"], inputs["lat_image"], inputs["calibration"])
    return ObserveTruth()({"study": study, "truth_dir": str(folder / "truth")})["observed"]


def test_the_observed_study_is_the_true_one(true_study):
    seen = observed(true_study, true_study.folder)
    for view in VIEWS:
        expected_px = seen.geometry[view].project(true_study.landmarks_mm)
        np.testing.assert_allclose(seen.decoded[view].landmarks_px, expected_px, atol=1e-3)
        assert seen.decoded[view].present.all() and (seen.decoded[view].landmark_confidence == 1).all()
        bone = seen.decompositions[view] > 0
        centres = np.rint(seen.decoded[view].centres_px).astype(int)
        assert bone[centres[:, 1], centres[:, 0]].all() and not bone[:, 0].any()


def test_a_decomposition_of_another_size_is_refused(true_study, tmp_path):
    shutil.copytree(true_study.folder, tmp_path / "study")
    write_nifti_image(tmp_path / "study" / "truth" / "decomposition_lat.nii.gz", np.zeros((8, 9), np.float32), (1, 1))
    with pytest.raises(InputError, match=r"decomposition_lat.*\(8, 9\) pixels, expected \(512, 512\)"):
        observed(true_study, tmp_path / "study")


def test_of_a_larger_film_the_part_about_the_vertebrae_is_seen(true_study, tmp_path):
    """The same study on films with 300 rows more above and 200 columns more at the left: the same truth in the same places."""
    small = observed(true_study, true_study.folder)
    folder = tmp_path / "study"
    shutil.copytree(true_study.folder, folder)
    study = read_study(*(true_study.inputs("")[name] for name in ("ap_image", "lat_image", "calibration")))
    rows, columns = 300, 200
    films, cameras = [], {}
    landmarks = read_landmarks(folder / "truth" / "landmarks.json")
    for view in VIEWS:
        camera = study.geometry[view]
        du, dv = camera.pixel_spacing_mm
        size = (camera.size_px[0] + columns, camera.size_px[1] + rows)
        origin = camera.detector_origin_mm - columns * du * camera.u_axis - rows * dv * camera.v_axis
        cameras[view] = camera.replace(detector_origin_mm=origin, size_px=size)
        films.append(replace(study[view], pixels=np.pad(study[view].pixels, ((rows, 0), (columns, 0)))))
        path = folder / "truth" / f"decomposition_{view}.nii.gz"
        write_nifti_image(path, np.pad(read_nifti_image(path)[0], ((rows, 0), (columns, 0))), (du, dv))
        landmarks.positions_px[view][:] += [columns, rows]
    write_landmarks(folder / "truth" / "landmarks.json", landmarks)
    larger = replace(study, ap=films[0], lat=films[1], geometry=BiplanarGeometry(cameras["ap"], cameras["lat"]))
    seen = ObserveTruth()({"study": larger, "truth_dir": str(folder / "truth")})["observed"]
    for view in VIEWS:
        assert seen.decompositions[view].shape == (512, 512)
        expected_px = seen.geometry[view].project(true_study.landmarks_mm)
        np.testing.assert_allclose(seen.decoded[view].landmarks_px, expected_px, atol=1e-3)
        assert seen.decompositions[view].sum() == pytest.approx(small.decompositions[view].sum(), rel=1e-3)


def test_true_surfaces_are_those_of_the_study(true_study):
    surfaces = true_surfaces(true_study.folder / "truth")
    for level, vertebra in zip(LEVELS, true_study.vertebrae, strict=True):
        np.testing.assert_allclose(surfaces[level].vertices_mm.max(0), vertebra.vertices_mm.max(0), atol=1e-3)


def test_every_study_of_a_cohort_is_listed(true_study, tmp_path):
    (item,) = study_items(true_study.folder.parent, tmp_path)
    assert item["output_dir"] == str(tmp_path / "study") and item["truth_dir"] == str(true_study.folder / "truth")
    assert {name: item[name] for name in ("ap_image", "lat_image", "calibration")} == {
        name: path for name, path in true_study.inputs(tmp_path).items() if name != "output_dir"
    }
    with pytest.raises(InputError, match="holds no study"):
        study_items(tmp_path, tmp_path)


def test_sets_are_listed_by_name_and_thinned(tmp_path):
    for name, studies in (("a", 5), ("b", 1)):
        for index in range(studies):
            folder = tmp_path / name / f"study_{index}"
            folder.mkdir(parents=True)
            (folder / "calibration.json").touch()
    sets = {"healthy": tmp_path / "a", "ill": tmp_path / "b"}
    items = set_items(sets, tmp_path, ("radiographs",), limit=2, every={"healthy": 2})
    found = [(item["set_name"], item["ap_image"].split("/")[-2]) for item in items]
    assert found == [("healthy", "study_0"), ("healthy", "study_2"), ("ill", "study_0")]
    with pytest.raises(InputError, match="at least one name"):
        set_items({}, tmp_path, ("radiographs",))
