"""What Yu et al. report of their network (arXiv 2503.14573, Tables 1 to 3): 144 pairs of real X-rays of 8 people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """One network of the paper in one view.

    Args:
        dice, psnr_db, ssim: Table 1.
        error_mm: Table 2, mean landmark error on the detector by type, then of all.
        sdr_percent: Table 3, success detection rate at 2, 4 and 6 mm by type.
    """

    dice: float
    psnr_db: float
    ssim: float
    error_mm: dict[str, float]
    sdr_percent: dict[str, tuple[float, float, float]]


TYPES = ("endplate", "transverse_process", "pedicle", "spinous_process")


def _row(images: tuple[float, float, float], errors: tuple[float, ...], sdr: tuple[tuple[float, float, float], ...]):
    return PaperRow(*images, dict(zip((*TYPES, "total"), errors, strict=True)), dict(zip(TYPES, sdr, strict=True)))


PAPER: dict[str, dict[str, PaperRow]] = {
    "full": {
        "ap": _row(
            (0.995, 45.8, 0.992),
            (1.53, 3.02, 1.47, 4.38, 2.34),
            ((74.5, 98.5, 99.9), (30.3, 75.7, 94.5), (76.9, 98.6, 99.9), (19.1, 50.1, 75.1)),
        ),
        "lat": _row(
            (0.993, 43.0, 0.988),
            (1.67, 6.72, 2.85, 5.75, 4.03),
            ((68.9, 97.2, 99.8), (7.7, 27.7, 50.5), (39.3, 78.6, 93.2), (11.9, 36.4, 58.0)),
        ),
    },
    "no FFM": {
        "ap": _row(
            (0.994, 45.5, 0.991),
            (1.53, 3.33, 1.56, 4.33, 2.45),
            ((74.5, 98.5, 99.9), (26.1, 68.0, 91.7), (73.7, 98.0, 99.8), (20.3, 51.2, 76.0)),
        ),
        "lat": _row(
            (0.992, 42.4, 0.987),
            (1.69, 7.94, 3.27, 5.77, 4.51),
            ((67.9, 97.7, 99.8), (7.1, 22.2, 40.2), (29.3, 71.9, 91.1), (9.6, 33.9, 58.8)),
        ),
    },
    "single task": {
        "ap": _row(
            (0.994, 45.7, 0.992),
            (1.61, 3.67, 1.70, 4.59, 2.65),
            ((72.9, 98.1, 99.7), (21.9, 63.3, 87.5), (70.7, 97.7, 99.5), (18.7, 47.9, 72.1)),
        ),
        "lat": _row(
            (0.992, 42.7, 0.988),
            (1.98, 8.86, 3.82, 6.23, 5.08),
            ((66.9, 97.2, 99.1), (4.9, 17.6, 34.6), (25.2, 64.9, 87.1), (8.1, 29.9, 54.8)),
        ),
    },
}
