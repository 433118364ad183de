import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks import LumbarMultitaskNet
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK


@pytest.fixture
def network():
    torch.manual_seed(0)
    return LumbarMultitaskNet("tiny", decoder_channels=8).eval()


def test_one_packed_tensor_at_a_quarter_of_the_size(network):
    assert network(torch.rand(2, 1, 64, 96)).shape == (2, 37, 16, 24)


def test_the_heatmap_starts_near_a_tenth(network):
    heatmap = LUMBAR_PACK.unpack(network(torch.rand(1, 1, 64, 64))).heatmap
    assert heatmap.mean().item() == pytest.approx(0.1, abs=0.02)


def test_images_of_a_batch_do_not_influence_each_other(network):
    images = torch.rand(3, 1, 64, 64)
    alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(network(images), alone, atol=1e-5)


def test_torchscript_gives_the_same_output(network):
    image = torch.rand(1, 1, 64, 64)
    assert torch.equal(torch.jit.script(network)(image), network(image))


@pytest.mark.parametrize(("tasks", "silent"), [("decomposition", slice(16, 37)), ("landmarks", slice(0, 16))])
def test_a_single_task_leaves_the_other_channels_empty(tasks, silent):
    packed = LumbarMultitaskNet("tiny", 8, tasks=tasks)(torch.rand(2, 1, 64, 64))
    assert packed[:, silent].abs().max() == 0 and packed.abs().max() > 0


def test_without_fusion_the_tasks_share_only_the_encoder():
    torch.manual_seed(0)
    network = LumbarMultitaskNet("tiny", 8, ffm=False)
    network(torch.rand(2, 1, 64, 64))[:, :16].sum().backward()
    assert network.decoder.fusions[0].to_landmarks[0][0].weight.grad.abs().max() == 0
    assert network.encoder.stem[0][0].weight.grad.abs().max() > 0


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="preset"):
        LumbarMultitaskNet("w19")
    with pytest.raises(InputError, match="tasks"):
        LumbarMultitaskNet("tiny", tasks="neither")
