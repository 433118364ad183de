import json

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.shape.sources.shape_landmarks import pose_from_landmarks, read_shape_landmarks


def test_a_pose_is_recovered_from_some_landmarks(reference):
    own = reference.landmarks_mm(reference.surface.vertices_mm)
    pose = RigidTransform.from_euler(0.5, -1.2, 2.5, np.array([100.0, -40, 900]))
    given = dict(zip(LANDMARKS, pose.apply(own), strict=True))
    del given["superior_endplate"], given["left_pedicle"]
    found = pose_from_landmarks(given, own, "a")
    assert np.allclose(found.apply(own), pose.apply(own), atol=1e-6)


def test_a_mirrored_set_and_a_line_are_refused(reference):
    own = reference.landmarks_mm(reference.surface.vertices_mm)
    swapped = dict(zip(LANDMARKS, own[[0, 1, 3, 2, 5, 4, 6]], strict=True))
    with pytest.raises(InputError, match="swapped"):
        pose_from_landmarks(swapped, own, "a")
    line = {name: np.array([10.0 * i, 0, 0]) for i, name in enumerate(LANDMARKS[:3])}
    with pytest.raises(InputError, match="line"):
        pose_from_landmarks(line, own, "a")


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ("{", "not valid JSON"),
        ("[]", "found list"),
        (json.dumps({"nose": [0, 0, 0]}), "nose"),
        (json.dumps({"left_pedicle": [0, 0, 0]}), "too few"),
        (json.dumps({name: [0, 0] for name in LANDMARKS}), "three finite"),
        (json.dumps(dict.fromkeys(LANDMARKS, "here")), "three numbers"),
    ],
)
def test_unusable_files_are_named(tmp_path, document, word):
    (tmp_path / "l.json").write_text(document)
    with pytest.raises(InputError, match=word):
        read_shape_landmarks(tmp_path / "l.json")
