import pytest
import torch
from ignite.engine import Engine
from torch import nn

from lumbar_ext.errors import InputError
from lumbar_ext.training.campaign_state import campaign_weights, pack_campaign
from lumbar_ext.training.handlers.averaging import AveragedWeights, FollowWeights
from lumbar_ext.training.handlers.resume import ResumePoint
from lumbar_ext.training.schedule import WarmupStableDecay


def campaign(path, until):
    """Trains a wide layer until that iteration, going on from `path`."""
    torch.manual_seed(0)
    network = nn.Linear(200, 100)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    average, schedule = AveragedWeights(network), WarmupStableDecay(optimizer, until, 1, 1)

    def step(engine, batch):
        optimizer.zero_grad()
        network(torch.ones(1, 200)).square().sum().backward()
        optimizer.step()

    engine = Engine(step)
    objects = {"network": network, "optimizer": optimizer, "average": average, "schedule": schedule}
    ResumePoint(path, objects).attach(engine)
    FollowWeights(average).attach(engine)
    schedule.attach(engine)
    engine.run(range(1000), max_epochs=1000)
    return network, average, schedule


def test_another_machine_goes_on_from_the_average(tmp_path):
    _, average, _ = campaign(tmp_path / "resume.pt", 5)
    expected = {name: value.clone() for name, value in average.average.state_dict().items()}
    (tmp_path / "other").mkdir()
    pack_campaign(str(tmp_path / "resume.pt"), str(tmp_path / "other" / "resume.pt"))
    sizes = [path.stat().st_size for path in (tmp_path / "resume.pt", tmp_path / "other" / "resume.pt")]
    # half precision of one copy, in place of four copies in single precision
    assert sizes[1] < sizes[0] / 6
    state = torch.load(tmp_path / "other" / "resume.pt", weights_only=True)
    for name, value in expected.items():
        assert torch.allclose(state["network"][name].float(), value, atol=1e-3)
    _, average, schedule = campaign(tmp_path / "other" / "resume.pt", 8)
    assert schedule.iterations == 8 and average.updates == 8


def test_weights_are_those_of_the_average(tmp_path):
    _, average, _ = campaign(tmp_path / "resume.pt", 4)
    campaign_weights(str(tmp_path / "resume.pt"), str(tmp_path / "model.pt"))
    network = nn.Linear(200, 100)
    network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.allclose(network.weight, average.average.weight, atol=1e-3)


@pytest.mark.parametrize("command", [pack_campaign, campaign_weights])
def test_other_files_are_refused(tmp_path, command):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="no averaged weights"):
        command(str(tmp_path / "model.pt"), str(tmp_path / "out.pt"))
