"""Laws of the joint decision, on heatmaps drawn from five (or more) vertebrae in space seen by two cameras."""

import time
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.transforms.level_naming.joint_levels import assign_levels
from lumbar_ext.transforms.level_naming.level_choice import HeatmapView, Peak, choose_levels
from lumbar_ext.transforms.level_naming.level_readings import LevelPair, LevelRules, Readings

CELLS, STRIDE_MM = 128, 4 * 0.834
HALF_MM = 0.834 * 511 / 2
AP_OFFSETS = np.array([[0, -6], [0, 6], [14, 0], [-14, 0], [5, -2], [-5, -2], [0, 6]], float)
LAT_OFFSETS = np.array([[0, -6], [0, 6], [10, 0], [9, 0], [7, -2], [6, -2], [24, 4]], float)


@pytest.fixture(scope="module")
def geometry():
    """Both sources 1 m away, detectors 0.2 m behind the person, as in docs/conventions.md."""
    size = (512, 512)
    ap = ConeBeam([1000, 0, 0], [-200, -HALF_MM, HALF_MM], [0, 1, 0], [0, 0, -1], (0.834, 0.834), size)
    lat = ConeBeam([0, 1000, 0], [HALF_MM, -200, HALF_MM], [-1, 0, 0], [0, 0, -1], (0.834, 0.834), size)
    return BiplanarGeometry(ap, lat)


def spine(count=5, pitch=36.0, top=72.0):
    """Centres in mm, a slightly curved column."""
    k = np.arange(count)
    return np.stack([10 * np.sin(k / 2), 4.0 * k - 8, top - pitch * k], axis=1)


def draw(geometry, centres, heights, levels=5):
    """Views with peaks: `heights[view][name, vertebra]` of each name's heatmap at each vertebra.

    Offsets around a vertebra point to its true centre, so that positions between cells are kept.
    """
    views = {}
    for view in VIEWS:
        cells = (geometry[view].project(centres) - 1.5) / 4
        heat = np.full((levels, CELLS, CELLS), 1e-4, np.float32)
        centre = np.zeros((2, CELLS, CELLS), np.float32)
        landmarks = np.zeros((14, CELLS, CELLS), np.float32)
        shape = AP_OFFSETS if view == "ap" else LAT_OFFSETS
        for vertebra, (u, v) in enumerate(cells):
            column, row = round(u), round(v)
            window = np.s_[row - 1 : row + 2, column - 1 : column + 2]
            rows, columns = np.mgrid[row - 1 : row + 2, column - 1 : column + 2]
            toward = np.stack([u - columns, v - rows])
            centre[(slice(None), *window)] = toward
            landmarks[(slice(None), *window)] = (toward[None] + shape[:, :, None, None]).reshape(14, 3, 3)
            falloff = np.array([[0.2, 0.5, 0.2], [0.5, 1.0, 0.5], [0.2, 0.5, 0.2]])
            for name in range(levels):
                heat[(name, *window)] = np.maximum(heat[(name, *window)], heights[view][name, vertebra] * falloff)
        views[view] = HeatmapView(heat, centre, landmarks)
    return views


def sure(count=5, high=0.6, low=0.03):
    """Each view names each vertebra rightly, and gives a little to its neighbours."""
    heights = high * np.eye(5, count) + low * (np.eye(5, count, 1) + np.eye(5, count, -1))
    return {view: heights.copy() for view in VIEWS}


def points(assignment):
    return np.array([pair.point_mm if pair else (np.nan,) * 3 for pair in assignment.best.pairs])


def test_five_sure_vertebrae_are_found_where_they_are(geometry):
    centres = spine()
    found = assign_levels(draw(geometry, centres, sure()), geometry)
    np.testing.assert_allclose(points(found), centres, atol=0.05)
    assert found.best.probability > 0.95 and (found.level_probability > 0.9).all()
    assert found.missing == {} and found.warnings == () and found.gap_mm < 0.1


@pytest.mark.parametrize("view", VIEWS)
def test_a_level_that_is_hardly_seen_in_one_view_is_found_with_the_other(geometry, view):
    heights = sure()
    heights[view][4, 4] = 0.06
    views = draw(geometry, spine(), heights)
    assert choose_levels(views[view].peaks, 0.3).peaks[4] is None
    found = assign_levels(views, geometry)
    np.testing.assert_allclose(points(found), spine(), atol=0.05)
    assert found.choice(view, choose_levels(views[view].peaks, 0.3)).peaks[4].confidence == pytest.approx(0.06)


@pytest.mark.parametrize("view", VIEWS)
def test_a_guided_look_finds_what_is_too_weak_to_be_a_candidate(geometry, view):
    """0.015 is below the candidates' 0.02; only the other view says that it must be looked for, and where."""
    heights = sure()
    heights[view][0, 0] = 0.015
    found = assign_levels(draw(geometry, spine(), heights), geometry)
    np.testing.assert_allclose(points(found), spine(), atol=0.05)
    blind = replace(LevelRules(), guided_confidence=0.02)
    assert assign_levels(draw(geometry, spine(), heights), geometry, blind).missing.keys() == {"L1"}


@pytest.mark.parametrize("view", VIEWS)
def test_a_level_that_one_view_does_not_show_is_reported_not_invented(geometry, view):
    heights = sure()
    heights[view][4, 4] = 0.0
    views = draw(geometry, spine(), heights)
    found = assign_levels(views, geometry)
    other = VIEWS[1 - VIEWS.index(view)]
    assert found.missing == {"L5": f"only the {'AP' if other == 'ap' else 'lateral'} view shows it"}
    assert found.best.pairs[4] is None and found.level_probability[4] == 0
    alone = {name: choose_levels(own.peaks, 0.3) for name, own in views.items()}
    assert found.choice(view, alone[view]).peaks[4] is None
    assert found.choice(other, alone[other]).peaks[4] == alone[other].peaks[4]


def test_names_that_one_view_shifts_by_one_are_put_right_by_the_other(geometry):
    """The AP view reads L2 to L5 one vertebra too high with its first peaks, rightly with its second ones."""
    heights = sure()
    heights["ap"] = 0.3 * np.eye(5) + 0.35 * np.eye(5, 5, -1) * (np.arange(5) > 0)[:, None]
    views = draw(geometry, spine(), heights)
    rows = [level[0].row for level in views["ap"].peaks]
    right = [level[0].row for level in draw(geometry, spine(), sure())["ap"].peaks]
    assert rows[1:] == right[:4], "the strongest peaks of the AP view alone are wrong"
    np.testing.assert_allclose(points(assign_levels(views, geometry)), spine(), atol=0.05)


def moved(views, view, level, cells):
    """A view with one level's heatmap shifted down the image."""
    heat = views[view].heatmap.copy()
    heat[level] = np.roll(heat[level], cells, axis=0)
    return {**views, view: replace(views[view], heatmap=heat)}


@pytest.mark.parametrize("level", range(5))
def test_two_vertebrae_30_mm_apart_never_share_a_name(geometry, level):
    """The lateral view puts a level 30 mm lower (on the detector more) than the AP view does."""
    centres = spine()
    views = moved(draw(geometry, centres, sure(low=0.0)), "lat", level, round(30 * 1.2 / STRIDE_MM))
    found = assign_levels(views, geometry)
    assert found.best.pairs[level] is None and found.missing.keys() == {LEVELS[level]}
    others = [k for k in range(5) if k != level]
    np.testing.assert_allclose(points(found)[others], centres[others], atol=0.05)
    gaps = [pair.gap_mm for pair in found.best.found]
    assert max(gaps) < 9


def test_no_accepted_pair_is_ever_wide_out_of_order_or_too_near_the_next(geometry):
    """On heatmaps of random peaks, whatever they show."""
    rng = np.random.default_rng(0)
    rules, accepted = LevelRules(), 0
    for _ in range(40):
        centres = np.stack([rng.uniform(-20, 20, 8), rng.uniform(-20, 20, 8), rng.uniform(-120, 120, 8)], axis=1)
        heights = {view: rng.uniform(0, 0.8, (5, 8)) ** 2 for view in VIEWS}
        found = assign_levels(draw(geometry, centres, heights), geometry).best.found
        accepted += len(found)
        for upper, lower in pairwise(found):
            steps = lower.level - upper.level
            assert upper.gap_mm <= rules.gap_mm and upper.point_mm[2] > lower.point_mm[2]
            assert 22 * steps <= upper.distance_mm(lower) <= 55 * steps
    assert accepted > 20


def test_a_far_spurious_peak_changes_nothing(geometry):
    views = draw(geometry, spine(), sure())
    before = assign_levels(views, geometry)
    heat = views["ap"].heatmap.copy()
    heat[2, 6, 110] = 0.5
    after = assign_levels({**views, "ap": replace(views["ap"], heatmap=heat)}, geometry)
    np.testing.assert_array_equal(points(after), points(before))
    assert after.best.probability == pytest.approx(before.best.probability, abs=0.02)


def random_pairs(rng, count):
    """Pairs of a column of places, with names near their places' own."""
    pairs = []
    for _ in range(count):
        place = int(rng.integers(6))
        level = int(np.clip(place + rng.integers(-1, 2), 0, 4))
        point = (0.0, 0.0, -36.0 * place + float(rng.normal(0, 1)))
        pairs.append(LevelPair(level, Peak(0, 0, 0.5), Peak(0, 0, 0.5), point, 1.0, float(rng.normal(0.5, 1.5))))
    return pairs


def all_readings(pairs):
    """Every allowed reading by brute force, as (pairs, worth)."""
    by_level = [[None, *[pair for pair in pairs if pair.level == level]] for level in range(5)]
    for choice in product(*by_level):
        chain = [pair for pair in choice if pair]
        steps = [(b.level - a.level, a.point_mm[2] - b.point_mm[2]) for a, b in pairwise(chain)]
        if all(max(22 * n, 11) <= drop <= 55 * n for n, drop in steps):
            yield choice, sum(pair.worth for pair in chain)


@pytest.mark.parametrize("seed", range(12))
def test_the_search_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    pairs, rules = random_pairs(rng, 14), LevelRules()
    readings = Readings(pairs, rules)
    best = readings.best()
    every = list(all_readings(pairs))
    weights = np.exp([worth for _, worth in every])
    total = weights.sum()
    assert sum(pair.worth for pair in best.found) == pytest.approx(max(worth for _, worth in every))

    def agrees(choice, reading):
        return not any(reading.contradicts(pair, rules.same_mm) for pair in choice if pair)

    agreeing = np.array([agrees(choice, best) and any(choice) for choice, _ in every])
    assert best.probability == pytest.approx(weights[agreeing].sum() / total)
    for level, probability in enumerate(readings.level_probability(best)):
        chosen = best.pairs[level]
        same = [c[level] is not None and chosen is not None and c[level].distance_mm(chosen) <= 11 for c, _ in every]
        assert probability == pytest.approx(weights[np.array(same)].sum() / total)

    second = readings.runner_up(best)
    others = [(choice, worth) for choice, worth in every if not agrees(choice, best)]
    assert (second is None) == (not others)
    if second is not None:
        assert sum(pair.worth for pair in second.found) == pytest.approx(max(worth for _, worth in others))
        mass = [agrees(choice, second) and not agrees(choice, best) for choice, _ in every]
        assert second.probability == pytest.approx(weights[np.array(mass)].sum() / total)
        assert best.probability + second.probability <= 1


def test_a_spine_that_may_be_read_a_level_lower_says_so(geometry):
    """Four vertebrae, each named after two levels almost alike."""
    heights = {view: 0.5 * np.eye(5, 4) + 0.45 * np.eye(5, 4, -1) for view in VIEWS}
    found = assign_levels(draw(geometry, spine(4), heights), geometry)
    assert found.missing.keys() == {"L5"}
    assert found.other_names == "L1 as L2, L2 as L3, L3 as L4, L4 as L5"
    assert 0.2 < found.runner_up.probability < found.best.probability
    assert 0.9 < found.best.probability + found.runner_up.probability <= 1
    assert "the count is uncertain" in found.warnings[0] and found.other_names in found.warnings[0]


def test_more_names_may_be_given_and_some_are_not_everybodys(geometry):
    """T12 to S1: with six lumbar vertebrae and with five, L6 stays free."""
    names = ("T12", *LEVELS, "L6", "S1")
    rules = LevelRules(names=names, optional=frozenset({"L6"}))
    for has_l6 in (True, False):
        own = [k for k, name in enumerate(names) if has_l6 or name != "L6"]
        heights = np.zeros((8, len(own)))
        heights[own, np.arange(len(own))] = 0.6
        centres = spine(len(own), pitch=32, top=110)
        found = assign_levels(draw(geometry, centres, dict.fromkeys(VIEWS, heights), 8), geometry, rules)
        assert [names[pair.level] for pair in found.best.found] == [names[k] for k in own]


def test_exchanged_and_mirrored_views_find_nothing_and_say_why(geometry):
    views = draw(geometry, spine(), sure())
    turned = {"ap": replace(views["ap"], landmark_offsets=views["lat"].landmark_offsets), "lat": views["lat"]}
    mirrored = views["lat"].landmark_offsets.copy()
    mirrored[::2] *= -1
    facing_right = {**views, "lat": replace(views["lat"], landmark_offsets=mirrored)}
    for wrong, name in ((turned, "AP"), (facing_right, "lateral")):
        found = assign_levels(wrong, geometry)
        assert found.best.found == () and found.best.probability == 0
        assert all(f"the {name} view does not look like one" in reason for reason in found.missing.values())
        assert list(found.missing) == list(LEVELS)


def test_views_of_two_people_find_nothing_and_say_why(geometry):
    """Another's lateral view: longer vertebrae, standing higher; one vertebra happens to fit."""
    mine, other = draw(geometry, spine(), sure()), draw(geometry, spine(pitch=46, top=92), sure())
    found = assign_levels({"ap": mine["ap"], "lat": other["lat"]}, geometry)
    assert found.best.found == () and len(found.missing) == 5
    assert "are they of one person" in found.reasons[0]


def test_nothing_in_the_pictures_is_nothing_found(geometry):
    heights = {view: np.zeros((5, 5)) for view in VIEWS}
    found = assign_levels(draw(geometry, spine(), heights), geometry)
    assert found.best.found == () and found.best.probability == 0 and found.runner_up is None
    assert len(found.missing) == 5 and found.other_names == "" and found.document()["runner_up"] is None


def test_the_same_pictures_give_the_same_assignment_quickly(geometry):
    heights = sure(high=0.4, low=0.2)
    views = draw(geometry, spine(), heights)
    first = assign_levels(views, geometry)
    start = time.process_time()
    again = [assign_levels({v: replace(own) for v, own in views.items()}, geometry) for _ in range(10)]
    milliseconds = 1e3 * (time.process_time() - start) / 10
    assert all(found.document() == first.document() for found in again)
    # 5 ms on an idle core; what is guarded against is a search that grows with all combinations, which takes seconds.
    assert milliseconds < 200
