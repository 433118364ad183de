"""The command that draws one person with every pathology, from the left and from the front.

lumbar-ext pathology-sheet --output pathologies.png --seed 4
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.bones.pathology import Pathology
from lumbar_ext.simulation.bones.person import posed_person
from lumbar_ext.simulation.bones.simulated_population import Population
from lumbar_ext.simulation.cohort import DEFAULT_ANATOMY
from lumbar_ext.simulation.posture.posed_spine import Posture
from lumbar_ext.simulation.study_spec import StudySpec

EXAMPLES: tuple[Pathology | None, ...] = (
    None,
    Pathology("wedge", "L1", 0.4),
    Pathology("biconcave", "L2", 0.4),
    Pathology("crush", "L3", 0.35),
    Pathology("osteophytes", None, 8.0),
    Pathology("slip", "L4", 0.25),
    Pathology("slip", "L5", 0.3),
    Pathology("scoliosis", None, 35.0),
    Pathology("fusion", "L2", 0.7),
    Pathology("sacralised"),
    Pathology("lumbarised"),
)

_TILE_PX = (230, 430)  # columns and rows of a person
_CAMERA_MM = 620.0  # from the spine's middle
_MIDDLE_MM = (-20.0, 0.0, -10.0)  # of what is shown, world


def pathology_sheet(output: str, seed: int = 4, *, split: str = "train", anatomy: str = str(DEFAULT_ANATOMY)) -> None:
    """Draws the sheet.

    Args:
        output: PNG file to write.
        seed: of the person.
        split: "train", "validation" or "test".
        anatomy: anatomy file.

    Raises:
        InputError: for an unknown split or a missing anatomy file.
    """
    import pyvista

    population = Population.load(anatomy)
    width, height = _TILE_PX
    plotter = pyvista.Plotter(
        off_screen=True, shape=(2, len(EXAMPLES)), window_size=(width * len(EXAMPLES), 2 * height), border=False
    )
    for column, pathology in enumerate(EXAMPLES):
        posture = posed_person(population, StudySpec(seed, split, pathology=pathology, direction="neutral"))
        for row, side in enumerate(((0.0, 1.0), (1.0, 0.0))):
            plotter.subplot(row, column)
            for solid, colour in _bones(posture):
                faces = np.concatenate([np.full((len(solid.triangles), 1), 3), solid.triangles], axis=1)
                plotter.add_mesh(pyvista.PolyData(solid.vertices_mm, faces.ravel()), color=colour)
            eye = np.array(_MIDDLE_MM) + _CAMERA_MM * np.array([*side, 0.0])
            plotter.camera_position = [eye, _MIDDLE_MM, (0, 0, 1)]
        plotter.subplot(0, column)
        plotter.add_text(_title(pathology), font_size=8, color="black")
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    plotter.screenshot(output)
    print(output)


def _bones(posture: Posture) -> list[tuple[Surface, str]]:
    """T12 to the sacrum in the upright person's frame, with colours."""
    person_from_world = posture.world_from_person.inverse()
    skeleton = posture.skeleton
    placed = [(skeleton.thoracic[0].solid, posture.world_from_thoracic[0], "lightgrey")]
    placed += [(v.solid, p, "ivory") for v, p in zip(skeleton.lumbar, posture.world_from_vertebra, strict=True)]
    placed.append((skeleton.sacrum, posture.world_from_sacrum, "tan"))
    return [(solid.moved(person_from_world @ pose), colour) for solid, pose, colour in placed]


def _title(pathology: Pathology | None) -> str:
    if pathology is None:
        return "none"
    amount = f"{pathology.amount:g}" if pathology.amount else ""
    return " ".join(part for part in (pathology.kind, pathology.level, amount) if part)
