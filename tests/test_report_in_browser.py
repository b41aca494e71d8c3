"""The report in a browser: it opens offline, and choosing, sorting and filtering work."""

import csv
import shutil
from pathlib import Path

import pytest
from report_studies import HOSTILE, TRIAL

from mcstudy import run

playwright = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]

_DRAWN = """() => document.querySelector("#explored svg") &&
    [...document.querySelectorAll("#figures .drawing")].every((it) => it.querySelector("svg"))"""
# WCAG 2.1: relative luminance, and from it the contrast of text with what is behind it.
_CONTRAST = """() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((x) => x / 255);
    const linear = parts.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const page = light(getComputedStyle(document.body).backgroundColor);
  const places = "p, li, a, th, td, button, dt, .sign, #explored text, #figures text";
  const shown = [...document.querySelectorAll(places)]
    .filter((each) => each.textContent.trim() && each.getClientRects().length);
  return Math.min(...shown.map((each) => {
    const style = getComputedStyle(each);
    const ink = light(each.namespaceURI.endsWith("svg") ? style.fill : style.color);
    return (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "trial.py").write_text(TRIAL)
    return run(folder / "trial.py", folder / "results", jobs=1, quiet=True).report()


@pytest.fixture
def opened(browser, report):
    """Open the page; whatever it complains of, or asks for, fails the test."""
    pages = []

    def open_page(path=report, width=1280, scheme="light"):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: said.append(f"request {request.url}"))
        page.goto(Path(path).as_uri())
        page.wait_for_function(_DRAWN)
        pages.append((page, said, Path(path).as_uri()))
        return page

    yield open_page
    for page, said, address in pages:
        assert [line for line in said if line != f"request {address}"] == []
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_contract_page_is_readable(opened, width, scheme):
    page = opened(width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(_CONTRAST) >= 4.5
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")


def test_contract_choices_change_the_figure(opened):
    page = opened()
    caption = page.locator("#explored-caption")
    assert caption.inner_text().startswith("Coverage in 8 cells.")
    page.select_option("#measure", label="Bias")
    assert caption.inner_text().startswith("Bias in 8 cells.")
    assert page.locator("#interval").is_hidden()
    page.select_option("#method", label="Shrunken mean")
    page.wait_for_function("document.querySelectorAll('#explored .mark-symbol path').length > 3")
    assert caption.inner_text().startswith("Bias in 4 cells.")
    page.select_option("#measure", label="Difference of bias")
    assert "Shrunken mean against mean" in page.locator("#method").inner_text()
    for field in ("#x", "#across", "#down"):
        for value in page.locator(f"{field} option").evaluate_all("all => all.map((x) => x.value)"):
            page.select_option(field, value)
            assert caption.inner_text().startswith("Difference of bias in 4 cells.")
    page.get_by_text("The numbers of this figure").click()
    assert page.locator("#numbers tbody tr").count() == 4


def test_contract_tooltip_shows_value_error_and_count(opened):
    page = opened()
    page.locator("#explored .mark-symbol path").first.hover()
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    for words in ("Condition", "Coverage (MCSE)", "Used", "of 60"):
        assert words in tip.inner_text()


def test_contract_choices_work_by_keyboard(opened):
    page = opened()
    page.focus("#measure")
    before = page.locator("#explored-caption").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator("#explored-caption").inner_text() != before
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"


def _column(page, place):
    return page.locator(f"#table tbody tr > :nth-child({place})").all_inner_texts()


def test_contract_heads_sort_by_mouse_and_by_keyboard(opened):
    page = opened()
    heads = page.locator("#table thead button")
    place = heads.all_inner_texts().index("Coverage")
    heads.nth(place).click()
    values = [float(text.split()[0]) for text in _column(page, place + 1)]
    assert values == sorted(values)
    assert len(set(values)) > 1
    head = page.locator("#table thead th").nth(place)
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(text.split()[0]) for text in _column(page, place + 1)] == values[::-1]


def test_contract_words_filter_the_table_and_the_file(opened, tmp_path):
    page = opened()
    page.fill("#words", "shrunken 10")
    assert page.locator("#table tbody tr").count() == 2
    assert page.locator("#count").inner_text() == "2 of 8 rows shown; 2 have these words."
    page.select_option("#group", label="of estimates")
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"Shrunken mean"}
    assert {row["measure"] for row in rows} >= {"bias", "rmse", "spread"}
    assert all(float(row["lower"]) <= float(row["upper"]) for row in rows if row["lower"])


def test_contract_definition_of_the_measure_is_a_link(opened):
    page = opened()
    page.get_by_text("Definition of Coverage").click()
    assert page.evaluate("location.hash") == "#measure-coverage"
    assert (
        "share of the intervals that contain the truth"
        in page.locator("#measure-coverage + dd").inner_text()
    )


def test_contract_page_prints(opened, tmp_path):
    page = opened(scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#choices").is_hidden()
    made = page.pdf(format="A4")
    assert made.startswith(b"%PDF")
    assert len(made) > 50_000


def test_contract_hostile_names_stand_as_text(opened, tmp_path):
    (tmp_path / "hostile.py").write_text(
        TRIAL.replace('name="trial"', 'name="hostile"')
        .replace('kind=["normal"]', f"kind={list(HOSTILE.values())!r}")
        .replace("n=[10, 20], effect=[0.0, 1.0]", "n=[10], effect=[0.0]")
        .replace('"shrunken": shrunken}', f"{HOSTILE['quotes']!r}: shrunken}}")
        .replace('"shrunken": "Shrunken mean"', f"'mean': {HOSTILE['tag']!r}")
    )
    results = run(tmp_path / "hostile.py", tmp_path / "results", jobs=1, quiet=True)
    page = opened(results.report(), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    text = page.locator("body").inner_text()
    for name in ("tag", "quotes", "braces"):
        assert HOSTILE[name] in text
    page.locator("#explored .mark-symbol path").first.hover()
    page.locator("#vg-tooltip-element").wait_for(state="visible")
