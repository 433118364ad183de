import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.networks.field_network import FieldNet, encoded, sampled

SMALL = {"channels": (8, 8, 8, 8, 8), "fine_channels": 4, "hidden": (16, 16, 8), "octaves": 2, "guides": 6}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FieldNet(**SMALL).eval()


def inputs(points=7, size=64):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 2, size, size, generator=generator)
    places = torch.rand(2, points, 2, 2, generator=generator) * 1.6 - 0.8
    positions = torch.rand(2, points, 3, generator=generator) - 0.5
    return images, places, positions, torch.rand(2, points, 6, generator=generator) - 0.5


def test_features_that_grow_linearly_are_read_at_their_place():
    rows, columns = 12, 20
    v, u = torch.meshgrid(torch.arange(rows).float(), torch.arange(columns).float(), indexing="ij")
    pixel = torch.rand(1, 30, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([columns - 1.0, rows - 1.0])
    places = (2 * pixel + 1) / torch.tensor([columns, rows]) - 1
    torch.testing.assert_close(sampled(torch.stack([u, v])[None], places), pixel, atol=1e-4, rtol=0)


def test_a_point_s_answer_does_not_depend_on_the_other_points(network):
    images, *of_points = inputs()
    with torch.no_grad():
        all_points = network(images, *of_points)
        alone = network(images, *(each[:, 3:4] for each in of_points))
    torch.testing.assert_close(all_points[:, 3:4], alone)


def test_encoding_views_one_by_one_gives_what_both_at_once_give(network):
    images, *of_points = inputs()
    with torch.no_grad():
        features = [network.encoder(images[:, v : v + 1], torch.full((2,), v)) for v in range(2)]
        torch.testing.assert_close(network.decode(features, *of_points), network(images, *of_points))


def test_the_network_is_told_which_view_it_sees(network):
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ap, lat = (network.encoder(image, torch.tensor([view]))[0] for view in range(2))
    assert (ap - lat).abs().max() > 1e-3


@pytest.mark.parametrize("view", range(2))
def test_both_radiographs_and_the_position_matter(network, view):
    images, places, positions, guides = inputs()
    images.requires_grad_(), positions.requires_grad_()
    network(images, places, positions, guides).square().sum().backward()
    assert images.grad[:, view].abs().max() > 0 and positions.grad.abs().max() > 0


def test_a_network_begins_without_heeding_its_guides_and_can_learn_to(network):
    images, places, positions, guides = inputs()
    told = guides.requires_grad_()
    network(images, places, positions, told).square().sum().backward()
    assert told.grad.abs().max() == 0
    assert min(layer.weight.grad[:, -6:].abs().max() for layer in network.layers) > 0


def test_a_network_that_is_not_told_takes_any_guides():
    untold = FieldNet(**{**SMALL, "guides": 0}).eval()
    images, places, positions, guides = inputs()
    with torch.no_grad():
        torch.testing.assert_close(
            untold(images, places, positions, guides), untold(images, places, positions, 0 * guides)
        )


def test_intensity_is_a_share_and_begins_with_water(network):
    torch.nn.init.zeros_(network.intensity.weight)
    with torch.no_grad():
        share = network(*inputs())[..., 0]
    torch.testing.assert_close(share, torch.full_like(share, 0.4))  # 0 HU of -1000 to 1500


def test_encoded_positions_have_the_stated_wavelengths():
    position = torch.tensor([[0.3, -0.2, 0.7]])
    first, second = encoded(position, 3), encoded(position + torch.tensor([2.0, 2.0, 2.0]), 3)
    torch.testing.assert_close(first[:, 3:], second[:, 3:], atol=1e-5, rtol=0)  # the longest is 2, the others divide it
    assert first.shape == (1, 3 * 7)


def test_sizes_that_make_no_network_are_refused():
    with pytest.raises(InputError, match="five channels"):
        FieldNet(channels=(8, 8, 8, 8))
