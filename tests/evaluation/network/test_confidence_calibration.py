from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.confidence_calibration import (
    diagram,
    fit_calibration,
    fit_confidence_calibration,
    fit_monotone,
    read_landmark_rows,
)
from lumbar_ext.evaluation.network.evaluated_view import LandmarkRow, write_table


def rows(studies=20, seed=0):
    """Landmarks whose error is below 4 mm with the probability score squared."""
    rng = np.random.default_rng(seed)
    made = []
    for study in range(studies):
        for view in VIEWS:
            for level in LEVELS:
                for name in LANDMARKS:
                    score = float(rng.uniform())
                    error = float(rng.uniform(0, 4) if rng.uniform() < score**2 else rng.uniform(4, 9))
                    made.append(LandmarkRow("a", f"s{study}", view, level, name, True, False, 0.8, score, error))
    return made


def test_a_fit_recovers_the_probability():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, 20000)
    fitted = fit_monotone(scores, rng.uniform(0, 1, 20000) < scores**2)
    x = np.linspace(0.1, 0.9, 9)
    assert np.abs(fitted(x) - x**2).max() < 0.06


def test_scores_against_the_outcome_give_a_flat_map_and_nothing_is_certain():
    scores = np.linspace(0, 1, 100)
    assert np.ptp(fit_monotone(scores, scores < 0.5).probabilities) < 0.05
    assert fit_monotone(scores, np.ones(100, bool)).probabilities.max() == 0.99
    assert fit_monotone(np.full(50, 0.3), np.arange(50) % 2).probabilities == pytest.approx([0.5])


def test_left_and_right_share_a_map():
    calibration = fit_calibration(rows())
    for view in VIEWS:
        maps = calibration.landmarks[view]
        assert maps["left_pedicle"].probabilities.tolist() == maps["right_pedicle"].probabilities.tolist()
    assert calibration.vertebrae["ap"](0.8) == pytest.approx(0.99)


def test_wrong_levels_lower_the_vertebras_confidence():
    wrong = [replace(row, wrong_level=row.level == "L1") for row in rows(10)]
    assert fit_calibration(wrong).vertebrae["lat"](0.8) == pytest.approx(0.8, abs=0.02)


def test_the_commands_fit_and_draw(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for name, seed in (("validation", 0), ("test", 1)):
        (tmp_path / name).mkdir()
        made = rows(40, seed=seed)
        write_table(tmp_path / name / "landmarks.csv", list(vars(made[0])), map(vars, made))
    assert read_landmark_rows(tmp_path / "test" / "landmarks.csv")[0].study == "s0"
    fit_confidence_calibration(str(tmp_path / "validation" / "landmarks.csv"), str(tmp_path / "confidence.json"))
    files = {"calibration": str(tmp_path / "confidence.json"), "output": str(tmp_path / "r.png")}
    diagram(str(tmp_path / "test" / "landmarks.csv"), **files)
    table = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[0] for row in table] == ["| a, AP", "| a, LAT"]
    assert max(float(row[2]) for row in table) < 0.06 < 0.12 < min(float(row[1]) for row in table)
    with pytest.raises(InputError, match="set_name 'b': expected one of a"):
        diagram(str(tmp_path / "test" / "landmarks.csv"), **files, set_name="b")


def test_another_csv_is_refused(tmp_path):
    (tmp_path / "landmarks.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"landmarks\.csv"):
        read_landmark_rows(tmp_path / "landmarks.csv")
    with pytest.raises(InputError, match="found none"):
        fit_calibration([])
