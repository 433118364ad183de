import json

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.build import PUBLIC_COHORT
from lumbar_ext.shape.sources.cohort_file import load_cohort

SHAPE = {"name": "a_L3", "subject": "a", "level": "L3", "file": "a.stl", "split": "train"}


def write(path, shapes, **changes):
    path.write_text(json.dumps({"reference": "a_L3", "size_subject": "a", "shapes": shapes} | changes))
    return path


def test_the_public_cohort_is_valid_and_keeps_the_test_subjects_apart():
    cohort = load_cohort(PUBLIC_COHORT)
    splits = {}
    for shape in cohort.shapes:
        splits.setdefault(shape.subject, set()).add(shape.split)
    assert all(len(found) == 1 for found in splits.values())
    assert splits["verse014"] == {"test"}


def test_the_owner_of_the_sacrum_is_of_the_training_side_but_in_no_statistic():
    cohort = load_cohort(PUBLIC_COHORT)
    owner = cohort.shape(cohort.background["l5"]).subject
    own = [shape for shape in cohort.shapes if shape.subject == owner]
    assert {(shape.split, shape.weight) for shape in own} == {("train", 0.0)}
    assert owner in cohort.training_bases


def test_defaults_are_filled(tmp_path):
    shape = load_cohort(write(tmp_path / "c.json", [SHAPE])).shape("a_L3")
    assert (shape.unit, shape.weight, shape.level_index) == ("auto", 1.0, 2)


@pytest.mark.parametrize(
    ("shapes", "changes", "word"),
    [
        ([SHAPE | {"level": "L6"}], {}, "level"),
        ([SHAPE | {"colour": "red"}], {}, "unknown keys"),
        ([SHAPE, SHAPE], {}, "unique"),
        ([SHAPE], {"reference": "b"}, "reference"),
        ([{"name": "a_L3"}], {}, "missing"),
        ([SHAPE | {"weight": -1}], {}, "negative"),
        ([SHAPE], {"training_bases": ["b"]}, "training_bases"),
        ([], {"reference": None, "size_subject": None}, "no shapes"),
    ],
)
def test_mistakes_are_named(tmp_path, shapes, changes, word):
    with pytest.raises(InputError, match=word):
        load_cohort(write(tmp_path / "c.json", shapes, **changes))


def test_reference_and_size_subject_may_be_left_to_the_build(tmp_path):
    cohort = load_cohort(write(tmp_path / "c.json", [SHAPE], reference=None, size_subject=None))
    assert cohort.reference is cohort.size_subject is None
