import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lumbar_ext.errors import InputError
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.networks.packing import check_image_size


def test_channels_are_those_of_the_contract():
    packed = torch.arange(LUMBAR_PACK.channels).float()[None, :, None, None].expand(1, -1, 2, 2)
    maps = LUMBAR_PACK.unpack(packed)
    assert maps.heatmap[0, :, 0, 0].tolist() == [16, 17, 18, 19, 20]
    assert maps.centre_offset[0, :, 0, 0].tolist() == [21, 22]
    assert maps.landmark_offsets[0, :, 0, 0].tolist() == list(range(23, 37))


def test_the_decomposition_is_restored_to_full_size():
    image = torch.rand(1, 1, 8, 12)
    packed = torch.cat([F.pixel_unshuffle(image, 4), torch.zeros(1, LUMBAR_PACK.channels - 16, 2, 3)], 1)
    assert torch.equal(LUMBAR_PACK.unpack(packed).decomposition, image)


def test_a_cell_is_the_middle_of_its_four_pixels():
    assert LUMBAR_PACK.px_from_cells(0.0) == np.mean([0, 1, 2, 3])
    assert LUMBAR_PACK.px_from_cells(3.0) == np.mean([12, 13, 14, 15])
    values = np.random.default_rng(0).uniform(0, 500, 20)
    assert np.allclose(LUMBAR_PACK.px_from_cells(LUMBAR_PACK.cells_from_px(values)), values)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="packed"):
        LUMBAR_PACK.unpack(torch.zeros(1, 36, 4, 4))
    with pytest.raises(InputError, match="multiples of 32"):
        check_image_size(100, 64)
