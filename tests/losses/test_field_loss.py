import math

import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.losses.field_loss import FieldLoss, field_target, hounsfield
from lumbar_ext.transforms.tissue import HU_WINDOW, TISSUES

L3 = TISSUES.index("L3")
UNASKED = len(TISSUES) + 1


def prediction(values_hu, tissue, sureness=30.0):
    """What a network says that knows CT numbers and tissues."""
    low, high = HU_WINDOW
    share = (torch.as_tensor(values_hu, dtype=torch.float) - low) / (high - low)
    logits = sureness * torch.nn.functional.one_hot(torch.as_tensor(tissue), len(TISSUES)).float()
    return torch.cat([share[..., None], logits], -1)


@pytest.fixture
def truth():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 300, generator=generator) * 1500 - 500, torch.randint(
        len(TISSUES), (2, 300), generator=generator
    )


def test_the_truth_costs_nothing(truth):
    values, tissue = truth
    assert float(FieldLoss()(prediction(values, tissue), field_target(values, tissue))) == pytest.approx(0, abs=1e-4)


def test_intensity_is_the_mean_difference_in_hundreds_of_hounsfield_units(truth):
    values, tissue = truth
    loss = FieldLoss()
    total = loss(prediction(values + 50, tissue), field_target(values, tissue))
    assert loss.latest["intensity"] == pytest.approx(0.5, rel=1e-4)
    assert float(total) == pytest.approx(0.5, rel=1e-3)


def test_ct_numbers_beyond_the_window_are_cut_off():
    tissue = torch.zeros(1, 2, dtype=torch.long)
    loss = FieldLoss()
    loss(prediction([[-1000.0, 1500.0]], tissue), field_target(torch.tensor([[-3000.0, 9000.0]]), tissue))
    assert loss.latest["intensity"] == pytest.approx(0, abs=1e-5)


def test_without_structure_the_tissues_are_not_taught(truth):
    values, tissue = truth
    said = prediction(values + 20, tissue.roll(1)).requires_grad_()
    FieldLoss(structure=0)(said, field_target(values, tissue)).backward()
    assert said.grad[..., 0].abs().max() > 0 and said.grad[..., 1:].abs().max() == 0


def test_lambda_scales_structure_alone(truth):
    values, tissue = truth
    said, target = prediction(values + 20, tissue, sureness=1.0), field_target(*truth)
    losses = {weight: float(FieldLoss(structure=weight)(said, target)) for weight in (0, 1, 10)}
    assert losses[10] - losses[0] == pytest.approx(10 * (losses[1] - losses[0]), rel=1e-5) and losses[1] > losses[0]


def test_a_point_of_which_nothing_is_known_teaches_nothing(truth):
    values, tissue = (part.clone() for part in truth)
    values[0, 0], tissue[0, 0] = float("nan"), UNASKED
    said = prediction(truth[0], truth[1], sureness=1.0).requires_grad_()
    FieldLoss()(said, field_target(values, tissue)).backward()
    assert said.grad[0, 0].abs().max() == 0 and said.grad[0, 1].abs().max() > 0


def test_no_lumbar_vertebra_is_all_that_is_asked_around_the_box():
    """Any other tissue is right there; a lumbar vertebra is not."""
    target = field_target(torch.full((1, 1), float("nan")), torch.tensor([[len(TISSUES)]]))
    costs = [FieldLoss(), FieldLoss()]
    for loss, named in zip(costs, (0, L3), strict=True):
        loss(prediction([[0.0]], torch.tensor([[named]])), target)
    assert costs[0].latest["entropy"] == pytest.approx(0, abs=1e-5) and costs[1].latest["entropy"] > 10


def test_class_weights_weigh_errors_of_their_class():
    tissue = torch.tensor([[0, L3]])
    weights = [1.0] * len(TISSUES)
    weights[L3] = 3.0
    loss = FieldLoss(class_weights=weights)
    wrong = prediction([[0.0, 0.0]], tissue.roll(1), sureness=2.0)
    right = prediction([[0.0, 0.0]], tissue, sureness=2.0)
    target = field_target(torch.zeros(1, 2), tissue)
    values = []
    for said in (torch.stack([wrong[0, 0], right[0, 1]])[None], torch.stack([right[0, 0], wrong[0, 1]])[None]):
        loss(said, target)
        values.append(loss.latest["entropy"])
    error, success = (float(math.log(math.exp(2) + len(TISSUES) - 1) - x) for x in (0, 2))
    assert values == pytest.approx([(error + 3 * success) / 4, (success + 3 * error) / 4], rel=1e-5)


def test_learnt_scales_are_best_where_they_are_the_terms(truth):
    loss = FieldLoss(uncertainty=True)
    said, target = prediction(truth[0] + 70, truth[1], sureness=1.0), field_target(*truth)
    optimiser = torch.optim.SGD(loss.parameters(), 0.3)
    for _ in range(200):
        optimiser.zero_grad()
        loss(said, target).backward()
        optimiser.step()
    terms = [loss.latest["intensity"], loss.latest["entropy"] + loss.latest["dice"]]
    assert loss.log_scales.exp().tolist() == pytest.approx(terms, rel=1e-3)


def test_hounsfield_units_span_the_window():
    assert hounsfield(torch.tensor([0.0, 0.4, 1.0])).tolist() == [-1000, 0, 1500]


def test_settings_that_make_no_loss_are_refused():
    with pytest.raises(InputError, match="lambda"):
        FieldLoss(structure=-1)
    with pytest.raises(InputError, match="class_weights"):
        FieldLoss(class_weights=[1.0, 2.0])
