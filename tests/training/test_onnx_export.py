import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks import LumbarMultitaskNet
from lumbar_ext.networks.onnx_network import OnnxNetwork

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lumbar_ext.training.onnx_export import export_onnx, onnx_difference


@pytest.fixture
def network():
    """A tiny network whose batch statistics and heads are not those of its start."""
    torch.manual_seed(0)
    network = LumbarMultitaskNet("tiny", 8)
    for _ in range(3):
        network(torch.rand(2, 1, 64, 64))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def test_onnx_runtime_computes_what_the_network_computes_at_another_size(network, tmp_path):
    export_onnx(network, tmp_path / "model.onnx")
    scale = network(torch.rand(1, 1, 64, 64)).abs().max().item()
    assert scale > 1e-2 and onnx_difference(network, tmp_path / "model.onnx") < 1e-4 * max(1.0, scale)


def test_other_weights_make_a_difference(network, tmp_path):
    export_onnx(network, tmp_path / "model.onnx")
    torch.nn.init.constant_(network.offset_head[-1].bias, 5.0)
    assert onnx_difference(network, tmp_path / "model.onnx") > 1


def test_the_exported_network_stands_in_for_the_original(network, tmp_path):
    export_onnx(network, tmp_path / "model.onnx")
    image = torch.rand(1, 1, 96, 64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.allclose(OnnxNetwork(tmp_path / "model.onnx")(image), network(image), atol=1e-4, rtol=1e-4)


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        OnnxNetwork(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model\.onnx: not an ONNX network"):
        OnnxNetwork(tmp_path / "model.onnx")
