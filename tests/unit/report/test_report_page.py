"""The page as a file: complete, escaped, light; and what happens when a run folder is not whole."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_run_folders import (
    METHODS,
    digits_images,
    made_up_images,
    write_comparison,
    write_run,
)

from nearfar.core.errors import RunError
from nearfar.report import write_report
from nearfar.report.confusion import confusion_matrices
from nearfar.report.groups import findings
from nearfar.report.maps import map_families
from nearfar.report.meanings import of_column
from nearfar.report.page import json_for_script
from nearfar.report.palette import COLORS, class_styles
from nearfar.report.read import read_source
from nearfar.report.rows import TestRows
from nearfar.report.sheet import Sheet

HOSTILE = "<img src=x onerror=alert(1)>"
BREAK_OUT = "</script><script>alert(2)</script><!--"


class _Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def _page(*paths: Path) -> str:
    return write_report(paths, paths[0] / "report.html").read_text(encoding="utf-8")


def _payload(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', html, re.S)
    assert found is not None
    return json.loads(found[1])


def test_the_demo_of_nine_runs_is_one_small_page_with_every_section(tmp_path: Path) -> None:
    html = _page(write_comparison(tmp_path / "c", images=digits_images()))
    assert len(html.encode()) < 1_000_000  # the promise is 8 MB
    for section in (
        "results",
        "left-out",
        "diagnosis",
        "curves",
        "maps",
        "confusion",
        "mistakes",
        "load",
        "reproduce",
    ):
        assert f'<section id="{section}">' in html, section
    page = _Elements(html)
    assert len(page.named("canvas")) == 3
    assert len([a for a in page.named("svg") if a.get("class") == "chart"]) == 6
    assert len(_payload(html)["maps"]) == 9
    assert "nearfar demo" in html


def test_the_page_points_to_nothing_outside_itself_but_its_encoder_files(tmp_path: Path) -> None:
    html = _page(write_comparison(tmp_path / "c"))
    page = _Elements(html)
    links = {str(a["href"]) for a in page.named("a")}
    assert links == {
        f"./{method}/seed0/encoder/model.safetensors"
        for method in ("supcon", "cross_entropy", "simclr")
    }
    assert not page.named("link")
    assert all("src" not in a for a in page.named("script"))
    assert not re.search(r"https?://", html)
    policy = next(
        a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline'; script-src 'sha256-" in policy


def test_every_name_a_user_gives_is_escaped(tmp_path: Path) -> None:
    data = {
        "name": HOSTILE,
        "source": HOSTILE,
        "classes": [HOSTILE, BREAK_OUT],
        "n_test": 40,
        "skipped": [[HOSTILE, HOSTILE]],
    }
    run = write_run(
        tmp_path / "javascript:alert(1)",
        method=HOSTILE,
        classes=(HOSTILE, BREAK_OUT),
        command=HOSTILE,
        accuracy=0.5,
        change={"data": data, "diagnosis": [HOSTILE], "encoder": {"name": HOSTILE}},
    )
    (run / "run.toml").write_text(f"a = '{BREAK_OUT}{HOSTILE}'")
    (run / "environment.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    with np.load(run / "embeddings.npz") as arrays:
        rows = dict(arrays)
    rows["paths"] = np.array([f"{BREAK_OUT}{HOSTILE}{i}" for i in range(40)])
    np.savez(run / "embeddings.npz", **rows)
    html = write_report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    page = _Elements(html)
    assert HOSTILE not in html
    assert "<script>alert" not in html
    assert len(page.named("script")) == 2
    assert not page.named("img")
    assert not any("onerror" in attributes for _, attributes in page.found)
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") > 20
    assert _payload(html)["families"][0]["classes"] == [HOSTILE, BREAK_OUT]
    assert {a["href"] for a in page.named("a")} == {
        "./javascript%3Aalert%281%29/encoder/model.safetensors"
    }


def test_json_inside_a_script_cannot_end_it() -> None:
    text = json_for_script({"a": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


def test_equal_thumbnails_are_embedded_once(tmp_path: Path) -> None:
    found = findings(read_source([write_comparison(tmp_path / "c")]))
    sheet = Sheet()
    _, payload = map_families(found.groups, sheet)
    assert len({tile for m in payload["maps"] for tile in m["tile"]}) == 40
    assert len(payload["paths"]) == 40


def test_a_noisy_sheet_of_many_thumbnails_can_be_drawn() -> None:
    sheet = Sheet()
    for image in made_up_images(1500, 1)[0]:
        sheet.add(image)
    assert sheet.data_uri().startswith("data:image/jpeg;base64,")


def test_the_first_120_classes_all_look_different_and_neighbors_doubly_so() -> None:
    styles = class_styles(120)
    assert len(set(styles)) == 120
    assert all(
        a.color != b.color and a.shape != b.shape
        for a, b in pairwise(styles)
        if a.color != COLORS[-1]
    )


def test_colors_stay_apart_for_color_blind_eyes() -> None:
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in COLORS]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    protan = [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
    deutan = [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
    for vision in (np.eye(3), np.array(protan), np.array(deutan)):
        lab = _oklab(np.clip(linear @ vision.T, 0, 1))
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 9 * np.eye(len(lab))
        assert apart.min() > 0.13


def _oklab(linear: np.ndarray) -> np.ndarray:
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
           [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.cbrt(linear @ np.array(cones).T) @ np.array(lab).T


def test_figures_stand_in_the_matrix_up_to_twenty_classes_and_a_picture_beyond(
    tmp_path: Path,
) -> None:
    twenty = findings(read_source([write_run(tmp_path / "a", classes=tuple(map(str, range(20))))]))
    more = findings(read_source([write_run(tmp_path / "b", classes=tuple(map(str, range(21))))]))
    (figures,), (picture,) = confusion_matrices(twenty.groups), confusion_matrices(more.groups)
    assert len(figures.rows) == 20
    assert figures.picture == ""
    assert picture.rows == ()
    assert picture.picture.startswith("data:image/png;base64,")


def test_the_worst_mistakes_are_the_surest_wrong_ones() -> None:
    labels, predictions = np.array([0, 1, 1, -1, 0]), np.array([1, 1, 0, 0, -1])
    confidence = np.array([0.6, 0.99, 0.9, 1.0, 1.0], np.float32)
    text, xy = np.array(["test"] * 5), np.zeros((5, 2), np.float32)
    rows = TestRows(
        labels,
        predictions,
        confidence,
        text,
        text,
        xy,
        np.zeros((5, 1), int),
        made_up_images(5, 2)[0],
    )
    assert rows.worst_mistakes(9).tolist() == [2, 0]
    assert rows.worst_mistakes(1).tolist() == [2]


def test_the_files_of_the_worst_mistakes_stand_beside_them_for_every_seed(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c")
    for file in folder.glob("*/seed*/embeddings.npz"):
        with np.load(file) as arrays:
            half_wrong = dict(arrays)
        half_wrong["predictions"][:20] = (half_wrong["labels"][:20] + 1) % 10
        np.savez(file, **half_wrong)
    html = _page(folder)
    section = html.partition('<section id="mistakes">')[2].partition("</section>")[0]
    lists = re.findall(r"<details( open)?><summary><b>(\w+)</b>, seed (\d)", section)
    assert [(label, seed) for _, label, seed in lists] == [
        (method, str(seed)) for method in METHODS for seed in range(3)
    ]
    assert [bool(is_open) for is_open, _, _ in lists] == [True, False, False] * 3
    with np.load(folder / "simclr" / "seed2" / "embeddings.npz") as file:
        rows = dict(file)
    wrong = np.flatnonzero(rows["labels"] != rows["predictions"])
    surest = wrong[np.argsort(-rows["confidence"][wrong], kind="stable")][:12]
    last = section.rpartition("<summary>")[2]
    assert re.findall(r'<small class="path">(.*?)</small>', last) == rows["paths"][surest].tolist()


def test_a_balanced_accuracy_is_explained_as_one() -> None:
    assert of_column("linear_probe.balanced_accuracy").startswith("the mean of the classes’ own")
    assert of_column("linear_probe.top1").startswith("a linear classifier")
    assert of_column("surprise.mean") == of_column("surprise.balanced_accuracy") == ""


def test_measured_words_are_explained_where_they_stand(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", epochs=3)
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    more = {"effective_rank": 30.0, "uniformity": -2.5, "online_probe.top1.train": 0.5}
    path.write_text("".join(json.dumps(row | more) + "\n" for row in rows))
    html = _page(run)

    def explained(section: str) -> list[str]:
        text = html.partition(f'<section id="{section}">')[2].partition("</section>")[0]
        return re.findall(r"<dt>([^<]+)</dt><dd>[^<]{20,}\.</dd>", text.partition("<details")[0])

    assert explained("results") == [
        "Linear probe",
        "kNN",
        "10 labels a class",
        "Last epoch",
        "Best on validation",
        "Untrained",
    ]
    assert explained("curves") == [
        "Training loss",
        "Chance (dashed)",
        "kNN accuracy on validation",
        "Online probe",
    ]
    for title in ("Effective rank of the representation", "Uniformity"):
        assert re.search(rf"<b>{title}</b>: [^<]{{20,}}\.</p>", html)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "Online probe" not in _page(run)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (None, "random numbers, no given weights"),
        ("hub", "the weights that timm publishes"),
        ("lite0.safetensors", "weights from lite0.safetensors"),
    ],
)
def test_the_header_says_what_training_started_from(
    tmp_path: Path, weights: str | None, said: str
) -> None:
    encoder = {"name": "tf_efficientnet_lite0", "weights": weights}
    header = _page(write_run(tmp_path / "run", change={"encoder": encoder})).partition("</header>")
    assert f"<dt>Start</dt><dd>{said}</dd>" in header[0]


@pytest.mark.parametrize(
    "name",
    ["embeddings.npz", "metrics.jsonl", "encoder/config.json", "run.toml", "environment.json"],
)
def test_an_absent_file_costs_its_section_and_no_more(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run")
    (run / name).unlink()
    html = _page(run)
    assert "<h1>On digits, the supcon encoder gets" in html
    if name in ("embeddings.npz", "metrics.jsonl", "encoder/config.json"):
        assert f"no {name}" in html


def test_a_run_without_labels_gives_a_page_that_says_so(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        method="simclr",
        change={
            "data": {"name": "photos", "n_unlabeled": 900},
            "measurements": [],
            "untrained": [],
            "confusion": None,
        },
    )
    (run / "embeddings.npz").unlink()
    html = _page(run)
    assert (
        "simclr trained on 900 images of photos; there are no labels, so no accuracy was measured."
        in html
    )
    assert "Nothing was measured, so there is no table." in html


def test_unlabeled_test_rows_are_mapped_without_classes(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run", change={"data": {"name": "photos", "n_test": 40}, "confusion": None}
    )
    with np.load(run / "embeddings.npz") as arrays:
        rows = dict(arrays)
    rows["labels"] = rows["predictions"] = np.full(40, -1)
    rows["confidence"] = np.full(40, np.nan, np.float32)
    np.savez(run / "embeddings.npz", **rows)
    html = _page(run)
    assert "<canvas" in html
    assert 'class="legend"' not in html


def test_neighbors_that_are_not_there_are_neither_drawn_nor_counted(tmp_path: Path) -> None:
    """Row 0 has one neighbor, of its own class; numpy would take -1 for the last row, which is of
    another.
    """
    run = write_run(tmp_path / "run")
    with np.load(run / "embeddings.npz") as arrays:
        rows = dict(arrays)
    rows["labels"] = np.array([0, 0, *[-1] * 37, 1])
    rows["neighbors"] = np.full((40, 10), -1)
    rows["neighbors"][:2, 0] = (1, 0)
    np.savez(run / "embeddings.npz", **rows)
    html = _page(run)
    assert _payload(html)["maps"][0]["near"] == [[1], [0], *[[]] * 38]
    assert "100.0 % of the 1 nearest neighbors" in html


@pytest.mark.parametrize("n", [1, 2, 6])
def test_a_test_set_of_a_few_images_has_a_page(tmp_path: Path, n: int) -> None:
    html = _page(write_run(tmp_path / "run", images=made_up_images(n, 10)))
    (near,) = (m["near"] for m in _payload(html)["maps"])
    assert [len(of) for of in near] == [min(n - 1, 7), *[n - 1] * (n - 1)]


def test_an_unfinished_comparison_shows_the_runs_that_are_there(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c")
    (folder / "compare.json").unlink()
    html = _page(folder)
    assert "This comparison was not finished" in html
    assert len(_payload(html)["maps"]) == 9


@pytest.mark.parametrize(
    "name", ["results.json", "encoder/config.json", "environment.json", "embeddings.npz"]
)
@pytest.mark.parametrize("keep", [0, 0.5, 0.98])
def test_a_file_cut_short_is_named_with_what_to_do(tmp_path: Path, name: str, keep: float) -> None:
    run = write_run(tmp_path / "run")
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(
        RunError,
        match=(
            rf"{name}(:| cannot be read \(cut short\?\):) .*; make the run again: nearfar train .*"
            r" --force"
        ),
    ):
        _page(run)
    assert not list(run.glob("*report.html*"))


def test_a_broken_line_of_metrics_is_forgiven_only_at_the_end_of_an_interrupted_run(
    tmp_path: Path,
) -> None:
    whole, stopped = (
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", change={"complete": False}),
    )
    for run in (whole, stopped):
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"epoch": 31, "lo')
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 31"):
        _page(whole)
    assert "<h1>" in _page(stopped)
    text = (stopped / "metrics.jsonl").read_text()
    (stopped / "metrics.jsonl").write_text("{}\n" + text)
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 1: epoch"):
        _page(stopped)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("labels", np.full(40, 10), "labels: want -1 to 9"),
        ("predictions", np.full(40, -2), "predictions: want -1 to 9"),
        ("neighbors", np.full((40, 10), 40), "neighbors: want -1 to 39"),
        ("neighbors", np.full((40, 10), -2), "neighbors: want -1 to 39"),
        ("xy", np.zeros((39, 2)), r"xy: want shape \(40, 2\)"),
        ("thumbnails", np.zeros((40, 32, 32, 3), np.float32), "thumbnails: want uint8"),
        ("labels", np.zeros(40), "labels: want integers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, value: np.ndarray, message: str
) -> None:
    run = write_run(tmp_path / "run")
    with np.load(run / "embeddings.npz") as arrays:
        rows = dict(arrays)
    np.savez(run / "embeddings.npz", **(rows | {name: value}))
    with pytest.raises(RunError, match=message):
        _page(run)


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with np.load(run / "embeddings.npz") as arrays:
        rows = dict(arrays)
    np.savez(run / "embeddings.npz", **(rows | {"paths": rows["paths"].astype(object)}))
    with pytest.raises(RunError, match=r"embeddings\.npz: cut short or damaged \(Object arrays"):
        _page(run)


def test_a_confusion_matrix_of_another_size_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", change={"confusion": {"counts": [[1, 2], [3, 4]]}})
    with pytest.raises(RunError, match=r"results\.json: .*confusion: want 10 x 10 counts"):
        _page(run)


def test_a_folder_that_holds_no_run_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"found neither.*nearfar train"):
        _page(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        _page(tmp_path / "nowhere")
    with pytest.raises(RunError, match="at least one run folder"):
        write_report([], tmp_path / "report.html")


def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written.*--out FILE"):
        write_report([run], tmp_path / "file" / "report.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(RunError, match=r"cannot be written"):
        write_report([run], tmp_path / "taken")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "run", "taken"]


def test_everybody_may_read_the_page_whatever_the_writer_s_mask_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = os.umask(0o077)
    try:
        page = write_report([run], tmp_path / "report.html")
    finally:
        os.umask(before)
    assert page.stat().st_mode & 0o777 == 0o644


def test_reporting_imports_no_torch() -> None:
    code = "import sys, nearfar.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_monitors_have_curves_where_the_rows_hold_them(tmp_path):
    run = write_run(tmp_path / "run", epochs=3)
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    numbers = {"effective_rank": 30.0, "alignment": 0.25, "uniformity": -2.5, "queue_age": 4.5}
    path.write_text("".join(json.dumps(row | numbers) + "\n" for row in rows))
    text = write_report([run], tmp_path / "page.html").read_text(encoding="utf-8")
    for title in (
        "Effective rank of the representation",
        "Alignment",
        "Uniformity",
        "Age of the queue",
    ):
        assert f'aria-label="{title}, supcon, by epoch; seed 0' in text
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "Effective rank" not in write_report([run], tmp_path / "page.html").read_text(
        encoding="utf-8"
    )


def test_the_classifier_stage_has_its_curve_by_its_own_epochs(tmp_path):
    run = write_run(tmp_path / "run", epochs=3)
    rows = [
        {"epoch": epoch, "loss": 1 / epoch, "classifier.top1.val": 0.5 + epoch / 100}
        for epoch in range(1, 31)
    ]
    (run / "classifier.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = write_report([run], tmp_path / "page.html").read_text(encoding="utf-8")
    summary = (
        "validation accuracy of the classifier stage of supcon, by epoch; seed 0: 51.0 % → 80.0 %"
    )
    assert f'aria-label="{summary}"' in text
    assert re.search(rf'aria-label="{re.escape(summary)}".*?>30</text>', text, flags=re.DOTALL)
    (run / "classifier.jsonl").unlink()
    assert "Classifier stage" not in write_report([run], tmp_path / "page.html").read_text(
        encoding="utf-8"
    )
