"""The page in a real browser: no error, nothing loaded, plots drawn, no overflow, printable."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
from test_page import Page, exact_values

from lightpaff_fairseq.cli.main import main
from report_files import pruning_log, recipe, rows, sweep

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
LOGGED = ("--enable-logging=stderr", "--v=0")
PHONE, DESKTOP, TABLES = 390, 1280, 1200

MEASURED = {"params": 4353956, "size_mb": 17.458, "load_s": 0.123, "p50_ms": 12.345}
MEASURED |= {"p95_ms": 23.456, "per_s": 345.67, "seconds": [1.23, 2.34, 1.45]}
MEASURED |= {"times_teacher": 12.34, "times_fairseq": 4.56, "measure": "BLEU", "quality": 25.43}
MEASURED |= {"peak_mb": 123.4}
# Looks at the page inside a frame as wide as a phone: media queries are about the frame's width.
MEASURE = """
const result = {};
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument, root = page.documentElement;
  const boxes = [...page.querySelectorAll("figure svg")].map((svg) => svg.getBoundingClientRect());
  const texts = [...page.querySelectorAll("figure svg text")].map((t) => t.getBoundingClientRect());
  result[frame.id] = {
    page: root.scrollWidth, window: root.clientWidth, height: root.scrollHeight,
    plots: boxes.map((b) => [b.width, b.height]),
    outside: boxes.filter((b) => b.right > root.clientWidth + 1).length,
    text: Math.min(...texts.map((t) => Math.min(t.height, t.width + 100))),
    table: page.querySelector(".scroll").scrollWidth,
    wide: [...page.querySelectorAll(".scroll:not(.tall)")]
      .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel),
  };
}
document.body.dataset.result = JSON.stringify(result);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Runs the browser on a file: what it prints, and its log with what pages say."""
    browser_path = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser_path is None:
        pytest.skip("needs Chromium: apt-get install chromium (Debian), or chromium-browser")
    profile = tmp_path_factory.mktemp("profile")

    def run(path, *flags):
        words = [browser_path, *FLAGS, f"--user-data-dir={profile}", *flags, path.as_uri()]
        environment = {**os.environ, "HOME": str(profile)}
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=120, env=environment, check=True
        )
        return done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    benchmark = {"rows": [{"name": f"{n} ctranslate2-int8", **MEASURED} for n in ("teacher", "s")]}
    (folder / "b.json").write_text(json.dumps(benchmark))
    paths = [
        recipe(folder / "polarity"),
        folder / "b.json",
        sweep(folder / "sweep"),
        pruning_log(folder / "p.log"),
    ]
    assert main(["report", *map(str, paths), "--out", str(folder / "report.html")]) == 0
    return folder / "report.html"


def console(log):
    """Return what pages wrote to their console, errors and refused loads included."""
    return re.findall(r"CONSOLE[:(].*", log)


@pytest.mark.slow
def test_no_error_and_the_values_of_the_json_are_in_the_document(browser, page):
    document, log = browser(page, "--dump-dom", *LOGGED)
    assert console(log) == []
    read = Page(document.replace("<!DOCTYPE html>", ""))
    exact_values(read, rows())
    assert len([svg for svg in read.named("svg") if svg.get("role") == "img"]) == 17

    broken = page.with_name("broken.html")
    script = "<script>console.error('seen'); undefined_name()</script></body>"
    broken.write_text(page.read_text(encoding="utf-8").replace("</body>", script))
    messages = console(browser(broken, "--dump-dom", *LOGGED)[1])
    assert len(messages) == 2, "this test would see errors"


@pytest.mark.slow
def test_it_fits_a_phone_and_a_desk(browser, page):
    text = html.escape(page.read_text(encoding="utf-8"))
    frames = "".join(
        f'<iframe id="w{w}" style="width:{w}px;height:900px;border:0" srcdoc="{text}"></iframe>'
        for w in (PHONE, DESKTOP, TABLES)
    )
    around = page.with_name("around.html")
    script = f"<script>onload = () => {{ {MEASURE} }}</script>"
    around.write_text(f'<meta charset="utf-8"><body>{frames}{script}</body>', encoding="utf-8")
    document, _ = browser(around, "--dump-dom", "--virtual-time-budget=5000")
    result = json.loads(html.unescape(re.search(r'data-result="([^"]*)"', document)[1]))
    phone, desk = result[f"w{PHONE}"], result[f"w{DESKTOP}"]
    for frame in (phone, desk):
        assert frame["page"] == frame["window"], "nothing sticks out of the page"
        assert frame["outside"] == 0 and len(frame["plots"]) == 17
        assert all(width > 250 and height > 100 for width, height in frame["plots"])
        assert frame["text"] >= 9, "text in plots can be read"
    assert result[f"w{TABLES}"]["wide"] == [], "results and benchmarks are read without scrolling"
    assert phone["table"] > PHONE, "the wide table scrolls inside its box"
    assert phone["height"] > desk["height"], "plots stand below each other"


@pytest.mark.slow
def test_it_prints(browser, page):
    pdf = page.with_suffix(".pdf")
    browser(page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF") and len(content) > 20_000
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_themes(browser, page, scheme, tmp_path):
    """The contrast of text, and of every curve, on the paper (WCAG: 4.5 and 3)."""
    script = """<script>onload = () => {
      const style = (e) => getComputedStyle(e);
      const colors = [...document.querySelectorAll("#run-0 figure path[clip-path]")]
        .map((p) => style(p).stroke);
      document.body.dataset.result = JSON.stringify({
        paper: style(document.body).backgroundColor, ink: style(document.body).color,
        soft: style(document.querySelector(".soft")).color,
        series: [...new Set(colors)],
        grid: style(document.documentElement).getPropertyValue("--grid").trim()});
    }</script></body>"""
    (path := tmp_path / "themed.html").write_text(
        page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8"
    )
    flag = f"--blink-settings=preferredColorScheme={['dark', 'light'].index(scheme)}"
    document, _ = browser(path, "--dump-dom", "--virtual-time-budget=5000", flag)
    colors = json.loads(html.unescape(re.search(r'data-result="([^"]*)"', document)[1]))
    paper = luminance(numbers(colors["paper"]))
    assert (paper < 0.1) == (scheme == "dark")
    assert contrast(luminance(numbers(colors["ink"])), paper) > 7
    assert contrast(luminance(numbers(colors["soft"])), paper) > 4.5
    grid = [int(colors["grid"][i : i + 2], 16) for i in (1, 3, 5)]
    series = [c for c in map(numbers, colors["series"]) if c and c != grid]
    assert len(series) >= 5
    for color in series:
        assert contrast(luminance(color), paper) > 2, color


def numbers(color):
    """rgb(1, 2, 3) -> [1, 2, 3]"""
    return [int(x) for x in re.findall(r"\d+", color)][:3]


def luminance(rgb):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in rgb)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
