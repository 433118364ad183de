"""Ranges of everything the simulator draws at random, with their sources.

Figures marked (B) are the field's, from memory and not read again; "estimated" ones were judged by eye.

Literature tags: P84 Pearcy 1984 and White & Panjabi (range of motion); L09 Li 2009 (weight-bearing dual fluoroscopy);
S20 the supine and standing lordosis of 627 adults (PMC6680033); VID real CT keypoints (`posture_statistics`).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PostureParameters:
    """Posture. Five values are for the joints L1-L2 .. L5-S1, ten for T8-T9 .. L5-S1."""

    # Supine to standing adds 13 deg of lordosis (S20), most of it in the lower arc.
    standing_shift_deg: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 3.0)
    # Mean and SD before the standing shift; gives L1-S1 of about 50 +- 11 deg standing (S20: 49.8 +- 11.2).
    l5_s1_flexion_deg: tuple[float, float] = (14.5, 4.5)
    # Fraction of the L4-L5 deviation that L5-S1 shares: both follow the sacral slope.
    l5_s1_coupling: float = 0.15
    thoracic_flexion_deg: tuple[float, ...] = (-4.5, -4.0, -3.5, -3.0, -2.0)
    # Keypoint noise (about 1 mm over the 25 mm between pedicles) inflates axial angles; the last level's chord is
    # extrapolated.
    axial_scale: float = 0.6
    flexion_scale: float = 0.75
    l4_l5_lateral_scale: float = 0.5
    anchor_flexion_deg: tuple[float, float] = (-2.0, 4.0)
    anchor_lateral_sd_deg: float = 2.0
    anchor_axial_sd_deg: float = 2.0

    scoliosis_share: float = 0.12
    # Lowest, most frequent and highest Cobb angle.
    scoliosis_cobb_deg: tuple[float, float, float] = (8.0, 14.0, 40.0)
    # Apical rotation of 11 deg in curves of 44 deg (PMC5320720).
    scoliosis_rotation_ratio: float = 0.25

    # Between endplate centres: body-centre spacings of VID (34.4 .. 36.5 mm) less body heights of 25-28 mm, and less
    # the 1 mm or so by which facets that touch part the bodies.
    disc_height_mm: tuple[float, ...] = (4.0, 4.5, 5.0, 5.5, 6.2, 7.6, 8.2, 8.8, 9.0, 9.4)
    disc_common_sd: float = 0.08
    disc_sd_mm: float = 1.2
    disc_degenerated_share: float = 0.10
    disc_degenerated_factor: tuple[float, float] = (0.3, 0.75)
    disc_min_mm: float = 2.0
    disc_translation_sd_mm: float = 0.8

    neutral_share: float = 0.35
    # Fractions of the full range, slight to full.
    excursion: tuple[tuple[float, float], ...] = ((0.15, 0.45), (0.45, 0.75), (0.75, 1.0))
    joint_share_sd: float = 0.2
    # Both directions together, per joint L1-L2 .. L5-S1 (P84).
    flexion_extension_deg: tuple[float, ...] = (13.0, 14.0, 13.0, 16.0, 14.0)
    flexion_share: float = 0.6
    extension_share: float = 0.2
    lateral_bend_deg: tuple[float, ...] = (10.0, 11.0, 10.0, 6.0, 3.0)
    axial_rotation_deg: tuple[float, ...] = (2.0, 2.0, 3.0, 3.0, 2.0)
    # Axial rotation opposite to the bend, between 1:5 and 1:3, the other way at L5-S1 (White & Panjabi).
    coupled_axial_ratio: tuple[float, ...] = (0.22, 0.22, 0.22, 0.22, -0.22)
    flexion_lean_deg: tuple[float, float] = (5.0, 25.0)
    extension_lean_deg: tuple[float, float] = (-12.0, -2.0)
    bend_lean_deg: tuple[float, float] = (0.0, 8.0)
    twist_turn_deg: tuple[float, float] = (2.0, 15.0)

    # How well the person is aligned with the room: half ranges.
    trunk_turn_deg: float = 10.0
    trunk_tilt_deg: float = 4.0
    offset_mm: tuple[float, float, float] = (20.0, 20.0, 40.0)


@dataclass(frozen=True)
class PathologyParameters:
    """Pathologies, drawn only where a cohort asks for them. Shares are of the people in a mixed cohort."""

    none_share: float = 0.5
    wedge_share: float = 0.08
    biconcave_share: float = 0.06
    crush_share: float = 0.04
    osteophytes_share: float = 0.08
    slip_share: float = 0.07
    scoliosis_share: float = 0.07
    fusion_share: float = 0.03
    # Lumbarised 5.8 %, sacralised 4.1 % of 5,941 people (French 2014).
    sacralised_share: float = 0.03
    lumbarised_share: float = 0.04

    # Loss of height: Genant grade 1 is 20-25 %, 2 is 25-40 %, 3 more.
    fracture_loss: tuple[float, float] = (0.20, 0.50)
    # Probabilities of L1 to L5: fractures gather at the thoracolumbar junction.
    fracture_level: tuple[float, ...] = (0.40, 0.22, 0.16, 0.12, 0.10)
    # Spurs of the rim (2-10 mm).
    osteophyte_mm: tuple[float, float] = (2.0, 8.0)
    osteophyte_count: tuple[int, int] = (2, 5)
    # Fraction of the depth of the endplate below: Meyerding I, and II up to 30 %.
    slip: tuple[float, float] = (0.05, 0.30)
    # Degenerative slips are most frequent at L4-L5, isthmic ones at L5-S1: probabilities of L1 to L5.
    slip_level: tuple[float, ...] = (0.0, 0.02, 0.13, 0.45, 0.40)
    cobb_deg: tuple[float, float] = (10.0, 40.0)
    # Height that is left of a bridged disc.
    fusion_disc: tuple[float, float] = (0.4, 0.9)


@dataclass(frozen=True)
class WearParameters:
    """Worn motion segments, in any person. MRI shows disc degeneration in 37 % of painless people of 20 years and in 80 % of
    those of 50 (Brinjikji 2015, B); radiographs show the later stages of it. Shares and sizes are estimated."""

    share: float = 0.40
    severity: tuple[float, float] = (0.3, 1.0)
    # Of the joints L1-L2 .. L5-S1: L4-L5 and L5-S1 wear first (B).
    joint_share: tuple[float, ...] = (0.30, 0.40, 0.50, 0.75, 0.70)
    # Height that is left of a disc.
    disc: tuple[float, float] = (0.25, 0.85)
    # Longest spur of the facing rims: from none to nearly bridging (the grades of Nathan 1962, B).
    spur_mm: tuple[float, float] = (0.5, 8.0)
    # Added thickness of facing endplates, in multiples of it: sclerosis of 1-3 mm.
    sclerosis: tuple[float, float] = (0.0, 2.2)
    # Arthrotic facets, in more than half of the worn segments, grow by some mm.
    facet_share: float = 0.6
    facet_mm: tuple[float, float] = (0.5, 3.5)
    # Gas and calcium in worn discs: a few per cent of all people's radiographs show either (B).
    gas_share: float = 0.15
    calcium_share: float = 0.07
    calcium: tuple[float, float] = (0.15, 0.6)


@dataclass(frozen=True)
class TrunkParameters:
    """Trunk and ribs. Sizes are of the skin at the waist: adults have 180-300 mm of depth, 280-420 mm of width; obese
    ones up to 400 mm of depth (estimated: a BMI of 50)."""

    width_mm: tuple[float, float] = (275.0, 400.0)
    depth_ratio: tuple[float, float] = (0.60, 0.80)
    depth_mm: tuple[float, float] = (180.0, 300.0)
    fat_mm: tuple[float, float] = (6.0, 34.0)
    # Skin, fat and fascia behind the hindmost bone.
    back_cover_mm: tuple[float, float] = (8.0, 45.0)
    obese_share: float = 0.2
    obese_width_mm: tuple[float, float] = (370.0, 500.0)
    obese_depth_ratio: tuple[float, float] = (0.68, 0.86)
    obese_depth_mm: tuple[float, float] = (270.0, 400.0)
    obese_fat_mm: tuple[float, float] = (25.0, 50.0)
    obese_back_cover_mm: tuple[float, float] = (30.0, 80.0)
    hip_ratio: tuple[float, float] = (1.05, 1.25)
    chest_ratio: tuple[float, float] = (0.95, 1.10)
    # Lowest point of the lungs above L3: between the middle of T12 and that of T10.
    lung_base_mm: tuple[float, float] = (75.0, 140.0)
    # Top of the diaphragm above that.
    diaphragm_dome_mm: tuple[float, float] = (30.0, 80.0)
    # 0.26 g/cm3 inflated (ICRU Report 44); more when the breath is half held.
    lung_density: tuple[float, float] = (0.24, 0.42)
    # Relative amplitude of vessels and bronchi in the lung.
    lung_markings: tuple[float, float] = (0.01, 0.05)
    gas_chains: tuple[int, int] = (1, 9)
    gas_radius_mm: tuple[float, float] = (5.0, 19.0)
    # Folds and fluid leave less than the full path through a lumen.
    gas_contrast: tuple[float, float] = (0.2, 0.75)
    stool_patches: tuple[int, int] = (0, 5)
    fat_lobules: tuple[int, int] = (50, 130)
    # Organs and bowel are no ellipsoids: their images are warped by this much (standard deviation on the detector), with
    # waves of this length.
    warp_mm: tuple[float, float] = (2.0, 5.5)
    warp_wave_mm: tuple[float, float] = (14.0, 34.0)
    # Fat exchanged for water at random along a ray through 200 mm of viscera: standard deviation in mm.
    mottle_mm: tuple[float, float] = (3.0, 11.0)
    # Plaques of the aortic wall: share of people at 20 years and at 88.
    calcification_share: tuple[float, float] = (0.0, 0.45)
    # Fall of the ribs in mm per mm of arc; arc of the twelfth rib in rad of the trunk's ellipse.
    rib_slope: tuple[float, float] = (0.25, 0.75)
    rib_arc: tuple[float, float] = (0.35, 1.2)
    no_twelfth_rib_share: float = 0.06
    # Arms folded in front of the chest or raised with the elbows in front: they cross the top of the lateral view.
    arms_share: float = 0.15
    # Arms that hang or hold on to something in front: they cross the spine of the lateral view.
    hanging_arms_share: float = 0.10
    # Breasts that reach into the picture, of women: radius, and height above L3.
    breast_share: float = 0.3
    breast_mm: tuple[float, float] = (45.0, 80.0)
    breast_height_mm: tuple[float, float] = (110.0, 220.0)
    # Posts and edges of a standing frame, rulers, edges of a table: straight bars beside or behind the person.
    frame_share: float = 0.15
    frame_bars: tuple[int, int] = (1, 3)
    frame_radius_mm: tuple[float, float] = (0.8, 12.0)
    frame_density: tuple[float, float] = (0.03, 0.6)
    # Support behind the person (standing frame or table top): two skins of carbon fibre over foam.
    table_share: float = 0.15
    table_skin_mm: tuple[float, float] = (0.8, 2.0)


@dataclass(frozen=True)
class BoneParameters:
    """What bones are made of: mineral by age and level, marrow fat, cortical shell, texture."""

    age_years: tuple[float, float] = (20.0, 88.0)
    # CT number of L1: 226 HU below 30 years, falling by 2.5 HU a year (Jang 2019), and its spread.
    trabecular_hu_at_30: float = 226.0
    trabecular_hu_per_year: float = -2.5
    trabecular_hu_sd: float = 28.0
    trabecular_hu_limits: tuple[float, float] = (45.0, 300.0)
    # Against L1, for T8-T12, L1 .. L5 and the sacrum: opportunistic CT series find the least at L3-L4.
    level_density: tuple[float, ...] = (1.08, 1.0, 0.98, 0.95, 0.95, 0.99, 0.85)
    # Fat share of marrow at 20 and at 88 years, and its spread.
    marrow_fat: tuple[float, float] = (0.30, 0.60)
    marrow_fat_sd: float = 0.06
    # True cortex of the body's wall is 0.3-0.4 mm (Silva 1994, Edwards 2001); endplates with their subchondral bone are
    # about twice that (Edwards 2001), and reach 1 mm at the rim.
    wall_mm: tuple[float, float] = (0.25, 0.50)
    endplate_mm: tuple[float, float] = (0.5, 1.05)
    # Pedicles, laminae and processes are mostly cortical.
    posterior_shell_mm: tuple[float, float] = (0.7, 1.4)
    pelvic_shell_mm: tuple[float, float] = (0.5, 1.2)
    # Standard deviation of the logarithm of the thickness over the surface, and the wavelengths of that.
    shell_variation: tuple[float, float] = (0.15, 0.40)
    shell_wave_mm: tuple[float, float] = (8.0, 40.0)
    # Volume share of dense bone in shells: the rest is pores and, at the resolution of meshes, marrow.
    shell_density: tuple[float, float] = (0.45, 0.85)
    # Standard deviation of the path in trabecular bone, in mm per root of mm.
    trabecular_texture: tuple[float, float] = (0.02, 0.09)
    # The same for patches of denser and rarer bone of 3-8 mm.
    trabecular_patches: tuple[float, float] = (0.0, 0.06)


@dataclass(frozen=True)
class BeamParameters:
    """X-ray physics and detector: tube voltage, filtration, dose, scatter, blur."""

    # Tube voltage by view, and total filtration. Biplanar lumbar protocols run at 70-90 kV (Yu et al.: 78 kV).
    tube_kv_ap: tuple[float, float] = (68.0, 86.0)
    tube_kv_lat: tuple[float, float] = (70.0, 92.0)
    aluminium_mm: tuple[float, float] = (2.5, 4.5)
    # Bins of the spectrum; 0 renders at one effective energy.
    energy_bins: int = 6
    # Mean energy of a 78 kV beam behind 20-35 cm of water: 54 to 57.5 keV (MCGPU spectra in DeepDRR, NIST tables).
    energy_kev: tuple[float, float] = (50.0, 60.0)
    # Scatter-to-primary ratios behind a grid or an air gap, of a person of typical thickness; they grow with a power of the
    # thickness (without a grid the ratio is 4.5 behind 25 cm, Bushberg; the power is estimated).
    scatter_ap: tuple[float, float] = (0.2, 1.2)
    scatter_lat: tuple[float, float] = (0.4, 2.0)
    scatter_power: tuple[float, float] = (1.0, 2.0)
    typical_thickness_ap_mm: float = 235.0
    typical_thickness_lat_mm: float = 330.0
    # Automatic exposure: how much of the attenuation by additional thickness is made up for, and the most it gives.
    exposure_control: tuple[float, float] = (0.5, 0.95)
    exposure_control_limit: float = 12.0
    # Heel of the anode: fall of the beam from one end of the film to the other, along its height or width.
    heel: tuple[float, float] = (0.0, 0.4)
    scatter_sigma_mm: tuple[float, float] = (30.0, 80.0)
    # 1178 photons per 0.834 mm pixel and mAs behind 25 cm at 1200 mm and 78 kV; 2.4e-3 of the beam passes.
    photons_per_mas: float = 4.9e5
    detective_efficiency: tuple[float, float] = (0.4, 0.7)
    mas_ap: tuple[float, float] = (2.0, 25.0)
    mas_lat: tuple[float, float] = (2.5, 30.0)
    # Weights of the neighbours in the detector's correlated noise.
    noise_neighbour: tuple[float, float] = (0.02, 0.11)
    # Width of the focal spot (IEC 60336 nominal 0.6-1.2), and the detector's own spread.
    focal_spot_mm: tuple[float, float] = (0.6, 1.6)
    detector_blur_mm: tuple[float, float] = (0.1, 0.5)


@dataclass(frozen=True)
class AppearanceParameters:
    """What happens between the detector and the picture file."""

    collimation_share: float = 0.30
    # Half widths of the open field as fractions of the half panel.
    collimation_u: tuple[float, float] = (0.45, 0.98)
    collimation_v: tuple[float, float] = (0.86, 1.0)
    # Least distance of a shutter from the landmarks, as a fraction of the panel.
    collimation_margin: tuple[float, float] = (0.01, 0.06)
    marker_share: float = 0.35
    metal_share: float = 0.08
    # Pedicle screws with rods; cages in the discs between them, and cages alone.
    screw_share: float = 0.05
    cage_beside_screws_share: float = 0.5
    cage_share: float = 0.01
    # Cement in one or two vertebral bodies after a fracture.
    cement_share: float = 0.02
    # Lines of a grid that the processing left over: amplitude in the signal, period on the detector.
    grid_share: float = 0.10
    grid_amplitude: tuple[float, float] = (0.004, 0.04)
    grid_period_mm: tuple[float, float] = (1.2, 8.0)
    # Films higher than one panel are stitched: step of the signal at the seam, and width of the overlap.
    stitched_from_mm: float = 430.0
    stitch_step: tuple[float, float] = (0.0, 0.15)
    stitch_overlap_mm: tuple[float, float] = (0.0, 30.0)
    # By which the lower part is laid off the upper one, along and across the seam, on the film.
    stitch_offset_mm: tuple[float, float] = (0.0, 1.0)
    # Shutters that are left white instead of being masked black.
    white_shutter_share: float = 0.08
    # Detectors saturate in the open beam: this much (natural logarithm) below the median signal behind the person.
    saturation: tuple[float, float] = (1.5, 3.2)
    # Strength of the dynamic range compression that vendors apply, and its scale.
    equalisation: tuple[float, float] = (0.3, 0.85)
    equalisation_sigma_mm: tuple[float, float] = (15.0, 60.0)
    # The rest of the vendors enhances contrast scale by scale (Vuylsteke and Schoeters 1994): exponent of weak contrasts,
    # gains of the finest and the coarsest scale, estimated.
    multiscale_share: float = 0.5
    multiscale_exponent: tuple[float, float] = (0.6, 1.0)
    multiscale_fine: tuple[float, float] = (0.8, 2.2)
    multiscale_coarse: tuple[float, float] = (0.3, 1.0)
    sharpening: tuple[float, float] = (0.0, 1.2)
    sharpening_sigma_mm: tuple[float, float] = (0.8, 4.0)
    # Percentiles of the anatomy that become black and white; mostly of what lies well inside the skin.
    low_percentile: tuple[float, float] = (0.1, 5.0)
    high_percentile: tuple[float, float] = (98.0, 99.95)
    interior_window_share: float = 0.9
    gamma: tuple[float, float] = (0.65, 1.6)
    sigmoid_share: float = 0.4
    sigmoid_gain: tuple[float, float] = (3.0, 7.0)
    sigmoid_cutoff: tuple[float, float] = (0.4, 0.6)
    inverted_share: float = 0.0


@dataclass(frozen=True)
class GeometryParameters:
    """Cone-beam geometry of the two views."""

    source_detector_mm: tuple[float, float] = (1000.0, 1500.0)
    # Source to detector over source to person.
    magnification: tuple[float, float] = (1.2, 1.5)
    source_object_mm: tuple[float, float] = (700.0, 1050.0)
    posteroanterior_share: float = 0.20
    lateral_from_right_share: float = 0.0
    view_angle_deg: tuple[float, float] = (80.0, 100.0)
    rig_tilt_deg: float = 2.0
    panel_roll_deg: float = 2.0
    panel_tilt_deg: float = 2.0
    detector_offset_mm: float = 15.0
    # 512 pixels of the network grid: nothing is resampled on the way there. Pixels of every film are as large as those.
    panel_mm: float = 427.008
    # Films of other formats: 18 x 43 cm and 30 x 40 cm cassettes to long films of two panels; sizes by view.
    format_share: float = 0.35
    film_width_mm: tuple[float, float] = (180.0, 430.0)
    film_height_mm: tuple[float, float] = (300.0, 640.0)
    # Studies whose film ends above L2 or below L4, and share of these in which a view is so; where the edge lies, in
    # vertebrae from the middle of L1 up or the middle of L5 down.
    cut_share: float = 0.15
    cut_view_share: float = 0.7
    cut_top: tuple[float, float] = (-0.6, 0.7)
    cut_bottom: tuple[float, float] = (-0.4, 1.3)
    # Studies whose spine is anywhere on the film instead of near its middle.
    off_centre_share: float = 0.25
    # Errors of the stated cameras against the true ones, drawn for each study: standard deviations of source and detector
    # positions, and of a turn of the lateral against the AP view.
    calibration_noise_mm: tuple[float, float] = (0.0, 0.5)
    calibration_turn_deg: tuple[float, float] = (0.0, 0.2)
    # By which the distance from source to detector and the size of pixels are stated wrong, for each view, estimated.
    calibration_distance_mm: tuple[float, float] = (0.0, 5.0)
    calibration_spacing_percent: tuple[float, float] = (0.0, 0.5)


@dataclass(frozen=True)
class SlotParameters:
    """Two films that a biplanar slot scanner takes at once."""

    # 987 and 918 mm of the one pair whose tags are public (TomLeppens99/SpineModelling).
    source_isocentre_mm: tuple[float, float] = (900.0, 1000.0)
    # At the isocentre; of the same pair 340 and 316 mm wide and 1630 mm high. Cropped to the lumbar spine and what is near it.
    film_width_mm: tuple[float, float] = (310.0, 345.0)
    film_height_mm: tuple[float, float] = (300.0, 640.0)
    # The network's pixels of 0.834 mm as a usual cone beam shows them at the person, so that nothing is resampled.
    pixel_mm: float = 0.834 / 1.3
    # Of the isocentre's column, and of the person's room in the scanner, estimated.
    column_offset_mm: float = 3.0
    view_angle_deg: tuple[float, float] = (89.7, 90.3)
    tilt_deg: float = 0.5
    # The slit in front of the detector stops most of the scatter, estimated.
    scatter_share: float = 0.1


@dataclass(frozen=True)
class SimulationParameters:
    """All ranges of a simulated study."""

    posture: PostureParameters = field(default_factory=PostureParameters)
    pathology: PathologyParameters = field(default_factory=PathologyParameters)
    wear: WearParameters = field(default_factory=WearParameters)
    trunk: TrunkParameters = field(default_factory=TrunkParameters)
    bone: BoneParameters = field(default_factory=BoneParameters)
    beam: BeamParameters = field(default_factory=BeamParameters)
    appearance: AppearanceParameters = field(default_factory=AppearanceParameters)
    geometry: GeometryParameters = field(default_factory=GeometryParameters)
    slot: SlotParameters = field(default_factory=SlotParameters)
