import pytest
import torch
from ignite.exceptions import NotComputableError

from lumbar_ext.errors import InputError
from lumbar_ext.losses.field_loss import field_target
from lumbar_ext.metrics.field_metric import FieldMetric
from lumbar_ext.transforms.tissue import HU_WINDOW, TISSUES

L2, L3 = TISSUES.index("L2"), TISSUES.index("L3")


def value(field, found, true, hu=0.0, true_hu=0.0, structure=1.0):
    metric = FieldMetric(field, structure)
    low, high = HU_WINDOW
    logits = torch.nn.functional.one_hot(torch.tensor(found), len(TISSUES)).float()
    share = torch.full((len(found), 1), (hu - low) / (high - low))
    target = field_target(torch.full((len(true),), true_hu), torch.tensor(true))
    metric.update((torch.cat([share, logits], -1)[None], target[None]))
    return metric.compute()


def test_where_nothing_is_known_nothing_counts():
    assert value("score", [L2, L2, 0], [L2, len(TISSUES), 0]) == 1 and value("score", [L2, L2, 0], [L2, 0, 0]) < 1


def test_the_score_names_vertebrae_the_bone_s_does_not():
    true = [0, L2, L2, L3, L3]
    assert value("score", true, true) == 1
    exchanged = [0, L3, L3, L2, L2]
    assert value("score", exchanged, true) == 0 and value("bone_dice", exchanged, true) == 1


def test_levels_count_alike_and_absent_ones_not_at_all():
    assert value("score", [L2, 0, 0, L3], [L2, L2, L2, L3]) == pytest.approx((0.5 + 1) / 2)


def test_errors_of_bone_and_of_the_rest_are_apart():
    assert value("bone_mae_hu", [0, L2], [0, L2], hu=30.0) == pytest.approx(30, abs=1e-3)
    assert value("other_mae_hu", [L2, 0], [L2, 0], hu=-20.0) == pytest.approx(20, abs=1e-3)


def test_without_structure_the_score_is_that_of_the_intensity():
    near, far = (value("score", [L2], [L2], hu=hu, structure=0.0) for hu in (10.0, 90.0))
    assert near == pytest.approx(-0.01, abs=1e-4) and near > far


def test_nothing_to_compute_and_unknown_fields_are_refused():
    with pytest.raises(NotComputableError):
        FieldMetric("score").compute()
    with pytest.raises(InputError, match="field"):
        FieldMetric("beauty")
