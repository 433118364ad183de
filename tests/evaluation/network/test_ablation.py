import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.ablation import VARIANTS, ablation_rows, schedule
from lumbar_ext.evaluation.network.score_summary import Summary


def summary(dice, error_mm):
    sdr = {"endplate": (1.0, 1.0, 1.0)}
    return Summary(2, dice, 40.0, 0.9, 30.0, 0.8, {"total": error_mm}, sdr, 0.0, 0.0, 0.0)


def test_the_single_task_row_joins_images_of_one_network_and_landmarks_of_the_other():
    found = {name: {"ap": summary(0.9, 2.0), "lat": None} for name in VARIANTS}
    found["decomposition_only"] = {"ap": summary(0.8, 99.0), "lat": summary(0.7, 99.0)}
    found["landmarks_only"] = {"ap": summary(0.0, 3.0), "lat": summary(0.0, 4.0)}
    rows = ablation_rows(found)
    assert list(rows) == ["full, simulated", "no FFM, simulated", "no L1 term, simulated", "single task, simulated"]
    assert rows["single task, simulated"]["lat"] == summary(0.7, 4.0)


def test_every_variant_trains_the_same_number_of_iterations():
    entries = schedule(200)
    assert entries["max_epochs"] * entries["epoch_length"] == 200
    with pytest.raises(InputError, match="multiple of 10"):
        schedule(15)
