import csv

import numpy as np

from lumbar_ext.evaluation.network.evaluated_view import landmark_rows, write_landmarks_csv, write_views_csv


def test_a_missed_vertebra_keeps_its_rows_without_numbers(evaluated_view):
    rows = landmark_rows(evaluated_view(2.0, missed_levels=[0]))
    assert len(rows) == 35 and [row.seen for row in rows[:8]] == [False] * 7 + [True]
    assert np.isnan(rows[0].error_mm) and np.isnan(rows[0].raw_confidence) and rows[7].error_mm == 2.0


def test_files_hold_one_row_a_view_and_one_a_landmark(evaluated_view, tmp_path):
    views = [evaluated_view(findings=("fused", "scoliosis"), dice=0.123456789), evaluated_view(view="lat")]
    write_views_csv(tmp_path / "views.csv", views)
    write_landmarks_csv(tmp_path / "landmarks.csv", views)
    first, second = csv.DictReader((tmp_path / "views.csv").open())
    assert (first["findings"], first["dice"], second["view"]) == ("fused; scoliosis", "0.12346", "lat")
    assert len(list(csv.DictReader((tmp_path / "landmarks.csv").open()))) == 70
