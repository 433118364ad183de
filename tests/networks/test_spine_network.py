import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks import LumbarSpineNet
from lumbar_ext.networks.spine_packing import SPINE_PACK


@pytest.fixture
def network():
    torch.manual_seed(0)
    return LumbarSpineNet("tiny", decoder_channels=8).eval()


def test_one_packed_tensor_at_an_eighth_of_the_size(network):
    assert network(torch.rand(2, 1, 64, 96)).shape == (2, SPINE_PACK.channels, 8, 12)


def test_the_parts_tile_the_packed_tensor():
    packed = torch.arange(SPINE_PACK.target_channels).reshape(1, -1, 1, 1).expand(1, -1, 2, 3).float()
    parts = SPINE_PACK.unpack(packed)
    assert parts.decomposition.shape == (1, 1, 16, 24)
    following = torch.cat([part[0, :, 0, 0] for part in parts[1:]])
    assert following.tolist() == list(range(64, SPINE_PACK.channels))


def test_the_decomposition_is_where_the_image_is(network):
    """A change in one corner of the image changes the decomposition most there: no block is put elsewhere."""
    image = torch.zeros(1, 1, 128, 128)
    changed = image.clone()
    changed[..., 96:, 0:32] = 1.0
    difference = (
        SPINE_PACK.unpack(network(changed)).decomposition - SPINE_PACK.unpack(network(image)).decomposition
    ).abs()[0, 0]
    blocks = torch.nn.functional.avg_pool2d(difference[None, None], 32)[0, 0]
    assert divmod(int(blocks.argmax()), 4) == (3, 0)


def test_heatmaps_are_probabilities_and_start_low(network):
    heatmap = network(torch.rand(1, 1, 64, 64))[:, SPINE_PACK["heatmap"]]
    assert 0 < heatmap.min() and heatmap.max() < 0.1


def test_both_paths_exchange_features():
    torch.manual_seed(0)
    network = LumbarSpineNet("tiny", 8)
    network(torch.rand(2, 1, 64, 64))[:, SPINE_PACK["heatmap"]].sum().backward()
    assert network.decoder.fusions[0].to_decomposition[0].weight.grad.abs().max() > 0


def test_torchscript_gives_the_same_output(network):
    image = torch.rand(1, 1, 64, 96)
    assert torch.equal(torch.jit.script(network)(image), network(image))


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="preset"):
        LumbarSpineNet("w19")
    with pytest.raises(InputError, match="packed"):
        SPINE_PACK.unpack(torch.zeros(1, 37, 4, 4))
