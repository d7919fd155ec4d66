"""The sheets of training views on the page: one for runs that share them, none for old runs, no
trust in the file.
"""

import base64
import io
import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_run_folders import write_comparison, write_run

from nearfar.core.errors import RunError
from nearfar.report import write_report
from nearfar.report.pictures import read_picture


def sheet(color: tuple[int, int, int] = (200, 30, 30), side: int = 60, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), color).save(buffer, "PNG", **options)
    return buffer.getvalue()


def give_views(
    run: Path, *, policy: str = "simclr", count: int = 2, color=(200, 30, 30), size: int = 32
) -> None:
    (run / "views.png").write_bytes(sheet(color))
    results = json.loads((run / "results.json").read_text())
    results["views"] = {"policy": policy, "count": count, "shown": str(count)}
    results["encoder"]["size"] = size
    (run / "results.json").write_text(json.dumps(results))
    with (run / "run.toml").open("a") as file:
        file.write(f'\n[data]\nsize = {size}\n\n[views]\npolicy = "{policy}"\ncount = {count}\n')


def shown(html: str) -> list[tuple[str, tuple[int, ...]]]:
    """Caption's heading and the middle pixel of each sheet."""
    image = r'<img class="views"[^>]* src="data:image/(?:png|jpeg);base64,([^"]*)"'
    found = re.findall(rf"<figcaption>([^<]*)</figcaption>\s*{image}", html)
    pictures = [
        (label, Image.open(io.BytesIO(base64.b64decode(content)))) for label, content in found
    ]
    return [(label, picture.getpixel((30, 30))) for label, picture in pictures]


def page(*paths: Path) -> str:
    return write_report(paths, paths[0] / "report.html").read_text(encoding="utf-8")


def test_a_run_shows_its_sheet_with_policy_size_and_count(tmp_path):
    run = write_run(tmp_path / "run")
    give_views(run, policy="<b>own</b>")
    html = page(run)
    assert shown(html) == [("supcon", (200, 30, 30))]
    assert "Policy &lt;b&gt;own&lt;/b&gt;, 32 px; views of each image a step: 2." in html
    assert "their normalization undone" in html
    assert "with seed 0" in html


def test_a_run_of_old_has_no_sheet_and_no_complaint(tmp_path):
    html = page(write_run(tmp_path / "run"))
    assert shown(html) == []
    assert 'id="views"' not in html
    assert "views.png" not in html


def test_runs_that_share_their_views_show_one_sheet_of_the_run_with_most(tmp_path):
    folder = write_comparison(tmp_path / "c")
    for number, (method, count) in enumerate((("cross_entropy", 1), ("simclr", 2), ("supcon", 2))):
        for seed in range(3):
            give_views(
                folder / method / f"seed{seed}", count=count, color=(0, 60 * number, 10 * seed)
            )
    html = page(folder)
    (only,) = shown(html)
    assert only in (
        ("supcon, cross_entropy and simclr", (0, 120, 0)),
        ("supcon, cross_entropy and simclr", (0, 60, 0)),
    )
    assert "views of each image a step: 2 for supcon, 1 for cross_entropy, 2 for simclr." in html


@pytest.mark.parametrize("change", [{"policy": "supcon"}, {"size": 64}])
def test_runs_of_other_views_show_their_own(tmp_path, change):
    folder = write_comparison(tmp_path / "c")
    for method in ("cross_entropy", "simclr", "supcon"):
        for seed in range(3):
            give_views(folder / method / f"seed{seed}", **(change if method == "simclr" else {}))
    assert [label for label, _ in shown(page(folder))] == ["supcon and cross_entropy", "simclr"]


def test_without_run_toml_nothing_is_taken_to_be_shared(tmp_path):
    runs = [write_run(tmp_path / name, method=name) for name in ("supcon", "simclr")]
    for run in runs:
        give_views(run)
        (run / "run.toml").unlink()
    assert [label for label, _ in shown(page(*runs))] == ["supcon", "simclr"]


def test_a_large_sheet_is_embedded_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1000, 3), dtype=np.uint8)
    file = tmp_path / "views.png"
    Image.fromarray(noise).save(file)
    uri = read_picture(file).data_uri()
    assert uri.startswith("data:image/jpeg;base64,")
    photograph = np.asarray(Image.fromarray(noise[:64, :64]).resize((1000, 900)))
    Image.fromarray(photograph).save(file)
    assert len(read_picture(file).data_uri()) <= 150_000


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims to be of that size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def of_kind(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 60)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot identify"),
        (b"<script>alert(1)</script>", "cannot identify"),
        (of_kind("JPEG"), "cannot identify"),
        (of_kind("GIF"), "cannot identify"),
        (sheet()[:60], ""),
        (bomb(30_000, 30_000), "decompression bomb"),
        (bomb(12_000, 9_000), "want at most 2400 px a side, got 12000 x 9000"),
        (bomb(2_401, 1), "got 2401 x 1"),
        (bomb(100, 100), "truncated"),
        (bomb(0, 5), ""),
        (
            sheet()[:33] + chunk(b"IDAT", sheet()[41:70]) + chunk(b"\xe5\xeb\x04?", b""),
            "broken PNG file",
        ),
        (sheet() + b"\0" * 8_000_000, "want at most 8,000,000 bytes"),
    ],
    ids=range(12),
)
def test_a_file_that_nearfar_did_not_write_is_refused_by_name(tmp_path, content, message):
    run = write_run(tmp_path / "run")
    give_views(run)
    (run / "views.png").write_bytes(content)
    with pytest.raises(
        RunError,
        match=rf"views\.png: no picture that nearfar wrote \(.*{message}.*make the run again",
    ):
        page(run)
    assert not list(run.glob("*report.html*"))


def test_only_pixels_reach_the_page(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    run = write_run(tmp_path / "run")
    give_views(run)
    info = PngInfo()
    info.add_text("Comment", "<script>alert(1)</script>")
    (run / "views.png").write_bytes(sheet(pnginfo=info))
    embedded = re.search(r'class="views"[^>]* src="data:image/png;base64,([^"]*)"', page(run))
    assert embedded is not None
    assert b"script" not in base64.b64decode(embedded[1])
