"""Every value that is reported: its id, unit, definition, source and the function that measures it.

The functions take the marked vertebrae of a spine and the levels that the value belongs to, so that one list serves
vertebrae, motion segments and the whole spine. `docs/measurements.md` of the bundle prints this list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values import arch, lumbar_alignment, segment, vertebral_body
from lumbar_ext.measurements.values.endplates import endplate

Spine = Mapping[str, MarkedVertebra]
Measure = Callable[[Spine, tuple[str, ...]], np.ndarray]

STOKES = "Stokes, Spine 1994;19:236 (SRS) and ISB proposal"
SIX_POINTS = "six-point morphometry: Eastell 1991; Genant 1993"
FROBIN = "after Frobin et al., Clin Biomech 1997;12 Suppl 1"
ZINDRICK = "Zindrick et al., Spine 1987;12:160"
OWN = "defined here"


class Scope(StrEnum):
    """What a value belongs to."""

    SPINE = "spine"
    VERTEBRA = "vertebra"
    SEGMENT = "segment"


@dataclass(frozen=True)
class Definition:
    """One kind of value.

    Args:
        id: its name in files.
        title: its name for readers.
        unit: "mm", "mm2", "deg", "%" or "1" for a ratio.
        scope: what it belongs to.
        text: how it is defined.
        source: where the definition comes from.
        measure: the function.
    """

    id: str
    title: str
    unit: str
    scope: Scope
    text: str
    source: str
    measure: Measure


def subjects(scope: Scope) -> list[tuple[str, ...]]:
    """The levels of everything that values of a scope can belong to."""
    return {
        Scope.SPINE: [LEVELS],
        Scope.VERTEBRA: [(level,) for level in LEVELS],
        Scope.SEGMENT: list(pairwise(LEVELS)),
    }[scope]


def subject_name(levels: tuple[str, ...]) -> str:
    """Such as "L3", "L3-L4" or "L1-L5"."""
    return levels[0] if len(levels) == 1 else f"{levels[0]}-{levels[-1]}"


def _vertebra(function: Callable[..., np.ndarray], *args) -> Measure:
    return lambda spine, levels: function(_required(spine, levels[0]), *args)


def _segment(function: Callable[..., np.ndarray]) -> Measure:
    return lambda spine, levels: function(_required(spine, levels[0]), _required(spine, levels[1]))


def _plate(side: str, attribute: str) -> Measure:
    return lambda spine, levels: getattr(endplate(_required(spine, levels[0]), side), attribute)


def _angle(which: int) -> Measure:
    return lambda spine, levels: lumbar_alignment.orientation_deg(_required(spine, levels[0]))[..., which]


def _relative(which: int) -> Measure:
    return lambda spine, levels: segment.relative_angles_deg(*(_required(spine, level) for level in levels))[..., which]


def _crush(spine: Spine, levels: tuple[str, ...]) -> np.ndarray:
    place = LEVELS.index(levels[0])
    others = [spine[LEVELS[i]] for i in (place - 1, place + 1) if 0 <= i < len(LEVELS) and LEVELS[i] in spine]
    vertebra = _required(spine, levels[0])
    if not others:
        raise NotMeasurableError("no neighbouring vertebra to compare with")
    return vertebral_body.crush_ratio(vertebra, others)


def _required(spine: Spine, level: str) -> MarkedVertebra:
    if level not in spine:
        raise NotMeasurableError(f"{level} is missing")
    return spine[level]


_SPINE = (
    Definition("lordosis_l1_l5", "Lumbar lordosis L1-L5", "deg", Scope.SPINE,
        "Angle from the superior endplate of L1 to the inferior endplate of L5 in the lumbar sagittal plane; positive for "
        "lordosis. Endplates are the least-squares planes of their rims. L1-S1 needs S1, which is not reconstructed.",
        "Cobb method; planes in 3D", lambda spine, _: lumbar_alignment.lordosis_deg(spine)),
    Definition("lordosis_l1_l5_3d", "Angle in space L1-L5", "deg", Scope.SPINE,
        "Angle in space between the same two endplates, free of any projection.", OWN,
        lambda spine, _: lumbar_alignment.lordosis_3d_deg(spine)),
    Definition("cobb", "Coronal Cobb angle", "deg", Scope.SPINE,
        "Largest coronal angle between the superior endplate of a vertebra and the inferior endplate of a lower one, over all "
        "pairs; positive where the curve is convex to the left. Coronal is across the lumbar frame: vertical, and the mean "
        "right-to-left axis of the vertebrae.",
        "Cobb 1948; " + STOKES, lambda spine, _: lumbar_alignment.cobb(spine).angle_deg),
)  # fmt: skip

_VERTEBRA = (
    Definition("axial_rotation", "Axial rotation", "deg", Scope.VERTEBRA,
        "Turn of the vertebra's right-to-left axis about the vertical, relative to the X-ray system; positive to the left. A "
        "turn of the whole person is part of it.",
        STOKES, _vertebra(lumbar_alignment.axial_rotation_deg)),
    Definition("sagittal_tilt", "Sagittal tilt", "deg", Scope.VERTEBRA,
        "Rotation about Y of the vertebra in the room, sequence Y-X'-Z''; positive where the top leans forward. Its Z bisects "
        "the normals of its endplates, its Y joins the pedicles.",
        STOKES + "; Z from endplate planes", _angle(1)),
    Definition("coronal_tilt", "Coronal tilt", "deg", Scope.VERTEBRA,
        "Rotation about X' of the vertebra in the room, sequence Y-X'-Z'', in the same frame; positive where the left side is "
        "higher.",
        STOKES + "; Z from endplate planes", _angle(0)),
    Definition("anterior_height", "Anterior height Ha", "mm", Scope.VERTEBRA,
        "Distance of the anterior rim points of both endplates in the vertebra's midsagittal plane.",
        SIX_POINTS, _vertebra(vertebral_body.anterior_height_mm)),
    Definition("middle_height", "Middle height Hm", "mm", Scope.VERTEBRA,
        "Distance of both endplate surfaces half-way between their anterior and posterior rim points.",
        SIX_POINTS, _vertebra(vertebral_body.middle_height_mm)),
    Definition("posterior_height", "Posterior height Hp", "mm", Scope.VERTEBRA,
        "Distance of the posterior rim points of both endplates in the vertebra's midsagittal plane.",
        SIX_POINTS, _vertebra(vertebral_body.posterior_height_mm)),
    Definition("wedge_ratio", "Wedge ratio Ha/Hp", "1", Scope.VERTEBRA, "Ha / Hp.",
        SIX_POINTS, _vertebra(vertebral_body.wedge_ratio)),
    Definition("biconcavity_ratio", "Biconcavity ratio Hm/Hp", "1", Scope.VERTEBRA, "Hm / Hp.",
        SIX_POINTS, _vertebra(vertebral_body.biconcavity_ratio)),
    Definition("crush_ratio", "Crush ratio", "1", Scope.VERTEBRA, "Hp over the mean Hp of the adjacent vertebrae.",
        SIX_POINTS, _crush),
    Definition("body_wedge", "Body wedge angle", "deg", Scope.VERTEBRA,
        "Sagittal angle between both endplates of the body; positive where it is taller in front.",
        "Masharawi et al. 2008", _vertebra(vertebral_body.body_wedge_deg)),
    *(
        Definition(f"{side}_endplate_{name}", f"{side.capitalize()} endplate {name}", unit, Scope.VERTEBRA,
            f"{text} of the {side} endplate.", OWN, _plate(side, attribute))
        for side in ("superior", "inferior")
        for name, unit, text, attribute in (
            ("width", "mm", "Largest right-to-left extent of the rim", "width_mm"),
            ("depth", "mm", "Distance of the anterior and posterior midsagittal rim points", "depth_mm"),
            ("area", "mm2", "Area inside the rim in its plane", "area_mm2"),
        )
    ),
    *(
        Definition(f"{side}_endplate_concavity", f"{side.capitalize()} endplate concavity", "mm", Scope.VERTEBRA,
            f"Depth of the deepest midsagittal point of the {side} endplate below the line between its rim points.",
            OWN, _vertebra(vertebral_body.concavity_mm, side))
        for side in ("superior", "inferior")
    ),
    *(
        Definition(f"{side}_pedicle_{name}", f"{side.capitalize()} pedicle {title}", unit, Scope.VERTEBRA, text, source,
            _vertebra(function, side))
        for side in ("left", "right")
        for name, title, unit, text, source, function in (
            ("width", "width", "mm", "Transverse outer diameter of the isthmus, the plane section of smallest area.",
             ZINDRICK, arch.pedicle_width_mm),
            ("height", "height", "mm", "Sagittal outer diameter of the isthmus.", ZINDRICK, arch.pedicle_height_mm),
            ("transverse_angle", "transverse angle", "deg",
             "Angle of the pedicle's axis, the normal of its isthmus, to the midsagittal plane; positive where it converges to "
             "the front.", ZINDRICK, arch.pedicle_transverse_angle_deg),
            ("sagittal_angle", "sagittal angle", "deg",
             "Angle of the pedicle's axis to the axial plane; positive where it rises to the front.",
             ZINDRICK, arch.pedicle_sagittal_angle_deg),
            ("screw_length", "screw length", "mm",
             "80 % of the longest straight line through the isthmus from posterior to anterior cortex, within 12 deg of the "
             "axis, that leaves room for a 6.5 mm screw, or for 90 % of the isthmus where that is narrower.",
             OWN, arch.screw_length_mm),
        )
    ),
    Definition("canal_width", "Canal width", "mm", Scope.VERTEBRA,
        "Smallest transverse width of the canal on axial sections at the pedicles (interpedicular distance).",
        OWN, _vertebra(arch.canal_width_mm)),
    Definition("canal_depth", "Canal depth", "mm", Scope.VERTEBRA,
        "Smallest midsagittal distance of posterior wall and lamina on axial sections at the pedicles.",
        OWN, _vertebra(arch.canal_depth_mm)),
    Definition("canal_area", "Canal area", "mm2", Scope.VERTEBRA,
        "Smallest area of the bony canal on axial sections at the pedicles.", OWN, _vertebra(arch.canal_area_mm2)),
    Definition("transverse_span", "Transverse process span", "mm", Scope.VERTEBRA,
        "Distance of the tips of the transverse processes along the vertebra's right-to-left axis.",
        "Panjabi et al., Spine 1992;17:299", _vertebra(arch.transverse_span_mm)),
    Definition("spinous_length", "Spinous process length", "mm", Scope.VERTEBRA,
        "Distance of the most posterior point from the front of the lamina in the midsagittal plane.",
        OWN, _vertebra(arch.spinous_length_mm)),
)  # fmt: skip

_SEGMENT = (
    Definition("segmental_lordosis", "Segmental lordosis", "deg", Scope.SEGMENT,
        "Sagittal angle from the superior endplate of the upper to the inferior endplate of the lower vertebra.",
        "Cobb method; planes in 3D", _segment(segment.segmental_lordosis_deg)),
    Definition("disc_angle", "Disc angle", "deg", Scope.SEGMENT,
        "Sagittal angle between the facing endplates; positive where the disc is taller in front.",
        FROBIN, _segment(segment.disc_angle_deg)),
    *(
        Definition(f"{name}_disc_height", f"{name.capitalize()} disc height", "mm", Scope.SEGMENT,
            f"Distance of the facing {where} across the disc's middle plane.", FROBIN, _segment(function))
        for name, where, function in (
            ("anterior", "anterior midsagittal rim points", segment.anterior_disc_height_mm),
            ("middle", "endplate surfaces, at the middle of each,", segment.middle_disc_height_mm),
            ("posterior", "posterior midsagittal rim points", segment.posterior_disc_height_mm),
        )
    ),
    Definition("sagittal_slip", "Sagittal slip", "mm", Scope.SEGMENT,
        "Posterior inferior corner of the upper body along the lower superior endplate, from its posterior corner; positive to "
        "the front.", "Meyerding 1932; Taillard 1954", _segment(segment.sagittal_slip_mm)),
    Definition("sagittal_slip_percent", "Sagittal slip", "%", Scope.SEGMENT,
        "The same in percent of the depth of the lower vertebra's superior endplate.",
        "Meyerding 1932; Taillard 1954", _segment(segment.sagittal_slip_percent)),
    Definition("lateral_slip", "Lateral slip", "mm", Scope.SEGMENT,
        "Centre of the upper inferior endplate's rim over that of the lower superior one, along the lower vertebra's "
        "right-to-left axis; positive to the left.", OWN, _segment(segment.lateral_slip_mm)),
    *(
        Definition(f"relative_{name}", f"Relative {name.replace('_', ' ')}", "deg", Scope.SEGMENT,
            f"Rotation of the upper vertebra in the lower one's frame, sequence Y-X'-Z'': {text}. Frames as for tilts.",
            STOKES + "; Z from endplate planes", _relative(which))
        for name, text, which in (
            ("flexion", "about Y, positive forward", 1),
            ("lateral_bend", "about X', positive with the left side up", 0),
            ("axial_rotation", "about Z'', positive to the left", 2),
        )
    ),
)  # fmt: skip

DEFINITIONS: tuple[Definition, ...] = (*_SPINE, *_VERTEBRA, *_SEGMENT)
BY_ID = {definition.id: definition for definition in DEFINITIONS}
