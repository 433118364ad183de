import json

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.cross_validation import fold_row, fold_table, subject_folds
from lumbar_ext.studies.findings import study_subject


@pytest.fixture
def studies(tmp_path):
    """Seven people; the first has six studies, the others two."""
    made = []
    for person, count in enumerate([6, 2, 2, 2, 2, 2, 2]):
        for number in range(count):
            study = tmp_path / f"s{person}_{number}"
            (study / "truth").mkdir(parents=True)
            (study / "truth" / "meta.json").write_text(json.dumps({"subject_id": f"p{person}"}))
            made.append(study)
    return made


def test_no_person_is_in_two_folds_and_none_is_lost(studies):
    parts = subject_folds(studies, 3)
    assert sorted(study for part in parts for study in part) == studies
    people = [{study_subject(study) for study in part} for part in parts]
    assert sum(map(len, people)) == len(set.union(*people)) == 7
    assert sorted(map(len, parts)) == [6, 6, 6]


def test_the_split_depends_on_the_seed_alone(studies):
    assert subject_folds(studies, 3) == subject_folds(list(reversed(studies)), 3)
    assert subject_folds(studies, 3) != subject_folds(studies, 3, seed=1)


@pytest.mark.parametrize("folds", [1, 8])
def test_more_folds_than_people_are_refused(studies, folds):
    with pytest.raises(InputError, match="2 to 7"):
        subject_folds(studies, folds)


def test_the_table_holds_means_and_every_fold():
    table = fold_table([{"fold": "1", "ap_dice": 0.8}, {"fold": "2", "ap_dice": 0.9}])
    assert "| ap_dice | 0.850 ± 0.071 | 0.800 | 0.900 |" in table
    assert fold_row({"ap": None, "lat": None}) == {}
