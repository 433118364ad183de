"""Every value that is reported: its id, unit, definition, source and the function that measures it.

The functions take the marked vertebrae of a spine and the levels that the value belongs to, so that one list serves
vertebrae, motion segments and the whole spine. `docs/measurements.md` of the bundle prints this list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import pairwise

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values import (
    arch,
    coronal_curve,
    lumbar_alignment,
    sacral_alignment,
    segment,
    vertebral_body,
)
from lumbar_ext.measurements.values.endplates import endplate
from lumbar_ext.measurements.values.spine_frame import marked_level

Spine = Mapping[str, MarkedVertebra]
Measure = Callable[[Spine, tuple[str, ...]], np.ndarray]

STOKES = "Stokes, Spine 1994;19:236 (SRS) and ISB proposal"
SIX_POINTS = "six-point morphometry: Eastell 1991; Genant 1993"
FROBIN = "after Frobin et al., Clin Biomech 1997;12 Suppl 1"
ZINDRICK = "Zindrick et al., Spine 1987;12:160"
YILGOR = "Yilgor et al., J Bone Joint Surg Am 2017;99:1661 (GAP score)"
DUVAL = "Duval-Beaupère et al., Ann Biomed Eng 1992;20:451"
ROUSSOULY = "after Roussouly et al., Spine 2005;30:346"
SRS = "SRS Terminology Committee, apical vertebral translation from the central sacral vertical line"
OWN = "defined here"


class Scope(StrEnum):
    """What a value belongs to: the whole spine, one vertebra, or two neighbours and the disc between them."""

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
        levels: of the spine, first and last that a value of the whole spine belongs to; L1 to L5 by default.
    """

    id: str
    title: str
    unit: str
    scope: Scope
    text: str
    source: str
    measure: Measure
    levels: tuple[str, ...] = (LEVELS[0], LEVELS[-1])

    @property
    def subjects(self) -> list[tuple[str, ...]]:
        """The levels of everything that its values belong to."""
        return {
            Scope.SPINE: [self.levels],
            Scope.VERTEBRA: [(level,) for level in LEVELS],
            Scope.SEGMENT: list(pairwise((*LEVELS, "S1"))),
        }[self.scope]


def subject_name(levels: tuple[str, ...]) -> str:
    """Such as "L3", "L3-L4", "L1-L5" or "S1"."""
    return levels[0] if len(levels) == 1 else f"{levels[0]}-{levels[-1]}"


def _vertebra(function: Callable[..., np.ndarray], *args) -> Measure:
    return lambda spine, levels: function(marked_level(spine, levels[0]), *args)


def _segment(function: Callable[..., np.ndarray], lumbosacral: Callable[..., np.ndarray] | None = None) -> Measure:
    """A value of two neighbours; with a function of its own for L5-S1 where S1 lacks what the other needs."""

    def measure(spine: Spine, levels: tuple[str, ...]) -> np.ndarray:
        upper, lower = levels
        above = marked_level(spine, upper)
        if lower != "S1":
            return function(above, marked_level(spine, lower))
        return (lumbosacral or function)(above, sacral_alignment.sacrum_under_l5(spine))

    return measure


def _plate(side: str, attribute: str) -> Measure:
    return lambda spine, levels: getattr(endplate(marked_level(spine, levels[0]), side), attribute)


def _angle(which: int) -> Measure:
    return lambda spine, levels: lumbar_alignment.orientation_deg(marked_level(spine, levels[0]))[..., which]


def _relative(which: int) -> Measure:
    return _segment(
        lambda upper, lower: segment.relative_angles_deg(upper, lower)[..., which],
        lambda fifth, sacrum: segment.lumbosacral_angles_deg(fifth, sacrum)[..., which],
    )


def _crush(spine: Spine, levels: tuple[str, ...]) -> np.ndarray:
    place = LEVELS.index(levels[0])
    others = [spine[LEVELS[i]] for i in (place - 1, place + 1) if 0 <= i < len(LEVELS) and LEVELS[i] in spine]
    vertebra = marked_level(spine, levels[0])
    if not others:
        raise NotMeasurableError("no neighbouring vertebra to compare with")
    return vertebral_body.crush_ratio(vertebra, others)


def _t12_offset(axis: str, spine: Spine, levels: tuple[str, ...]) -> np.ndarray:
    return sacral_alignment.t12_offset_mm(spine, axis)


def _never(reason: str) -> Measure:
    """A value that no reconstruction can have yet."""

    def measure(spine: Spine, levels: tuple[str, ...]) -> np.ndarray:
        raise NotMeasurableError(reason)

    return measure


_SPINE = (
    Definition("lordosis_l1_l5", "Lumbar lordosis L1-L5", "deg", Scope.SPINE,
        "Angle from the superior endplate of L1 to the inferior endplate of L5 in the lumbar sagittal plane; positive for "
        "lordosis. Endplates are the least-squares planes of their rims.",
        "Cobb method; planes in 3D", lambda spine, _: lumbar_alignment.lordosis_deg(spine)),
    Definition("lordosis_l1_l5_3d", "Angle in space L1-L5", "deg", Scope.SPINE,
        "Angle in space between the same two endplates, free of any projection.", OWN,
        lambda spine, _: lumbar_alignment.lordosis_3d_deg(spine)),
    Definition("cobb", "Coronal Cobb angle", "deg", Scope.SPINE,
        "Largest coronal angle between the superior endplate of a vertebra and the inferior endplate of a lower one, over all "
        "pairs; positive where the curve is convex to the left. Coronal is across the lumbar frame: vertical, and the mean "
        "right-to-left axis of the vertebrae.",
        "Cobb 1948; " + STOKES, lambda spine, _: lumbar_alignment.cobb(spine).angle_deg),
    Definition("lordosis_l1_s1", "Lumbar lordosis L1-S1", "deg", Scope.SPINE,
        "Angle from the superior endplate of L1 to that of S1 in the lumbar sagittal plane; positive for lordosis. S1's is the "
        "plane of its located edges.",
        "Cobb method; planes in 3D", lambda spine, _: sacral_alignment.sacral_lordosis_deg(spine, "L1"), ("L1", "S1")),
    Definition("lordosis_l4_s1", "Lower lordosis L4-S1", "deg", Scope.SPINE,
        "The same from the superior endplate of L4.",
        "Cobb method; planes in 3D", lambda spine, _: sacral_alignment.sacral_lordosis_deg(spine, "L4"), ("L4", "S1")),
    Definition("lordosis_distribution", "Lordosis distribution index", "%", Scope.SPINE,
        "Lordosis L4-S1 in percent of L1-S1; only where that is 10 deg or more.",
        YILGOR, lambda spine, _: sacral_alignment.lordosis_distribution_percent(spine), ("L1", "S1")),
    Definition("sacral_slope", "Sacral slope", "deg", Scope.SPINE,
        "Angle of the superior endplate of S1 to the horizontal in the lumbar sagittal plane; positive where it falls to the "
        "front.", DUVAL, lambda spine, _: sacral_alignment.sacral_slope_deg(spine), ("S1",)),
    Definition("lordosis_apex_offset", "Apex of the lordosis in front of S1", "mm", Scope.SPINE,
        "How far the centre of the vertebra or disc that stands farthest in front lies before the vertical through the centre "
        "of S1's superior endplate.", ROUSSOULY,
        lambda spine, _: sacral_alignment.apex(spine, "front").beside_mm, ("L1", "S1")),
    Definition("apical_translation", "Apical translation", "mm", Scope.SPINE,
        "How far the centre of the vertebra or disc that stands farthest aside lies beside the vertical through the centre of "
        "S1's superior endplate; positive to the left.",
        SRS, lambda spine, _: sacral_alignment.apex(spine, "left").beside_mm, ("L1", "S1")),
    *(
        Definition(f"t12_{name}_offset", f"T12 over S1, {name}", "mm", Scope.SPINE,
            f"How far the centre of T12 lies {where} the vertical through the centre of S1's superior endplate.",
            OWN, partial(_t12_offset, axis), ("T12", "S1"))
        for name, axis, where in (
            ("sagittal", "front", "in front of"), ("coronal", "left", "to the left of"))
    ),
    Definition("upper_end_rotation", "Rotation at the curve's upper end", "deg", Scope.SPINE,
        "Axial rotation of the Cobb angle's upper end vertebra in the frame of the next one below, as the relative axial "
        "rotation; only where the Cobb angle is 10 deg or more.",
        STOKES, lambda spine, _: coronal_curve.upper_end_rotation_deg(spine)),
    Definition("apical_rotation", "Rotation of the curve's apex", "deg", Scope.SPINE,
        "Axial rotation of the vertebra that stands farthest from the line between the end vertebrae's centres, against the "
        "mean of these two; positive to the left. Only where the Cobb angle is 10 deg or more.",
        STOKES, lambda spine, _: coronal_curve.apical_rotation_deg(spine)),
    Definition("lower_end_rotation", "Rotation at the curve's lower end", "deg", Scope.SPINE,
        "Axial rotation of the vertebra above the Cobb angle's lower end vertebra in the frame of that; only where the Cobb "
        "angle is 10 deg or more.",
        STOKES, lambda spine, _: coronal_curve.lower_end_rotation_deg(spine)),
    Definition("lordosis_t12_s1", "Lordosis T12-S1", "deg", Scope.SPINE,
        "Angle from the superior endplate of T12 to that of S1 in the lumbar sagittal plane.",
        "Cobb method; planes in 3D", _never("of T12 only the centre is located, not its endplates"), ("T12", "S1")),
    Definition("thoracolumbar_angle", "Thoracolumbar angle T10-L2", "deg", Scope.SPINE,
        "Angle from the superior endplate of T10 to the inferior endplate of L2; positive for kyphosis.",
        "Cobb method", _never("no endplate of T10 is located: the spine above T12's centre is not looked at"), ("T10", "L2")),
    Definition("pelvic_incidence", "Pelvic incidence", "deg", Scope.SPINE,
        "Angle between the normal of S1's superior endplate and the line from its centre to the middle of the femoral heads, "
        "in the lumbar sagittal plane: pelvic tilt and sacral slope together. Only where the heads were marked.",
        DUVAL, lambda spine, _: sacral_alignment.pelvic_incidence_deg(spine), ("S1",)),
    Definition("pelvic_tilt", "Pelvic tilt", "deg", Scope.SPINE,
        "Angle between the vertical and the line from the middle of the femoral heads to the centre of S1's superior endplate, "
        "in the lumbar sagittal plane; positive where S1 stands behind them.",
        DUVAL, lambda spine, _: sacral_alignment.pelvic_tilt_deg(spine), ("S1",)),
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
        "Sagittal angle from the superior endplate of the upper to the inferior endplate of the lower vertebra; of S1, to its "
        "superior one.",
        "Cobb method; planes in 3D", _segment(segment.segmental_lordosis_deg, segment.lumbosacral_lordosis_deg)),
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
            f"Rotation of the upper vertebra in the lower one's frame, sequence Y-X'-Z'': {text}. Frames as for tilts; S1's Z "
            "stands on its superior endplate.",
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
