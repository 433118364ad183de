"""The same picture gives the same meshes, with the shipped networks, from the radiographs to the end of the second look."""

import numpy as np
import pytest

from benchmarks.same_picture import LAW_MM, VARIANTS, Reconstructor, study_files
from lumbar_ext.anatomy import LEVELS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.workflow.second_look import movement_mm

SAMPLE = bundle_dir(RECONSTRUCTION) / "sample"


@pytest.fixture(scope="module")
def run():
    return Reconstructor()


@pytest.fixture(scope="module")
def before(run):
    """The sample study as it is."""
    result = run(study_files(SAMPLE))["pred"]
    assert result.levels == LEVELS and len(result.looks) == 1
    return result


@pytest.fixture
def moved_mm(run, before, tmp_path):
    """A function from the name of a variant to how far each vertebra moves, on average over its vertices."""

    def moved(name):
        found = movement_mm(before, run(VARIANTS[name](SAMPLE, tmp_path))["pred"])
        assert set(found) == set(LEVELS)
        return np.array(list(found.values()))

    return moved


@pytest.mark.parametrize("container", ["dicom", "nifti"])
def test_another_container_moves_nothing(moved_mm, container):
    assert moved_mm(container).max() < 1e-6


@pytest.mark.parametrize("variant", ["one_grey_value", "finer_detector"])
def test_a_grey_value_and_a_finer_detector_move_each_vertebra_by_less_than_the_law_allows(moved_mm, variant):
    """Two pictures that differ hardly, but do: what moves nothing was not another picture."""
    assert 0 < moved_mm(variant).max() < LAW_MM
