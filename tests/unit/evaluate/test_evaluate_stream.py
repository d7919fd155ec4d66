"""Pictures are represented as they are read, in order, whatever happens to some of them."""

import io
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.data import reading
from nearfar.data.center import CenterSquare
from nearfar.data.decoding import evaluation_pixels
from nearfar.data.samples import EvaluationView
from nearfar.evaluate import stream
from nearfar.evaluate.stream import represent
from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder

VIEW = EvaluationView(CenterSquare(8), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
COUNT = 300


@pytest.fixture(autouse=True)
def _three_threads_and_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_cores", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(stream, "rows_a_call", lambda _example: 8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).eval()


def jpeg(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [jpeg(number) for number in range(COUNT)]


def wanted(encoder: Encoder, files: list[bytes]) -> np.ndarray:
    pixels = np.stack([evaluation_pixels(file, VIEW.center) for file in files])
    with torch.inference_mode():
        return encoder(VIEW.normalized(torch.from_numpy(pixels))).numpy()


def test_rows_come_in_the_order_of_the_pictures(encoder: Encoder, files: list[bytes]) -> None:
    numbered = ((3 * number, file) for number, file in enumerate(files))
    parts = list(represent(encoder, VIEW, numbered, count=COUNT, longest_px=500))
    assert [n for part in parts for n in part.numbers] == [3 * n for n in range(COUNT)]
    assert [len(part) for part in parts] == [8] * 37 + [4]
    found = np.concatenate([part.x for part in parts])
    np.testing.assert_allclose(found, wanted(encoder, files), atol=1e-5)


def test_what_cannot_be_read_is_named_in_its_chunk_and_the_rest_is_represented(
    encoder: Encoder, files: list[bytes], tmp_path: Path
) -> None:
    pictures: list[bytes | Path] = list(files[:40])
    pictures[11] = files[11][:200]
    pictures[20] = tmp_path / "vanished.jpg"
    pictures[24:32] = [b"text"] * 8
    parts = list(represent(encoder, VIEW, enumerate(pictures), count=40, longest_px=500))
    broken = {number: reason for part in parts for number, reason in part.broken}
    assert broken.keys() == {11, 20, *range(24, 32)}
    assert "Truncated" in broken[11]
    assert broken[20] == "cannot be read: No such file or directory"
    assert [len(part) for part in parts] == [8] * 5
    assert parts[3].x.shape == (0, 64)
    read = [number for part in parts for number in part.numbers]
    assert read == [number for number in range(40) if number not in broken]
    found = np.concatenate([part.x for part in parts])
    np.testing.assert_allclose(found, wanted(encoder, files)[read], atol=1e-5)


def test_a_bounded_number_of_pictures_is_in_work(encoder: Encoder, files: list[bytes]) -> None:
    taken, most, done = 0, 0, 0

    def pictures() -> Iterator[tuple[int, bytes]]:
        nonlocal taken
        for number, file in enumerate(files):
            taken += 1
            yield number, file

    for part in represent(encoder, VIEW, pictures(), count=COUNT, longest_px=500):
        most = max(most, taken - done)
        done += len(part)
    assert most == 8 * 3 * 2


def test_threads_end_and_torch_s_number_of_threads_comes_back(
    encoder: Encoder, files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    with closing(represent(encoder, VIEW, enumerate(files), count=COUNT, longest_px=500)) as parts:
        next(parts)
    assert told == [1, 3]
    assert not [t for t in threading.enumerate() if t.name.startswith("images")]


def test_small_pictures_and_few_are_left_to_this_thread(
    encoder: Encoder, files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    real = reading.ThreadPoolExecutor

    def pool(workers: int, **options: str) -> object:
        started.append(workers)
        return real(workers, **options)

    monkeypatch.setattr(reading, "ThreadPoolExecutor", pool)
    for count, px in ((COUNT, 100), (8, 500), (9, 500), (COUNT, 500)):
        list(represent(encoder, VIEW, enumerate(files[:count]), count=count, longest_px=px))
    assert started == [2, 3]
