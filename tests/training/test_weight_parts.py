import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks import LumbarMultitaskNet
from lumbar_ext.training.campaign_state import campaign_weights, pack_campaign
from lumbar_ext.training.weight_parts import join_weights, pack_weights


@pytest.fixture
def network():
    torch.manual_seed(0)
    return LumbarMultitaskNet("tiny", 8).eval()


def test_packed_weights_are_half_as_large_and_load_as_they_are(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pt")
    pack_weights(str(tmp_path / "a.pt"), str(tmp_path / "b.pt"))
    assert (tmp_path / "b.pt").stat().st_size < 0.75 * (tmp_path / "a.pt").stat().st_size
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        before = network(image)
        network.load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True))
        assert torch.allclose(network(image), before, atol=0.01) and before.dtype == torch.float32


def test_parts_stay_below_their_size_and_join_to_the_whole(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pt")
    pack_weights(str(tmp_path / "a.pt"), str(tmp_path / "parts" / "b.pt"), part_mb=0.05)
    parts = list((tmp_path / "parts").iterdir())
    assert len(parts) > 2 and max(path.stat().st_size for path in parts) < 0.1e6
    join_weights(str(tmp_path / "parts"), str(tmp_path / "c.pt"))
    joined = torch.load(tmp_path / "c.pt", weights_only=True)
    assert list(joined) == list(network.state_dict())
    parts[0].unlink()
    with pytest.raises(InputError, match="without a gap"):
        join_weights(str(tmp_path / "parts"), str(tmp_path / "d.pt"))


def test_weights_are_not_written_over_themselves(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "link.pt").symlink_to(tmp_path / "a.pt")
    for write in (pack_weights, pack_campaign, campaign_weights):
        with pytest.raises(InputError, match=r"link\.pt: is the file that it would be made of"):
            write(str(tmp_path / "a.pt"), str(tmp_path / "link.pt"))
    assert (tmp_path / "a.pt").read_bytes() == before


def test_values_that_float16_cannot_hold_are_refused(tmp_path):
    torch.save({"weight": torch.tensor([1e6])}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="weight: holds values beyond"):
        pack_weights(str(tmp_path / "a.pt"), str(tmp_path / "b.pt"))
