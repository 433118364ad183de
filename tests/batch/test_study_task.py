"""What a study of a cohort is given and what it leaves, without a bundle."""

from pathlib import Path

from lumbar_ext.batch import study_task
from lumbar_ext.batch.manifest import Study
from lumbar_ext.workflow import bundle_workflow
from lumbar_ext.workflow.stages import study_name


def test_a_study_of_a_cohort_goes_by_its_id_in_its_own_table_too(monkeypatch, tmp_path):
    """Not by the folder that it is written into: that is a hidden one until the study is whole."""
    given = []
    monkeypatch.setattr(bundle_workflow, "run_on", lambda workflow, item: given.append(item))
    monkeypatch.setattr(study_task._Reconstructor, "_loaded", lambda self: "a workflow")
    monkeypatch.setattr(study_task, "_write_thumbnail", lambda folder: None)
    monkeypatch.setattr(study_task, "flags_of", lambda folder: [])
    files = {"ap": "ap.png", "lat": "lat.png", "calibration": "calibration.json"}
    assert study_task._Reconstructor({})(Study("ward 3/A-17", files), tmp_path / "staging" / "new") == []
    assert study_name(given[0]) == "ward 3/A-17" and given[0]["output_dir"] == str(tmp_path / "staging" / "new")


def test_any_other_study_goes_by_its_folder_of_results(tmp_path, monkeypatch):
    assert study_name({"output_dir": str(tmp_path / "2026-03-04")}) == "2026-03-04"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert study_name({"output_dir": "."}) == Path.cwd().name == "here"
