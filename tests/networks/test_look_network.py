import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks.look_network import LOOK_GROUPS, SecondLookNet


@pytest.fixture
def planes():
    return torch.rand(2, 4, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    """One whose every layer counts."""
    torch.manual_seed(0)
    made = SecondLookNet((8, 8, 8, 8)).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_untrained_it_changes_nothing_and_states_the_same_error_everywhere(planes):
    answer = SecondLookNet((8, 8, 8, 8)).eval()(planes)
    assert torch.equal(answer[:, :LOOK_GROUPS], planes[:, 1:3])
    torch.testing.assert_close(answer[:, LOOK_GROUPS:].exp(), torch.full_like(answer[:, LOOK_GROUPS:], 0.02))


def test_the_answer_is_as_large_as_the_input(network, planes):
    assert network(planes).shape == (2, 4, 32, 48)


def test_torchscript_gives_the_same_output(network, planes):
    torch.testing.assert_close(torch.jit.script(network)(planes), network(planes))


def test_every_plane_counts(network, planes):
    answer = network(planes)[:, :LOOK_GROUPS] - planes[:, 1:3]
    for plane in range(4):
        changed = planes.clone()
        changed[:, plane] += 0.1
        assert (network(changed)[:, :LOOK_GROUPS] - changed[:, 1:3] - answer).abs().max() > 1e-4


def test_what_is_stated_of_the_error_does_not_teach_the_pictures(network, planes):
    network(planes)[:, LOOK_GROUPS:].sum().backward()
    reached = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"error"}


@pytest.mark.parametrize("channels", [(8, 8, 8), (8, 8, 8, 0)])
def test_other_numbers_of_channels_are_refused(channels):
    with pytest.raises(InputError, match="channels"):
        SecondLookNet(channels)
