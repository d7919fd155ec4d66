"""A real headless Chromium opens reports of real runs: no console error, maps drawn, hostile names
shown as text.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from PIL import Image

import nearfar
from nearfar.report import write_report

pytestmark = pytest.mark.ci
HOSTILE = "<img src=x onerror=document.title='broken-into'>"

COLORS_IN_MAPS = """[...document.querySelectorAll("canvas.map")].map(canvas => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
  for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3]) seen.add(pixels.slice(i, i + 3).join());
  return seen.size;
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if shutil.which("chromium") is None:
        pytest.skip("CHROMIUM IS MISSING: NO REPORT WAS OPENED")
    one = Browser()
    yield one
    one.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The report of a comparison on pictures whose class, file and folder names are hostile to
    HTML.
    """
    root = tmp_path_factory.mktemp("hostile") / "<i>data"
    random = np.random.default_rng(0)
    for label, name in enumerate((HOSTILE.replace("/", ""), "</script><b>leaf", "stem & root")):
        (root / name.replace("/", "∕")).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 80, (16, 16, 3), dtype=np.uint8)
            pixels[:, :, label] += 150
            Image.fromarray(pixels).save(root / name.replace("/", "∕") / f"{number:02d}.png")
    out = tmp_path_factory.mktemp("out") / "compare"
    methods = ["cross_entropy", "simclr"]
    nearfar.compare(root, methods=methods, seeds=2, epochs=2, out=out, quiet=True, encoder="conv4")
    return out / "report.html"


def test_the_page_opens_without_a_console_error_and_without_the_network(browser, page):
    browser.errors.clear()
    browser.requests.clear()
    browser.open(page)
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


def test_the_maps_are_drawn(browser, page):
    browser.open(page)
    colors = browser.evaluate(COLORS_IN_MAPS)
    assert len(colors) == 2
    assert min(colors) >= 3


def test_the_results_fit_a_window_of_1280_px_without_scrolling(browser, page, tmp_path):
    """With a dozen columns as well."""
    folder = tmp_path / "many"
    shutil.copytree(page.parent, folder)
    results = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    own = [row for row in results["table"] if row["name"] == "linear_probe.top1"]
    for number in range(3):
        name = f"own.measure{number}"
        results["table"] += [{**row, "name": name, "title": "robustness"} for row in own]
        results["shown"].append(name)
    (folder / "compare.json").write_text(json.dumps(results), encoding="utf-8")
    for shown, columns in ((page, 8), (write_report([folder], folder / "report.html"), 14)):
        browser.open(shown)
        wide, room, cells = browser.evaluate(
            "(box => [box.scrollWidth, box.clientWidth, box.querySelectorAll('th.sub').length])"
            "(document.querySelector('#results .scroll'))"
        )
        assert cells >= columns
        assert wide <= room


def test_hostile_names_are_shown_as_text(browser, page):
    browser.open(page)
    assert HOSTILE in browser.evaluate("document.body.innerText")
    assert browser.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    assert browser.evaluate("document.title") != "broken-into"


POINT_AT_THE_FIRST_MAP = """(() => {
  const canvas = document.querySelector("canvas.map"), tip = document.querySelector("#tip");
  canvas.scrollIntoView();
  const box = canvas.getBoundingClientRect();
  for (let x = 4; x < box.width; x += 5) for (let y = 4; y < box.height; y += 5) {
    const at = {clientX: box.left + x, clientY: box.top + y, bubbles: true};
    canvas.dispatchEvent(new PointerEvent("pointermove", at));
    if (!tip.hidden) return [tip.innerText, tip.querySelectorAll(".near > *").length];
  }
  return null;
})()"""


def test_pointing_at_a_map_shows_the_image_its_class_and_its_neighbors(browser, page):
    browser.open(page)
    text, neighbors = browser.evaluate(POINT_AT_THE_FIRST_MAP)
    assert "predicted" in text
    assert neighbors == 10
    assert browser.evaluate("document.title") != "broken-into"


def test_the_page_of_a_single_run_opens_too(browser, page):
    run = page.parent / "simclr" / "seed0"
    browser.errors.clear()
    browser.open(write_report([run], run / "report.html"))
    assert browser.errors == []
    assert len(browser.evaluate(COLORS_IN_MAPS)) == 1
