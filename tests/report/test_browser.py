"""The pages in a real browser without a network: Chromium, headless, drawing with SwiftShader."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from acsgreg_tf.report import Entry, section_of, write_index, write_report
from tests.report.cases import registered, scans

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# .ci/run installs it.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """A function that opens a page offline, and two lists: what the console says, and what is asked of the network."""
    context = browser.new_context(offline=True, viewport={"width": 1300, "height": 1000})
    said, asked = [], []

    def open_page(path):
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page, said, asked
    context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page of two levels; the second one is the fixed scan registered to itself."""
    path = tmp_path_factory.mktemp("report") / "page.html"
    fixed, moving = scans()
    with pytest.warns(UserWarning):
        sections = [
            section_of(registered(fixed, other), fixed, other, name) for name, other in (("A", moving), ("B", fixed))
        ]
    write_report(path, sections, "acsgreg-register")
    return path


def picture(page, selector):
    """The pixels of an element, (rows, columns, 3) floats."""
    page.wait_for_timeout(300)
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB"), float)


def shown(page):
    page.wait_for_selector('body[data-state="shown"]', timeout=60_000)


def grey(pixels):
    """How many pixels are grey, neither black nor white nor coloured."""
    return int(((np.ptp(pixels, axis=-1) < 12) & (pixels.mean(-1) > 60) & (pixels.mean(-1) < 230)).sum())


def test_the_page_draws_and_its_controls_work(report, opened):
    open_page, said, asked = opened
    page = open_page(report)
    shown(page)
    assert said == [] and [url.split("/")[-1] for url in asked] == ["page.html"]

    for selector in ("#overlay", "#jacobian", "#grid-0", "#grid-1", "#grid-2"):
        pixels = picture(page, selector)
        assert pixels.std() > 10 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50, selector
    surface = picture(page, "#surface")
    assert (np.ptp(surface, axis=-1) > 30).mean() > 0.02, "no coloured surface on the white ground"

    page.uncheck("#outlines")
    over = {}
    for opacity in ("0", "1"):
        page.locator("#opacity").fill(opacity)
        over[opacity] = picture(page, "#overlay")
    assert grey(over["0"]) > 2000 > grey(over["1"])  # the fixed CT is grey, the moved one orange
    page.select_option("#colour", "gray")
    moved = picture(page, "#overlay")
    assert grey(moved) > 2000
    page.select_option("#mode", "checker")
    mixed = picture(page, "#overlay")
    assert not np.array_equal(mixed, moved) and not np.array_equal(mixed, over["0"])
    page.select_option("#mode", "flicker")
    frames = [
        page.evaluate("report.overlay.volumes[1].opacity") for _ in range(8) if page.wait_for_timeout(250) is None
    ]
    assert {0, 1} == set(frames)
    page.select_option("#mode", "blend")

    page.select_option("#stage", "before")
    assert not np.array_equal(picture(page, "#overlay"), moved)
    page.check('.mesh[value="before"]')
    assert np.abs(picture(page, "#surface") - surface).max() > 60
    assert said == []


def test_one_crosshair_in_all_pictures(report, opened):
    open_page, said, _ = opened
    page = open_page(report)
    shown(page)
    before = {name: picture(page, name) for name in ("#overlay", "#jacobian", "#grid-0")}
    place = page.locator("#place").inner_text()
    page.locator("#overlay").click(position={"x": 140, "y": 130})
    page.wait_for_function("(text) => document.getElementById('place').textContent !== text", arg=place)
    for name, earlier in before.items():
        assert not np.array_equal(picture(page, name), earlier), name
    crosshairs = [
        page.evaluate(f"Array.from(report.{nv}.frac2mm(report.{nv}.scene.crosshairPos))")
        for nv in ("overlay", "jacobian")
    ]
    np.testing.assert_allclose(*crosshairs, atol=0.01)
    assert said == []


def test_tabs_show_the_other_level(report, opened):
    open_page, said, _ = opened
    page = open_page(report)
    shown(page)
    page.uncheck("#outlines")
    first = picture(page, "#overlay")
    assert page.locator("section:visible h2").first.inner_text() == "Measures, A"
    page.click('.tab[data-section="1"]')
    shown(page)
    page.wait_for_function("report.state.section === 1 && document.body.dataset.state === 'shown'")
    assert page.locator("section:visible h2").first.inner_text() == "Measures, B"
    assert not np.array_equal(picture(page, "#overlay"), first)
    # Of a scan with itself the moved image is the fixed one.
    most = "report.state.images.fixed.reduce((m, v, k) => Math.max(m, Math.abs(v - report.state.images.moved[k])), 0)"
    assert page.evaluate(most) < 40
    assert said == []


def test_without_webgl_the_page_says_so_and_shows_its_tables(report, browser):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(report.as_uri())
    page.wait_for_selector('body[data-state="failed"]', timeout=60_000)
    assert "need WebGL 2" in page.locator("#place").inner_text()
    assert page.locator("td:text-is('Dice')").first.is_visible()
    context.close()


def test_the_table_of_many_is_sorted_by_a_click(tmp_path, opened):
    open_page, said, asked = opened
    entries = [
        Entry(f"n{i}", {"fixed": f"f{i}", "moving": "m", "dice": {"before": 0, "affine": 0, "deformable": dice}})
        for i, dice in enumerate((0.96, 0.9, 0.98))
    ] + [Entry("n3", {"fixed": "f3", "moving": "m"})]
    write_index(tmp_path / "index.html", entries)
    page = open_page(tmp_path / "index.html")

    def column():
        return page.evaluate("[...document.querySelectorAll('tbody tr')].map((row) => row.cells[2].textContent)")

    assert column() == ["m to f1", "m to f0", "m to f2", "m to f3"]
    page.click("th:text-is('Dice')")
    page.click("th:text-is('Dice')")
    assert column() == ["m to f2", "m to f0", "m to f1", "m to f3"]
    page.click("th:text-is('registration')")
    assert column() == ["m to f0", "m to f1", "m to f2", "m to f3"]
    assert said == [] and len(asked) == 1
