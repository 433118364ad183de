"""The page in headless Chromium: what a reader does with it on a desk, on a phone and on paper."""

import re
import time

import pytest

from lumbar_ext.report.html import _plotly_js, report_html
from tests.measurements.registered_fixture import SCOLIOSIS
from tests.report.browser import MISSING, browser
from tests.report.test_film_lines import T12_MM
from tests.report.test_report import made, with_sacrum

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs Debian's packages of {', '.join(MISSING)}")
PATIENCE_SECONDS = 60
WIDTHS = (400, 1400)
"""Of a phone and of a desk, in CSS pixels."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_html(*made(study_date="20260304")), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["straight", "scoliosis"])
def told_page(request, tmp_path_factory):
    """A page with everything that is drawn on films; Plotly's part, the longest, is not asked here."""
    path = tmp_path_factory.mktemp(request.param) / "report.html"
    made_up = made(anchors=with_sacrum(T12_MM), bent=SCOLIOSIS if request.param == "scoliosis" else None)
    path.write_text(report_html(*made_up).replace(_plotly_js(), ""), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def desk(window, page):
    window.open(page)
    until(window, "return document.querySelector('#scene canvas') || document.querySelector('.still').style.display")
    return window


def until(window, script):
    """Waits until a script says true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not window.run(script):
        assert time.monotonic() < end, script
        time.sleep(0.2)


def shown(window, selector):
    return window.run(f"return getComputedStyle(document.querySelector('{selector}')).display !== 'none'")


def test_the_3d_view_or_its_stand_in_is_there(desk):
    drawn = desk.run("return document.querySelectorAll('#scene canvas').length > 0")
    assert drawn or shown(desk, ".still")


def test_uncertainty_colours_the_vertebrae_and_shows_its_scale(desk):
    if not desk.run("return document.querySelectorAll('#scene canvas').length"):
        pytest.skip("no WebGL here")
    assert not shown(desk, ".by-sd-only")
    desk.run("document.querySelector('[data-colour=sd]').click()")
    until(desk, "return document.getElementById('scene').data.every((trace) => trace.intensity)")
    assert shown(desk, ".by-sd-only")
    assert desk.run("return document.querySelector('[data-colour=sd]').getAttribute('aria-pressed')") == "true"
    desk.run("document.querySelector('[data-colour=level]').click()")
    until(desk, "return document.getElementById('scene').data.every((trace) => !trace.intensity)")
    assert not shown(desk, ".by-sd-only")


def test_a_click_on_its_name_hides_a_vertebra(desk):
    if not desk.run("return document.querySelectorAll('#scene canvas').length"):
        pytest.skip("no WebGL here")
    desk.run("document.querySelector('#scene').scrollIntoView()")
    place = desk.run(
        "const r = document.querySelectorAll('#scene .legendtoggle')[1].getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]"
    )
    for kind in ("mousePressed", "mouseReleased"):
        desk.devtools("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
    until(desk, "return document.getElementById('scene').data[1].visible === 'legendonly'")
    assert desk.run("return document.getElementById('scene').data[0].visible") != "legendonly"


def test_outlines_and_landmarks_can_be_switched(desk):
    assert shown(desk, ".outline") and not shown(desk, ".mark")
    for switch in ("no-outlines", "no-landmarks"):
        desk.run(f"document.querySelector('[data-hides={switch}]').click()")
    assert shown(desk, ".mark") and not shown(desk, ".outline")


def test_radiographs_zoom_and_come_back(desk):
    boxes = (
        "return [...document.querySelectorAll('.film svg')]"
        ".map((svg) => svg.getAttribute('viewBox').split(' ').map(Number))"
    )
    before = desk.run(boxes)
    desk.run("document.querySelector('[data-zoom=\"1.4\"]').click()")
    for (_, _, width, _), (x, y, zoomed, _) in zip(before, desk.run(boxes), strict=True):
        assert zoomed == pytest.approx(width / 1.4)
        assert (x, y) == pytest.approx(((width - zoomed) / 2,) * 2)
    desk.run("document.querySelector('[data-zoom=\"0\"]').click()")
    assert desk.run(boxes) == before


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(window, told_page, width):
    window.open(told_page, width)
    assert window.run("return document.documentElement.scrollWidth <= innerWidth")
    broken = "return [...document.querySelectorAll('.value')].filter((e) => e.getClientRects().length > 1).length"
    assert window.run(broken) == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_values_on_the_films_can_be_read_and_hide_neither_each_other_nor_a_name(window, told_page, width):
    window.open(told_page, width)
    films = window.run(
        "return [...document.querySelectorAll('.film svg')].map((svg) => [svg, ...svg.querySelectorAll('text')].map("
        "(e) => { const r = e.getBoundingClientRect();"
        " return [e.textContent.trim(), e.className.baseVal, r.left, r.right, r.top, r.bottom] }))"
    )
    for (_, _, *film), *texts in films:
        told = [text for text in texts if text[1] == "told"]
        assert len(told) >= 2
        for text, _, left, right, top, bottom in told:
            assert film[0] <= left and right <= film[1] and film[2] <= top and bottom <= film[3], text
            assert bottom - top >= 11, text
            for other, _, *box in texts:
                # Boxes of text have empty room above and below the letters.
                apart = right <= box[0] or box[1] <= left or bottom - 4 <= box[2] or box[3] <= top + 4
                assert other == text or apart, (text, other)


def hints(window):
    """By table, the words above it, empty where they are hidden."""
    return window.run(
        "return Object.fromEntries([...document.querySelectorAll('.scroll')].map((box) => [box.parentElement"
        ".querySelector('h2').textContent, box.previousElementSibling.hidden ? '' : box.previousElementSibling.textContent]))"
    )


def test_on_a_phone_a_table_says_which_levels_are_beyond_its_edge(window, told_page):
    window.open(told_page, WIDTHS[1])
    assert set(hints(window).values()) == {""}
    window.open(told_page, WIDTHS[0])
    found = hints(window)
    assert found["Alignment"] == ""
    assert re.fullmatch(r"further right: (L3( ▲▼)?, )?L4( ▲▼)?, L5( ▲▼)? →", found["Vertebrae"])
    # The shadow at the edge; discs of 9 mm are low for L4-L5, which its name tells before one has scrolled.
    assert "L4-L5 ▲▼" in found["Motion segments"]
    box = "document.querySelectorAll('.scroll')[2]"
    assert "gradient" in window.run(f"return getComputedStyle({box}).backgroundImage")
    window.run(f"{box}.scrollLeft = 9999")
    until(window, f"return {box}.previousElementSibling.textContent.startsWith('← L1')")
    assert "further" not in hints(window)["Vertebrae"]
    # The names of the values stay.
    shift = f"{box}.querySelector('tbody th').getBoundingClientRect().left - {box}.getBoundingClientRect().left"
    assert window.run(f"return {shift}") == pytest.approx(0, abs=1)


def test_it_prints_on_a4(desk):
    paper = desk.pdf()
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", paper)
    assert 2 <= len(boxes) <= 12
    assert all((round(float(w)), round(float(h))) == (595, 842) for w, h in boxes)
