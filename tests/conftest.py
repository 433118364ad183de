"""A tiny cohort of study folders, with ellipses for vertebrae, for every test that trains or evaluates a network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.drr.beer_lambert import drr_from_path_length
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.io import write_calibration
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import write_png

pytest_plugins = ["tests.simulated_study"]

SIZE_PX, SPACING_MM = 512, 0.834
HALF_MM = SPACING_MM * (SIZE_PX - 1) / 2
OFFSETS_PX = {
    "superior_endplate": (0, -17),
    "inferior_endplate": (0, 17),
    "left_transverse_process": (58, 0),
    "right_transverse_process": (-58, 0),
    "left_pedicle": (18, -5),
    "right_pedicle": (-18, -5),
    "spinous_process": (0, 20),
}


@pytest.fixture(scope="session")
def write_view_cohort():
    """A function that writes studies `study_0000` .. on the network grid to a folder."""
    return _write_cohort


def _write_cohort(folder: Path, studies: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for index in range(studies):
        _write_study(folder / f"study_{index:04d}", rng)
    return folder


def _write_study(study: Path, rng: np.random.Generator) -> None:
    (study / "truth").mkdir(parents=True)
    ap = ConeBeam([1000, 0, 0], [-200, -HALF_MM, HALF_MM], [0, 1, 0], [0, 0, -1], (SPACING_MM,) * 2, (SIZE_PX,) * 2)
    lat = ConeBeam([0, 1000, 0], [HALF_MM, -200, HALF_MM], [-1, 0, 0], [0, 0, -1], (SPACING_MM,) * 2, (SIZE_PX,) * 2)
    write_calibration(BiplanarGeometry(ap, lat), study / "calibration.json")
    pixels = {}
    for view in VIEWS:
        image, decomposition, pixels[view] = _draw_view(rng)
        write_png(study / f"{view}.png", image)
        write_nifti_image(study / "truth" / f"decomposition_{view}.nii.gz", decomposition, (SPACING_MM, SPACING_MM))
    landmarks = replace(
        StudyLandmarks.unknown(), positions_px=pixels, confidence={view: np.ones((5, 7)) for view in VIEWS}
    )
    write_landmarks(study / "truth" / "landmarks.json", landmarks)


def _draw_view(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image uint16, decomposition float32 and landmarks [5, 7, 2] of five ellipsoids with side processes."""
    v, u = np.mgrid[:SIZE_PX, :SIZE_PX].astype(float)
    top, bend = rng.uniform([226, 90], [286, 130]), rng.uniform(-12, 12)
    centres = top + np.arange(len(LEVELS))[:, None] * [bend, 52]
    thickness_mm = np.zeros(u.shape)
    for centre in centres:
        for shift, half_u, half_v, depth_mm in ((0, 28, 17, 40), (-42, 16, 6, 10), (42, 16, 6, 10)):
            radius2 = ((u - centre[0] - shift) / half_u) ** 2 + ((v - centre[1]) / half_v) ** 2
            thickness_mm += depth_mm * np.sqrt(np.clip(1 - radius2, 0, None))
    decomposition = drr_from_path_length(thickness_mm).astype(np.float32)
    clutter = 100 * gaussian_filter(rng.standard_normal(u.shape), 20) * 0.05
    image = 0.5 * decomposition + 0.3 + clutter + 0.02 * rng.standard_normal(u.shape)
    offsets = np.array([OFFSETS_PX[name] for name in LANDMARKS], float)
    return np.clip(30000 * image, 0, 65535).astype(np.uint16), decomposition, centres[:, None] + offsets
