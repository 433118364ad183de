import json

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.evaluation_views import EvaluationViews, read_sets
from lumbar_ext.studies.findings import study_findings, study_subject


@pytest.fixture
def cohort(write_view_cohort, tmp_path):
    folder = write_view_cohort(tmp_path / "cohort", 2)
    meta = {"pathology": {"kind": "sacralised"}, "person_seed": 7, "split": "test"}
    (folder / "study_0001" / "truth" / "meta.json").write_text(json.dumps(meta))
    return folder


def test_every_view_knows_where_it_comes_from(cohort):
    views = EvaluationViews({"plain": cohort}, {"foreign": cohort}, limit=2)
    origins = [tuple(views[k][name] for name in ("set_name", "study", "view", "foreign")) for k in (0, 3, 4)]
    assert len(views) == 8
    assert origins[:2] == [("plain", "study_0000", "ap", False), ("plain", "study_0001", "lat", False)]
    assert origins[2] == ("foreign", "study_0000", "ap", True)
    assert views[0]["findings"] == "" and views[3]["findings"] == "four vertebrae (sacralised)"


@pytest.mark.parametrize(
    ("meta", "findings", "subject"),
    [
        ({"pathology": {"kind": "crush"}, "person_seed": 7, "split": "test"}, ("fractured",), "test-7"),
        ({"pathology": {"kind": "osteophytes"}, "subject_id": "x"}, ("osteophytes",), "x"),
        ({"pathology": None, "base": "verse1.nii.gz", "study_from_file": []}, (), "verse1.nii.gz"),
        ({"base": "vhp", "variation": "none", "person_seed": 3, "split": "test"}, (), "vhp"),
        ({}, (), "study_0001"),
    ],
)
def test_findings_and_subject_come_from_the_truths_meta_file(cohort, meta, findings, subject):
    study = cohort / "study_0001"
    (study / "truth" / "meta.json").write_text(json.dumps(meta))
    assert study_findings(study) == findings and study_subject(study) == subject


def test_sets_are_a_mapping_a_file_or_a_folder(cohort, tmp_path):
    (tmp_path / "sets.json").write_text(json.dumps({"a": str(cohort)}))
    assert read_sets(tmp_path / "sets.json") == read_sets({"a": cohort}) == {"a": cohort}
    assert read_sets(cohort) == {"cohort": cohort}
    with pytest.raises(InputError, match="JSON object"):
        read_sets(tmp_path / "nothing.json")


def test_no_set_and_a_name_twice_are_refused(cohort):
    with pytest.raises(InputError, match="at least one"):
        EvaluationViews({})
    with pytest.raises(InputError, match="stand in sets as well"):
        EvaluationViews({"a": cohort}, {"a": cohort})
