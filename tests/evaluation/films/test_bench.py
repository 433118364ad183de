"""The bench on films that a stand-in network sees through: what it reports lies where it must in the file."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import torch
from PIL import Image

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.evaluation.films.bench import evaluate_films
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK

STEP_PX = 60.0


class _SeesSquares(torch.nn.Module):
    """Names the five lowest bright squares, from the picture alone."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image):
        rows, columns = (size // LUMBAR_PACK.stride for size in image.shape[2:])
        packed = torch.zeros(1, LUMBAR_PACK.channels, rows, columns)
        bright = torch.nn.functional.avg_pool2d(image, LUMBAR_PACK.stride)[0, 0] > 0.9
        heights = bright.any(dim=1).nonzero()[:, 0]
        starts = [int(heights[0])] + [int(b) for a, b in pairwise(heights) if b - a > 1]
        for level, start in enumerate(starts[-len(LEVELS) :]):
            band = bright[start : start + 40]
            run = int((~band.any(dim=1)).nonzero()[0, 0])
            row, column = start + run // 2, int(band[run // 2].nonzero().float().mean())
            packed[0, LUMBAR_PACK["heatmap"].start + level, row, column] = 0.9
        packed[0, LUMBAR_PACK["landmark_offsets"].start + 1] = -3.0
        packed[0, LUMBAR_PACK["landmark_offsets"].start + 3] = 3.0
        assert packed[0, LUMBAR_PACK["centre_offset"]].abs().sum() == 0
        return packed


def _film(path):
    """A dark film with eight bright squares."""
    pixels = np.zeros((700, 300), np.uint8)
    boxes = []
    for place in range(8):
        u, v = 150.0, 100.0 + STEP_PX * place
        pixels[int(v) - 18 : int(v) + 19, int(u) - 18 : int(u) + 19] = 255
        boxes.append([[u - 18, v - 18], [u + 18, v - 18], [u + 18, v + 18], [u - 18, v + 18]])
    Image.fromarray(pixels).save(path)
    return boxes


def test_what_the_network_sees_lies_on_the_marks_of_the_file(tmp_path):
    boxes = _film(tmp_path / "film.png")
    spacing_mm = 40.0 / STEP_PX
    marks = {"film": {"pixel_spacing_mm": spacing_mm, "vertebrae": boxes}}
    (tmp_path / "films.json").write_text(json.dumps(marks))
    tables = evaluate_films(_SeesSquares().eval(), tmp_path, tmp_path / "out")
    assert "5.00 of 5 | 100 % | 0 % | 1 of 1 | 1 of 1 | 1 of 1" in tables
    assert (tmp_path / "out" / "films.md").read_text() == tables + "\n"
    assert Image.open(tmp_path / "out" / "films.png").size == (320, 320)
    header, row = (tmp_path / "out" / "films.csv").read_text().splitlines()
    assert (
        float(dict(zip(header.split(","), row.split(","), strict=True))["centre_mm"]) < 2 * LUMBAR_PACK.stride * 0.834
    )
    assert LANDMARKS[0] == "superior_endplate"
