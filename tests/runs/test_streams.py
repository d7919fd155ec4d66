"""embed and predict go through pictures as a stream, whatever happens to some of them meanwhile."""

import errno
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nearfar
from nearfar.api import embedding_files
from nearfar.data import reading
from nearfar.evaluate import stream
from nearfar.evaluate.stream import represent

COUNT = 60


@pytest.fixture(autouse=True)
def _threads_and_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with large pictures on a machine with three cores."""
    monkeypatch.setattr(reading, "_THREADS_FROM_PX", 0)
    monkeypatch.setattr(reading, "_cores", lambda: 3)
    monkeypatch.setattr(stream, "rows_a_call", lambda _encoder: 8)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Removes a file once the folder was listed, before it is read."""

    def vanish(path: Path) -> None:
        def removed(*args: object, **options: object) -> object:
            path.unlink(missing_ok=True)
            return represent(*args, **options)

        for module in ("embed", "model"):
            monkeypatch.setattr(f"nearfar.api.{module}.represent", removed)

    return vanish


def embedded(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file.items())


def test_embed_writes_the_rows_of_a_listing_in_its_order(
    tiny_run, album, tmp_path, nearfar_command
):
    ended = nearfar_command("embed", tiny_run, album, "--out", tmp_path / "e.npz", "--json")
    assert ended.code == 0, ended.err
    found = embedded(tmp_path / "e.npz")
    assert found["paths"].tolist() == [f"{number:03d}.png" for number in range(COUNT)]
    model = nearfar.load(tiny_run)
    alone = [model.embed([album / path])[0] for path in found["paths"]]
    np.testing.assert_allclose(found["embeddings"], alone, atol=1e-5)
    assert found["embeddings"].dtype == np.float32
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["e.npz"]


def test_a_damaged_picture_in_the_middle_moves_no_other_row(
    tiny_run, album, tmp_path, nearfar_command
):
    whole = json.loads(nearfar_command("predict", tiny_run, album, "--json").out)["predictions"]
    nearfar_command("embed", tiny_run, album, "--out", tmp_path / "whole.npz")
    damaged = album / "029.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    ended = nearfar_command("predict", tiny_run, album, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert [bad["path"] for bad in found["unreadable"]] == [str(damaged)]
    rest = [row for row in whole if row["path"] != str(damaged)]
    assert [row["path"] for row in found["predictions"]] == [row["path"] for row in rest]
    for row, before in zip(found["predictions"], rest, strict=True):
        assert row["class"] == before["class"]
        assert row["probability"] == pytest.approx(before["probability"], abs=1e-5)
    assert nearfar_command("embed", tiny_run, album, "--out", tmp_path / "e.npz").code == 0
    left, all_of_them = embedded(tmp_path / "e.npz"), embedded(tmp_path / "whole.npz")
    for name in ("paths", "embeddings"):
        wanted = np.delete(all_of_them[name], 29, axis=0)
        if name == "paths":
            assert left[name].tolist() == wanted.tolist()
        else:
            np.testing.assert_allclose(left[name], wanted, atol=1e-5)


def test_splits_are_those_of_training_where_pictures_are_copies(
    tiny_run, album, tmp_path, nearfar_command
):
    for name in "ab":
        (album / name).mkdir()
    for number in range(COUNT):
        (album / f"{number:03d}.png").rename(album / "ab"[number % 2] / f"{number:03d}.png")
        if number % 3 == 0:
            path = album / "ab"[number % 2] / f"{number:03d}.png"
            path.with_name(f"copy_{path.name}").write_bytes(path.read_bytes())
    assert nearfar_command("embed", tiny_run, album, "--out", tmp_path / "e.npz").code == 0
    listing = nearfar.data.open_source(album)
    stored = nearfar.data.load(listing, nearfar.data.CenterSquare(8))
    assert embedded(tmp_path / "e.npz")["split"].tolist() == stored.splits.tolist()
    assert stored.splits.tolist() != listing.splits.tolist()


@pytest.mark.parametrize("command", ["embed", "predict"])
def test_a_file_that_vanishes_after_the_listing_is_named(
    tiny_run, album, tmp_path, nearfar_command, vanishing, command
):
    vanishing(album / "030.png")
    options = ("--out", tmp_path / "e.npz") if command == "embed" else ()
    ended = nearfar_command(command, tiny_run, album, *options, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    (bad,) = found["unreadable"]
    assert bad["path"].endswith("030.png")
    assert bad["reason"] == "cannot be read: No such file or directory"
    rows = found["rows"] if command == "embed" else len(found["predictions"])
    assert rows == COUNT - 1
    assert "left out" in ended.err and "Traceback" not in ended.err


def test_of_one_picture_that_cannot_be_read_nothing_is_written(
    tiny_run, tmp_path, nearfar_command, vanishing
):
    folder = tmp_path / "one"
    folder.mkdir()
    Image.new("RGB", (9, 9)).save(folder / "only.png")
    vanishing(folder / "only.png")
    ended = nearfar_command("embed", tiny_run, folder, "--out", tmp_path / "e.npz")
    assert ended.code == 2
    assert "only.png: cannot be read: No such file" in ended.err
    assert not (tmp_path / "e.npz").exists()


def test_a_full_disk_is_said_and_leaves_nothing(
    tiny_run, album, tmp_path, nearfar_command, monkeypatch
):
    class Full(io.BytesIO):
        def write(self, _content: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(embedding_files.tempfile, "TemporaryFile", lambda **_: Full())
    ended = nearfar_command("embed", tiny_run, album, "--out", tmp_path / "new" / "e.csv")
    assert ended.code == 2
    assert "e.csv cannot be written (No space left on device)" in ended.err
    assert list((tmp_path / "new").iterdir()) == []


def test_pictures_are_embedded_with_memory_kept(
    tiny_run, album, tmp_path, nearfar_command, monkeypatch
):
    order: list[str] = []

    @contextmanager
    def watched() -> Iterator[None]:
        order.append("kept")
        yield
        order.append("given back")

    real = embedding_files.Spool.put
    monkeypatch.setattr(stream, "kept_memory", watched)
    monkeypatch.setattr(
        embedding_files.Spool, "put", lambda *args: order.append("rows") or real(*args)
    )
    assert nearfar_command("embed", tiny_run, album, "--out", tmp_path / "e.npz").code == 0
    assert order == ["kept", *["rows"] * 8, "given back"]


def test_bf16_is_close_and_another_precision_is_refused(tiny_run, album, tmp_path, nearfar_command):
    for precision in ("float32", "bf16"):
        out = tmp_path / f"{precision}.npz"
        ended = nearfar_command("embed", tiny_run, album, "--out", out, "--precision", precision)
        assert ended.code == 0, ended.err
    exact, narrow = (
        torch.from_numpy(embedded(tmp_path / f"{precision}.npz")["embeddings"])
        for precision in ("float32", "bf16")
    )
    assert float((exact - narrow).abs().max()) > 0
    assert float(torch.cosine_similarity(exact, narrow).min()) >= 0.999
    shares = [
        json.loads(nearfar_command("predict", tiny_run, album, "--json", *options).out)
        for options in ((), ("--precision", "bf16"))
    ]
    assert shares[0] != shares[1]
    ended = nearfar_command("predict", tiny_run, album, "--precision", "fp4")
    assert ended.code == 2
    assert "'fp4' is not one of 'float32', 'bf16'" in ended.err


@pytest.mark.ci
def test_an_interrupt_while_threads_decode_ends_the_command(tiny_run, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (700, 900, 3), dtype=np.uint8)).save(folder / "0.png")
    for number in range(1, 1500):
        (folder / f"{number}.png").hardlink_to(folder / "0.png")
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "e.npz"
    code = (
        "import nearfar.api.embed as e, nearfar.api.embedding_files as f\n"
        "real = f.Spool.put\n"
        "f.Spool.put = lambda *a: (print('put', flush=True), real(*a))\n"
        "from nearfar.cli.main import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "embed", str(tiny_run), str(folder), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.readline()
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 20
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert list((tmp_path / "out").iterdir()) == []
