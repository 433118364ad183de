"""The command's own walk, with a network that answers by formula: five balls for vertebrae in water."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
import trimesh
from monai.bundle import ConfigWorkflow
from torch import nn

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.geometry.axes import world_from_lps
from lumbar_ext.io.volume import read_volume
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.transforms.field_views import POSITION_MM, FieldViews
from lumbar_ext.transforms.tissue import HU_WINDOW, NO_HU, NOT_SEEN_LABEL, TISSUES
from lumbar_ext.volumes.volume_stages import VOLUME_FILES
from lumbar_ext.workflow.error_reporting import input_error_behind

BUNDLE = Path(__file__).parents[2] / "bundles" / "lumbar_reconstruction"
CENTRES_MM = {level: np.array([4.0 * index, -3.0 * index, 60.0 - 30 * index]) for index, level in enumerate(LEVELS)}
RADIUS_MM = 14.0


class Balls(nn.Module):
    """A ball for each level that it knows; bone is 300 HU, water 0.

    Args:
        middle_mm: [3] of which positions are told.
        levels: which it knows.
    """

    def __init__(self, middle_mm, levels=LEVELS):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.middle, self.levels = torch.from_numpy(middle_mm).float(), levels

    def encoder(self, image, views):
        return [image]

    def decode(self, features, places, positions, guides):
        points = positions * POSITION_MM + self.middle
        logits = torch.zeros(*positions.shape[:2], len(TISSUES))
        logits[..., TISSUES.index("soft_tissue")] = 1
        for level in self.levels:
            inside = (points - torch.from_numpy(CENTRES_MM[level]).float()).norm(dim=-1) < RADIUS_MM
            logits[..., TISSUES.index(level)] = 2.0 * inside
        low, high = HU_WINDOW
        share = (300.0 * (logits.argmax(-1, keepdim=True) > 3) - low) / (high - low)
        return torch.cat([share, logits], -1)


@pytest.fixture(scope="module")
def middle_mm(true_study):
    files = true_study.inputs("")
    study = read_study(files["ap_image"], files["lat_image"], files["calibration"])
    return FieldViews.of({view: study[view].pixels for view in ("ap", "lat")}, study.geometry).middle_mm


@pytest.fixture(scope="module")
def run(true_study, middle_mm):
    """A function that runs the bundle with such a network."""

    def run(output_dir, levels=LEVELS, **overrides):
        workflow = ConfigWorkflow(
            config_file=str(BUNDLE / "configs" / "volume_inference.json"),
            meta_file=str(BUNDLE / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="infer",
            bundle_root=str(BUNDLE),
            **{
                "network": Balls(middle_mm, levels),
                "volume_weights": __file__,
                **true_study.inputs(output_dir),
                **overrides,
            },
        )
        try:
            workflow.initialize()
            workflow.run()
            workflow.finalize()
        except Exception as error:
            raise input_error_behind(error) or error from None

    return run


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("volume") / "out"
    run(folder)
    return folder


def test_all_files_are_there_and_no_others(written):
    assert sorted(path.name for path in written.iterdir()) == sorted(VOLUME_FILES)


def test_meshes_are_the_balls_where_they_are(written):
    for level, centre in CENTRES_MM.items():
        in_lps, _ = read_mesh(written / f"{level}.ply")
        distance = np.linalg.norm(world_from_lps(in_lps) - centre, axis=1)
        assert np.abs(distance - RADIUS_MM).max() < 1.0 and abs(distance.mean() - RADIUS_MM) < 0.3


def test_viewers_find_meshes_and_labels_in_one_place(written):
    image = nibabel.load(written / "labels.nii.gz")
    for level in LEVELS:
        voxels = np.argwhere(np.asarray(image.dataobj) == VERSE_LABELS[level])
        ras = voxels @ image.affine[:3, :3].T + image.affine[:3, 3]
        mesh = trimesh.load(written / f"{level}.ply")
        np.testing.assert_allclose(mesh.center_mass, ras.mean(0) * [-1, -1, 1], atol=0.2)


def test_volumes_hold_tissues_and_ct_numbers_in_the_person_s_frame(written):
    labels, values = read_volume(written / "labels.nii.gz"), read_volume(written / "volume.nii.gz")
    for level, centre in CENTRES_MM.items():
        index = np.argwhere(labels.values == VERSE_LABELS[level])
        places = index @ labels.world_from_voxel[:3, :3].T + labels.world_from_voxel[:3, 3]
        np.testing.assert_allclose(places.mean(0), centre, atol=0.2)
        assert (values.values[tuple(index.T)] == 300).all()
    assert labels.spacing_mm == pytest.approx([1.5] * 3)


def test_the_document_tells_what_there_is(written):
    document = json.loads((written / "volume.json").read_text())
    ball_ml = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    assert all(document["volumes_ml"][level] == pytest.approx(ball_ml, rel=0.03) for level in LEVELS)
    assert document["missing_levels"] == {} and document["mean_hu"]["L3"] == 300
    assert 0 <= document["unexplained"]["ap"] <= 1
    assert json.loads((written / "run.json").read_text())["inputs"].keys() == {"ap_image", "lat_image", "calibration"}


def test_a_level_that_is_not_there_has_no_mesh_and_old_ones_go(run, tmp_path):
    (tmp_path / "L2.ply").write_text("of an earlier run")
    with pytest.warns(UserWarning, match="L2: its label fills 0 mm3"):
        run(tmp_path, levels=("L1", "L3", "L4", "L5"))
    assert not (tmp_path / "L2.ply").exists() and (tmp_path / "L3.ply").exists()


def test_voxels_out_of_view_are_marked(run, tmp_path):
    run(tmp_path, box=[-20, -20, -20, 20, 20, 620], voxel_mm=4.0)
    labels, values = (read_volume(tmp_path / name).values for name in ("labels.nii.gz", "volume.nii.gz"))
    assert 0.05 < (labels == NOT_SEEN_LABEL).mean() < 0.95
    np.testing.assert_array_equal(labels == NOT_SEEN_LABEL, values == NO_HU)
    document = json.loads((tmp_path / "volume.json").read_text())
    assert document["seen_share"] == pytest.approx((labels != NOT_SEEN_LABEL).mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"box": [0, 0, 5000, 50, 50, 5100]}, InputError, "no voxel is seen"),
        ({"box": [-4000, -4000, -4000, 4000, 4000, 4000], "voxel_mm": 0.5}, InputError, "GB of memory"),
        ({"box": [1, 2, 3]}, InputError, "box: expected least x, y, z"),
        ({"voxel_mm": 0.01}, InputError, "voxel_mm"),
        ({"levels": ()}, NothingUsableError, "no lumbar vertebra"),
        ({"calibration": "none.json"}, InputError, "none.json"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left(run, tmp_path, wrong, error, message):
    folder = tmp_path / "out"
    with pytest.raises(error, match=message):
        run(folder, **wrong)
    assert not folder.exists() or not any(folder.iterdir())


def test_one_film_twice_is_refused(run, tmp_path, true_study):
    with pytest.raises(InputError, match="both views"):
        run(tmp_path, lat_image=true_study.inputs("")["ap_image"])


def test_a_volume_and_a_reconstruction_do_not_share_a_folder(run, reconstruct, true_study, tmp_path):
    """Both have a run.json and meshes L1 to L5."""
    volume, meshes = tmp_path / "volume", tmp_path / "meshes"
    for folder, mark in ((volume, "volume.json"), (meshes, "registration.json")):
        folder.mkdir()
        (folder / mark).write_text("{}")
    with pytest.raises(InputError, match=r"meshes: holds a reconstruction \(registration\.json\)"):
        run(meshes)
    with pytest.raises(InputError, match=r"volume: holds a volume \(volume\.json\)"):
        reconstruct(true_study, volume)
    assert [len(list(folder.iterdir())) for folder in (volume, meshes)] == [1, 1]
