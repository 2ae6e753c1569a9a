"""report.html in a real browser: offline, no error, every figure there, tables sort, dark and print."""

import shutil
from pathlib import Path

import pytest
from report_rows import write_study
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rnnbench.report.write import write

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PANELS = {
    "overview": 1,
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
def page(tmp_path_factory):
    """A headless Chromium that shows the report of a small study; it has no network but the loopback."""
    folder = tmp_path_factory.mktemp("study")
    write([write_study(folder)])
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
        browser.get((folder / "report.html").resolve().as_uri())
        drawn = lambda browser: len(browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg .bg"))
        WebDriverWait(browser, 60).until(lambda browser: drawn(browser) >= sum(PANELS.values()))
        yield browser
    finally:
        browser.quit()


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
            assert plot.find_elements(By.CSS_SELECTOR, ".trace, .heatmaplayer image, .hm image"), (name, i)
    assert len(page.find_elements(By.CLASS_NAME, "js-plotly-plot")) == sum(PANELS.values())
    for link in page.find_elements(By.CSS_SELECTOR, "nav a"):
        assert page.find_elements(By.ID, link.get_attribute("href").partition("#")[2])


def test_figures_answer_to_the_pointer(page):
    script = """const plot = document.getElementById("accuracy_vs_length-0");
        Plotly.Fx.hover(plot, [{curveNumber: plot.data.length - 1, pointNumber: 2}]);
        return [...plot.querySelectorAll(".hoverlayer text")].map(text => text.textContent).join(" ")"""
    assert "length=256: 0.970" in page.execute_script(script)


@pytest.mark.parametrize(
    "column, ascending", [("model", ["deltanet_neg", "gpt"]), ("32 (1×)", ["gpt", "deltanet_neg"])]
)
def test_tables_sort_by_a_click(page, column, ascending):
    table = page.find_element(By.CSS_SELECTOR, "table.sortable")
    (head,) = [th for th in table.find_elements(By.TAG_NAME, "th") if th.text.startswith(column)]
    for expected, way in ((ascending, "ascending"), (ascending[::-1], "descending")):
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", head)
        head.find_element(By.TAG_NAME, "button").click()
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
    media(page, "dark", "print")
    assert style(page, "body", "background-color") == "rgb(255, 255, 255)"
    assert style(page, "nav", "display") == "none"
    width = page.execute_script(
        "return document.querySelector('#accuracy_vs_length-0').getBoundingClientRect().width"
    )
    assert width < 350  # two figures side by side on a sheet of paper
    media(page, "light")


def test_fits_the_screen_of_a_telephone(page):
    narrow = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    width = lambda page: page.execute_script("return document.documentElement.scrollWidth")
    try:
        WebDriverWait(page, 30).until(lambda page: width(page) <= 400)  # the figures are drawn anew
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_comes_from_rows_is_text(page):
    summary = page.find_element(By.XPATH, "//h2[@id='failed']/following::summary[1]")
    assert summary.text == "dyck-gpt: XlaRuntimeError: out of <memory>"
    body = page.find_element(By.TAG_NAME, "main").text
    assert "1 cell of the study has no results yet." in body and "deltanet_neg holds" in body


def test_the_page_names_no_address():
    template = (Path(__file__).parents[2] / "rnnbench" / "report" / "page.html").read_text()
    assert "http" not in template
