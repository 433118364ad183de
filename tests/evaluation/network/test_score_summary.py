import numpy as np
import pytest

from lumbar_ext.evaluation.network.score_summary import by_finding, by_set, of_view, summarise


def test_landmarks_are_pooled_and_images_averaged(evaluated_view):
    row = summarise([evaluated_view(1.0, dice=0.9, psnr_db=30.0), evaluated_view(5.0, dice=0.8, psnr_db=np.inf)])
    assert row.error_mm == pytest.approx(dict.fromkeys(row.error_mm, 3.0)) and len(row.error_mm) == 5
    assert row.dice == pytest.approx(0.85) and row.psnr_db == 30.0 and row.views == 2
    assert row.sdr["pedicle"] == (0.5, 0.5, 1.0)


def test_missed_vertebrae_are_failures_but_no_errors(evaluated_view):
    row = summarise([evaluated_view(1.0, missed_levels=[4])])
    assert row.error_mm["total"] == 1.0 and row.sdr["total"] == pytest.approx((0.8, 0.8, 0.8))
    assert (row.missed, row.wrong, row.miscounted) == (pytest.approx(0.2), 0, 1)


def test_views_are_grouped_by_set_view_and_finding(evaluated_view):
    views = [
        evaluated_view(set_name="b", findings=("four vertebrae", "scoliosis")),
        evaluated_view(set_name="a", view="lat", findings=("scoliosis",)),
        evaluated_view(set_name="b"),
    ]
    assert {name: len(members) for name, members in by_set(views).items()} == {"b": 2, "a": 1}
    counts = {name: len(members) for name, members in by_finding(views).items()}
    assert counts == {"no finding": 1, "four vertebrae": 1, "scoliosis": 2}
    assert of_view(views, "lat") == [views[1]]
