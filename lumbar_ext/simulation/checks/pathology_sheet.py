"""The command that draws one person with every pathology, from the left and from the front.

lumbar-ext pathology-sheet --output pathologies.png --seed 4
"""

from __future__ import annotations

from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.mesh.rendering import ColouredMesh, Framing, in_one_colour, render, tiled
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
_FRAMING = Framing((-20.0, 0.0, -10.0), 1.3)  # world; a tile holds 330 mm of height: T12 to the sacrum
_LIGHT_GREY, _IVORY, _TAN = (211.0, 211.0, 211.0), (255.0, 255.0, 240.0), (210.0, 180.0, 140.0)
"""Red, green, blue, as the web calls them."""


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
    population = Population.load(anatomy)
    people = [posed_person(population, StudySpec(seed, split, pathology=own, direction="neutral")) for own in EXAMPLES]
    rows = [
        [
            (_title(pathology) if row == 0 else "", render(_bones(posture), towards, (0, 0, 1), _TILE_PX, _FRAMING))
            for pathology, posture in zip(EXAMPLES, people, strict=True)
        ]
        for row, towards in enumerate(((0, 1, 0), (1, 0, 0)))
    ]
    with atomic_path(output) as temporary:
        tiled(rows).save(temporary, "PNG")
    print(output)


def _bones(posture: Posture) -> list[ColouredMesh]:
    """T12 to the sacrum in the upright person's frame, with colours."""
    person_from_world = posture.world_from_person.inverse()
    skeleton = posture.skeleton
    placed = [(skeleton.thoracic[0].solid, posture.world_from_thoracic[0], _LIGHT_GREY)]
    placed += [(v.solid, p, _IVORY) for v, p in zip(skeleton.lumbar, posture.world_from_vertebra, strict=True)]
    placed.append((skeleton.sacrum, posture.world_from_sacrum, _TAN))
    return [in_one_colour(solid.moved(person_from_world @ pose), colour) for solid, pose, colour in placed]


def _title(pathology: Pathology | None) -> str:
    if pathology is None:
        return "none"
    amount = f"{pathology.amount:g}" if pathology.amount else ""
    return " ".join(part for part in (pathology.kind, pathology.level, amount) if part)
