import pytest
import torch
from ignite.exceptions import NotComputableError

from lumbar_ext.errors import InputError
from lumbar_ext.metrics.look_metric import LookMetric, look_metrics


def batch(before, after):
    """One view whose left half is bone of the odd levels: a true value of 0.5, and errors before and after."""
    truth = torch.zeros(1, 2, 8, 8)
    truth[:, 0, :, :4] = 0.5
    drawn, corrected = truth.clone(), truth.clone()
    drawn[:, 0, :, :4] += before
    corrected[:, 0, :, :4] += after
    planes = torch.cat([torch.zeros(1, 1, 8, 8), drawn, torch.zeros(1, 1, 8, 8)], 1)
    return torch.cat([corrected, torch.zeros_like(corrected)], 1), truth, planes


def value(field, *batches):
    metric = LookMetric(field)
    metric.reset()
    for own in batches:
        metric.update(own)
    return metric.compute()


def test_errors_are_means_over_bone_before_and_after():
    assert value("total_before", batch(0.2, 0.05)) == pytest.approx(0.2)
    assert value("total_after", batch(0.2, 0.05)) == pytest.approx(0.05)
    assert value("groups_before", batch(0.2, 0.05)) == pytest.approx(0.1)  # the even picture is right


def test_the_score_is_the_share_of_the_errors_that_is_gone():
    assert value("score", batch(0.2, 0.05)) == pytest.approx(0.75)
    assert value("score", batch(0.2, 0.05), batch(0.2, 0.15)) == pytest.approx(0.5)


def test_every_field_has_a_metric_and_others_are_refused():
    assert set(look_metrics()) == {"groups_before", "groups_after", "total_before", "total_after"}
    with pytest.raises(InputError, match="field"):
        LookMetric("dice")
    with pytest.raises(NotComputableError):
        value("score")
