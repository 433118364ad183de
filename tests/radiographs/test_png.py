"""Writing PNG files (reading is tested with the other formats)."""

import numpy as np
import pytest
from PIL import Image

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.png import write_png


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pillow_sees_the_same_values(tmp_path, dtype):
    pixels = (np.arange(35).reshape(5, 7) * 7).astype(dtype)
    write_png(tmp_path / "a.png", pixels.T)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels.T)


def test_other_types_and_shapes_are_refused(tmp_path):
    for pixels in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(InputError, match="expected uint8 or uint16"):
            write_png(tmp_path / "a.png", pixels)
    assert not any(tmp_path.iterdir())
