"""What makes a result out of date."""

import os

import pytest

from lumbar_ext.batch.study_key import are_still, input_files, settings_key


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ap").write_text("one")
    return {"ap": str(tmp_path / "ap"), "lat": str(tmp_path / "gone")}


def test_the_same_files_are_still_the_same_wherever_they_lie_and_whenever_they_were_touched(tmp_path, files):
    recorded = input_files(files)
    assert are_still(recorded, files)
    os.utime(files["ap"], ns=(1, 1))
    assert are_still(recorded, files)
    os.rename(files["ap"], tmp_path / "moved")
    assert not are_still(recorded, files)
    assert are_still(recorded, {**files, "ap": str(tmp_path / "moved")})


def test_other_content_of_the_same_size_a_new_file_and_a_new_role_are_seen(tmp_path, files):
    recorded = input_files(files)
    (tmp_path / "ap").write_text("two")
    assert not are_still(recorded, files)
    recorded = input_files(files)
    (tmp_path / "gone").write_text("back")
    assert not are_still(recorded, files)
    assert not are_still(recorded, {"ap": files["ap"]})


@pytest.mark.parametrize("odd", ["/dev/zero", "/proc/self/mem", "a\0b", "/"])
def test_odd_places_are_no_files_and_are_not_read(odd):
    assert input_files({"ap": odd})["ap"] == {"path": odd, "size": None, "mtime_ns": None, "sha256": None}
    assert are_still(input_files({"ap": odd}), {"ap": odd})


def test_the_settings_are_those_of_options_and_weights(tmp_path, monkeypatch):
    bundle = tmp_path / "lumbar_reconstruction"
    (bundle / "models").mkdir(parents=True)
    (bundle / "configs").mkdir()
    (bundle / "configs" / "inference.json").write_text("{}")
    (bundle / "models" / "model.pt").write_text("weights")
    monkeypatch.setenv("LUMBAR_EXT_BUNDLES", str(tmp_path))
    key = settings_key({})
    assert key == settings_key({}) != settings_key({"looks": 0})
    (bundle / "models" / "model.pt").write_text("WEIGHTS")
    assert settings_key({}) != key
