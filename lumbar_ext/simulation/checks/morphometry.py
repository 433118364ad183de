"""The command that holds the population's dimensions against published ones.

    lumbar-ext morphometry --n 200 --output_dir out/morphometry

prints Markdown tables and writes `dimensions.csv` (every subject), `morphometry.csv` (the comparison), `correlations.csv`
and `morphometry.md`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.checks.dimensions import DIMENSIONS, Calliper
from lumbar_ext.simulation.checks.published_dimensions import PUBLISHED, Published
from lumbar_ext.simulation.cohort import DEFAULT_ANATOMY

_NOTABLE_SD = 0.5  # published standard deviations, from which on a difference gets its remark
_PAIRS = (
    ("superior_width_mm", "inferior_width_mm", ".68-.85 (Gulek)"),
    ("superior_depth_mm", "inferior_depth_mm", ".68-.85 (Gulek)"),
    ("superior_width_mm", "superior_depth_mm", "high: size"),
    ("posterior_height_mm", "superior_width_mm", "moderate: size"),
    ("posterior_height_mm", "pedicle_height_mm", "moderate: size"),
    ("superior_width_mm", "transverse_span_mm", "low to moderate"),
    ("superior_width_mm", "spinous_length_mm", "low to moderate"),
    ("canal_width_mm", "pedicle_width_mm", "low"),
)


@dataclass(frozen=True)
class MeasuredPopulation:
    """Dimensions of a population.

    Args:
        values: [N, 5, D] in the order of `dimensions.DIMENSIONS`.
        sexes: [N] "female" or "male".
    """

    values: np.ndarray
    sexes: np.ndarray

    def of(self, dimension: str, sex: str = "both") -> np.ndarray:
        """[n, 5] values of one dimension."""
        chosen = self.sexes != "" if sex == "both" else self.sexes == sex
        return self.values[chosen, :, list(DIMENSIONS).index(dimension)]


def measure_population(population: Population, n: int, split: str = "train", seed: int = 0) -> MeasuredPopulation:
    """Draws and measures `n` subjects of a split, seeds `seed` and on."""
    calliper = Calliper(population.atlas)
    values, sexes = [], []
    for number in tqdm(range(seed, seed + n), desc="subjects"):
        subject = population.sample(np.random.default_rng(number), split)
        values.append([calliper.measure(subject.vertices_mm[i], i).values for i in range(len(LEVELS))])
        sexes.append(subject.sex)
    return MeasuredPopulation(np.array(values), np.array(sexes))


def morphometry(
    n: int = 200,
    output_dir: str | None = None,
    *,
    split: str = "train",
    seed: int = 0,
    anatomy: str = str(DEFAULT_ANATOMY),
) -> None:
    """Prints the comparison and, with an output folder, writes it.

    Args:
        n: subjects, at least 10.
        output_dir: where the CSV and Markdown files go.
        split: "train", "validation" or "test".
        seed: of the first subject.
        anatomy: anatomy file.

    Raises:
        InputError: for fewer than 10 subjects, an unknown split or a missing anatomy file.
    """
    if int(n) < 10:
        raise InputError(f"n is {n!r}, expected at least 10 subjects")
    measured = measure_population(Population.load(anatomy), int(n), split, int(seed))
    text = "\n\n".join([comparison_table(measured), population_table(measured), correlation_table(measured)])
    print(text)
    if output_dir is not None:
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "morphometry.md", text + "\n")
        _write_csv(folder / "morphometry.csv", _comparison_rows(measured))
        _write_csv(folder / "correlations.csv", _correlation_rows(measured))
        _write_csv(folder / "dimensions.csv", _subject_rows(measured))


def comparison_table(measured: MeasuredPopulation) -> str:
    """Markdown: each published row, the population's mean and SD beside it, and the difference in published SDs."""
    lines = [
        "| dimension | sex | published mean ± SD, L1 .. L5 | population | off, published SD | source; remark |",
        "|---|---|---|---|---|---|",
    ]
    for row in PUBLISHED:
        own = measured.of(row.dimension, row.sex)
        mean, sd, off = own.mean(axis=0), own.std(axis=0, ddof=1), row.sds_off(own.mean(axis=0))
        known = np.isfinite(off)
        notable = row.remark if (np.abs(off[known]) > _NOTABLE_SD).any() else ""
        cells = [
            row.dimension.rsplit("_", 1)[0].replace("_", " ") + f", {row.dimension.rsplit('_', 1)[1]}",
            row.sex,
            " ".join(_pair(m, s) for m, s in zip(row.mean, row.sd, strict=True)),
            " ".join(_pair(m, s) if k else "-" for m, s, k in zip(mean, sd, known, strict=True)),
            " ".join(f"{o:+.1f}" if k else "-" for o, k in zip(off, known, strict=True)),
            f"{row.source}{'; ' + notable if notable else ''}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def population_table(measured: MeasuredPopulation) -> str:
    """Markdown: every dimension of the population by sex and level."""
    lines = [f"| dimension | sex | {' | '.join(LEVELS)} |", "|---|---|" + "---|" * len(LEVELS)]
    for dimension in DIMENSIONS:
        for sex in ("female", "male"):
            own = measured.of(dimension, sex)
            cells = [_pair(m, s) for m, s in zip(own.mean(axis=0), own.std(axis=0, ddof=1), strict=True)]
            lines.append(f"| {dimension} | {sex} | {' | '.join(cells)} |")
    return "\n".join(lines)


def correlation_table(measured: MeasuredPopulation) -> str:
    """Markdown: correlations within a sex, between dimensions and between levels."""
    lines = ["| correlation, sexes apart | population | expected |", "|---|---|---|"]
    lines += [f"| {r['what']} | {r['population']} | {r['expected']} |" for r in _correlation_rows(measured)]
    return "\n".join(lines)


def _pair(mean: float, sd: float) -> str:
    return f"{mean:.1f}±{sd:.1f}" if np.isfinite(mean) else "-"


def _comparison_rows(measured: MeasuredPopulation) -> list[dict]:
    return [
        row for published in PUBLISHED for row in _levels(published, measured.of(published.dimension, published.sex))
    ]


def _levels(row: Published, own: np.ndarray) -> list[dict]:
    off = row.sds_off(own.mean(axis=0))
    return [
        {
            "dimension": row.dimension,
            "sex": row.sex,
            "level": level,
            "published_mean": row.mean[i],
            "published_sd": row.sd[i],
            "population_mean": round(float(own[:, i].mean()), 2),
            "population_sd": round(float(own[:, i].std(ddof=1)), 2),
            "sds_off": round(float(off[i]), 2),
            "source": row.source,
            "remark": row.remark,
        }
        for i, level in enumerate(LEVELS)
        if np.isfinite(off[i])
    ]


def _correlation_rows(measured: MeasuredPopulation) -> list[dict]:
    """Between dimensions (mean over levels) and between neighbouring and distant levels, sexes apart."""
    rows = []
    for first, second, expected in _PAIRS:
        a, b = _without_sex(measured, first), _without_sex(measured, second)
        value = np.mean([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(len(LEVELS))])
        rows.append({"what": f"{first} and {second}", "population": f"{value:.2f}", "expected": expected})
    for dimension, expected in (
        ("superior_width_mm", ".8-.9: size is shared"),
        ("superior_depth_mm", ".8-.9: size is shared"),
        ("posterior_height_mm", ".7-.9"),
        ("pedicle_width_mm", ".6-.8"),
        ("transverse_span_mm", ".5-.7"),
        ("spinous_length_mm", ".5-.7"),
        ("wedge_deg", ".2-.4"),
    ):
        matrix = np.corrcoef(_without_sex(measured, dimension).T)
        near = np.mean([matrix[i, i + 1] for i in range(len(LEVELS) - 1)])
        rows.append(
            {
                "what": f"{dimension}, neighbouring levels (L1 and L5)",
                "population": f"{near:.2f} ({matrix[0, -1]:.2f})",
                "expected": expected,
            }
        )
    return rows


def _without_sex(measured: MeasuredPopulation, dimension: str) -> np.ndarray:
    """[N, 5] values less the mean of each sex."""
    parts = [own - own.mean(axis=0) for own in (measured.of(dimension, sex) for sex in ("female", "male"))]
    order = np.concatenate([np.flatnonzero(measured.sexes == sex) for sex in ("female", "male")])
    return np.concatenate(parts)[np.argsort(order)]


def _subject_rows(measured: MeasuredPopulation) -> list[dict]:
    return [
        {"subject": n, "sex": sex, "level": level}
        | {name: round(float(v), 3) for name, v in zip(DIMENSIONS, measured.values[n, i], strict=True)}
        for n, sex in enumerate(measured.sexes)
        for i, level in enumerate(LEVELS)
    ]


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
