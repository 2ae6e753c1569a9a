"""report.html in a real browser: offline, no error, every figure there, tables sort, dark and print."""

import contextlib
import shutil
from pathlib import Path

import pytest
from report_rows import member, write_run, write_study
from selenium.common.exceptions import ElementClickInterceptedException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rnnbench.report.write import write
from rnnbench.tasks import TASKS

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDTHS = 390, 1280, 1600
PANELS = {
    "accuracy_vs_length": 2,
    "learning_rates": 2,
    "learning_curves": 2,
    "cost": 6,
    "positions": 2,
}

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs Chromium: apt-get install chromium chromium-driver (.ci/run does)",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The report of a small study."""
    folder = tmp_path_factory.mktemp("study")
    write([write_study(folder)])
    return (folder / "report.html").resolve().as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium, which has no network but the loopback."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        "--window-size=1280,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def page(browser, address):
    """The browser with the report; a test before this one, in any order, may have opened another."""
    if browser.current_url != address:
        browser.get(address)
        wait_for_figures(browser)
    return browser


def wait_for_figures(browser):
    drawn = lambda browser: len(browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg .bg"))
    WebDriverWait(browser, 60).until(lambda browser: drawn(browser) >= sum(PANELS.values()))


def media(browser, scheme, kind="screen"):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})


def style(browser, selector, name):
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    return browser.execute_script(script, selector, name)


def test_loads_offline_without_an_error(page):
    assert page.get_log("browser") == []
    requests = [entry["message"] for entry in page.get_log("performance")]
    asked = [text for text in requests if '"Network.requestWillBeSent"' in text]
    assert asked and not any('"url":"http' in text for text in asked)


def test_every_figure_is_there(page):
    for name, count in PANELS.items():
        for i in range(count):
            (plot,) = page.find_elements(By.ID, f"{name}-{i}")
            assert plot.size["width"] > 200 and plot.size["height"] > 150
            assert plot.find_elements(By.CSS_SELECTOR, ".trace"), (name, i)
    assert len(page.find_elements(By.CLASS_NAME, "js-plotly-plot")) == sum(PANELS.values())
    for link in page.find_elements(By.CSS_SELECTOR, "nav a"):
        assert page.find_elements(By.ID, link.get_attribute("href").partition("#")[2])


def test_figures_answer_to_the_pointer(page):
    script = """const plot = document.getElementById("accuracy_vs_length-0");
        Plotly.Fx.hover(plot, [{curveNumber: plot.data.length - 1, pointNumber: 2}]);
        return [...plot.querySelectorAll(".hoverlayer text")].map(text => text.textContent).join(" ")"""
    assert "length 256: 0.970" in page.execute_script(script)


def click(page, element):
    """As a reader clicks: in sight, and again if something was in the way while the page was laid out."""
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    patient = WebDriverWait(page, 10, ignored_exceptions=(ElementClickInterceptedException,))
    patient.until(lambda _: element.click() or True)


@pytest.mark.parametrize(
    "column, ascending", [("model", ["deltanet_neg", "gpt"]), ("32 (1×)", ["gpt", "deltanet_neg"])]
)
def test_tables_sort_by_a_click(page, column, ascending):
    table = page.find_element(By.CSS_SELECTOR, "table.sortable")
    (head,) = [th for th in table.find_elements(By.TAG_NAME, "th") if th.text.startswith(column)]
    for expected, way in ((ascending, "ascending"), (ascending[::-1], "descending")):
        click(page, head.find_element(By.TAG_NAME, "button"))
        shown = [
            line.find_element(By.TAG_NAME, "td").text
            for line in table.find_elements(By.CSS_SELECTOR, "tbody tr")
        ]
        assert shown == expected and head.get_attribute("aria-sort") == way


def test_light_dark_and_print(page):
    seen = {}
    for scheme in ("light", "dark"):
        media(page, scheme)
        black_line = '#accuracy_vs_length-0 path[style*="stroke: rgb(0, 0, 0)"]'
        text = "#accuracy_vs_length-0 .xtitle"
        seen[scheme] = (
            style(page, "body", "background-color"),
            style(page, text, "fill"),
            style(page, black_line, "stroke"),
        )
    assert seen["light"] == ("rgb(255, 255, 255)", "rgb(31, 35, 40)", "rgb(0, 0, 0)")
    assert seen["dark"] == ("rgb(21, 24, 28)", "rgb(230, 233, 236)", "rgb(230, 233, 236)")
    media(page, "light")


WIDE = """return [...document.querySelectorAll(".plot")].map(plot => {
    const wide = element => element.getBoundingClientRect().width;
    return [plot.id, wide(plot.closest("figure")), wide(plot.querySelector(".main-svg"))]})"""


@contextlib.contextmanager
def loaded_at(page, width, kind="screen"):
    """The page loaded anew in a window of that width."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.refresh()
    wait_for_figures(page)
    media(page, "light", kind)
    try:
        yield
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        media(page, "light")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_plot_is_as_wide_as_its_cell_on_load(page, width):
    with loaded_at(page, width):
        found = page.execute_script(WIDE)
    assert len(found) == sum(PANELS.values())
    for name, cell, drawn in found:
        assert abs(cell - drawn) <= 1, name
    assert len({round(cell) for _, cell, _ in found}) == (1 if width < 800 else 2)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut(page, width):
    """All text is within the window and its plot, but for the columns of tables that scroll."""
    script = """const limit = document.documentElement.clientWidth + 0.5;
        const out = (box, left, right) => box.left < left - 0.5 || box.right > right + 0.5;
        const bad = [...document.querySelectorAll("main *:not(.scroll *):not(.plot *)")]
            .filter(each => out(each.getBoundingClientRect(), 0, limit));
        const texts = [...document.querySelectorAll(".plot text")].filter(each => {
            const cell = each.closest("figure").getBoundingClientRect();
            return out(each.getBoundingClientRect(), cell.left, cell.right)});
        return [...bad, ...texts].map(each => each.outerHTML.slice(0, 120))"""
    with loaded_at(page, width):
        assert page.execute_script(script) == []
        assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_a_section_has_one_legend_that_shows_and_hides_a_model(page):
    for section in page.find_elements(By.CSS_SELECTOR, "section:has(.plot)"):
        assert len(section.find_elements(By.CLASS_NAME, "legend")) == 1
    button = page.find_element(By.CSS_SELECTOR, ".legend button[data-name=gpt]")
    script = """return [...document.querySelectorAll(".plot[id^=accuracy_vs_length]")].map(plot =>
        plot.data.filter(trace => trace.name === "gpt").every(trace => trace.visible !== false))"""
    for shown in ([False, False], [True, True]):
        page.execute_script("arguments[0].click()", button)
        assert page.execute_script(script) == shown
        assert button.get_attribute("aria-pressed") == str(shown[0]).lower()


def test_the_picture_comes_before_the_prose(page):
    order = page.execute_script("return [...document.querySelectorAll('.heat, main p')].map(e => e.tagName)")
    assert order[0] == "TABLE"


def test_on_paper(page):
    """Numbers unbroken, plots within their cells, no configs, captions smaller than the text."""
    size = lambda selector: float(style(page, selector, "font-size").removesuffix("px"))
    broken = """return [...document.querySelectorAll("td:not(.word)")].filter(cell => {
        const range = document.createRange(); range.selectNodeContents(cell);
        const lines = new Set([...range.getClientRects()].map(box => Math.round(box.bottom)));
        return lines.size > 1 + cell.querySelectorAll("small").length * 2}).length"""
    fits = lambda page: all(abs(cell - drawn) <= 1 for _, cell, drawn in page.execute_script(WIDE))
    with loaded_at(page, 688, "print"):  # A4 within its margins
        assert style(page, "nav", "display") == "none"
        assert size(".caption") < size("main p:not([class])")
        assert style(page, "#configs", "display") == style(page, "#configs ~ details", "display") == "none"
        assert page.execute_script(broken) == 0
        WebDriverWait(page, 30).until(fits)
        cells = {name: cell for name, cell, _ in page.execute_script(WIDE)}
        assert cells["accuracy_vs_length-0"] < 344 and cells["cost-0"] < 230  # two, three side by side
        assert page.execute_script("return document.documentElement.scrollWidth") <= 688


def test_what_comes_from_rows_is_text(page):
    summary = page.find_element(By.XPATH, "//h2[@id='failed']/following::summary[1]")
    assert summary.text == "dyck-gpt: XlaRuntimeError: out of <memory>"
    body = page.find_element(By.TAG_NAME, "main").text
    assert "1 cell of the study has no results yet." in body and "held by every seed of deltanet_neg" in body


def test_the_page_names_no_address():
    template = (Path(__file__).parents[2] / "rnnbench" / "report" / "report.html").read_text()
    assert "http" not in template


def test_many_tasks_are_a_map_whose_cells_open(page, tmp_path):
    rows = []
    for task in sorted(TASKS)[:7]:
        for model in ("gpt", "lstm"):
            rows += member((1.0, 0.5, 0.5), task=task, model=model, cell=f"{task}-{model}")
    write([write_run(tmp_path, rows)])
    page.get((tmp_path / "report.html").resolve().as_uri())
    buttons = page.find_elements(By.CSS_SELECTOR, "#map td button")
    assert len(buttons) == len(rows) / 3 and {button.text for button in buttons} == {"1×"}
    click(page, buttons[-1])
    dialog = page.find_element(By.CSS_SELECTOR, "#map dialog[open]")
    assert f"configs/{sorted(TASKS)[6]}.py:lstm,small" in dialog.find_element(By.TAG_NAME, "pre").text
    WebDriverWait(page, 60).until(lambda _: len(dialog.find_elements(By.CSS_SELECTOR, ".trace")) == 3)
    assert page.get_log("browser") == []
