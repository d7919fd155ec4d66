import errno
import io
import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_pictures import class_folders, pack, picture, png
from PIL import Image

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.data import (
    CenterSquare,
    cache,
    filling,
    load,
    open_source,
    reading,
    store,
    store_bytes,
    store_side,
)
from nearfar.data.decoding import decode, evaluation_pixels


def sets(tmp_path: Path) -> list[Path]:
    """Everything in the cache, temporary folders included."""
    folder = tmp_path / "cache" / "decoded"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_rows_are_the_decoded_squares_with_their_true_sizes(write):
    contents = {"a/0.png": png(0, 20, 10), "a/1.png": png(1, 20, 10), "b/0.png": png(2, 8, 30)}
    data = load(open_source(write(contents)), CenterSquare(5))
    rows = data.rows(torch.tensor([2, 0]))
    assert rows.images.shape == (2, 10, 10, 3)
    assert rows.half.shape == (2, 5, 5, 3)
    assert rows.size_px.tolist() == [[8, 30], [20, 10]]
    for place, name in enumerate(("b/0.png", "a/0.png")):
        wanted = decode(contents[name], 10)
        assert (rows.images[place].numpy() == wanted.square).all()
        assert (rows.half[place].numpy() == wanted.half).all()


def test_small_images_are_not_enlarged_and_large_ones_get_twice_the_view(write):
    listing = open_source(write(class_folders({"a": 3, "b": 3})))  # 12 × 10 px
    assert (listing.side, listing.longest) == (10, 12)
    assert store_side(listing, 64) == 12
    assert store_side(listing, 3) == 6
    assert store_bytes(listing, 6, CenterSquare(3)) == 6 * 3 * (36 + 9 + 9)
    digits = open_source("digits")
    assert store_bytes(digits, 8, CenterSquare(8)) == 1797 * 3 * (64 + 16)
    assert store_bytes(digits, 8, CenterSquare(64)) == 1797 * 3 * (64 + 16)
    assert store_bytes(digits, 8, CenterSquare(5)) == 1797 * 3 * (64 + 16 + 25)


def test_digits_are_stored_as_they_are():
    data = load(open_source("digits"), CenterSquare(8))
    assert data.images.shape == (1797, 8, 8, 3)
    assert data.images.max() == 255
    assert set(np.unique(data.images[..., 0])) == {round(value * 255 / 16) for value in range(17)}
    assert data.facts(8) == replace(open_source("digits").facts(8), colored=False)
    images = data.images.copy()
    images[-1, 7, 3, 1] ^= 1  # one pixel of one image is not gray
    assert replace(data, images=images).facts(8) == open_source("digits").facts(8)


MIXED = {"a/0.png": (20, 20), "a/1.png": (20, 20), "b/0.png": (30, 20), "b/1.png": (9, 20)}


@pytest.mark.parametrize("center", [
    CenterSquare(20), CenterSquare(20, 0.8), CenterSquare(50, 0.9, "bicubic"), CenterSquare(7)
])  # fmt: skip
@pytest.mark.parametrize("broken", [False, True])
def test_evaluation_pixels_are_made_from_the_pictures_themselves(write, center, broken):
    """Of those that are stored as they are no copy is kept, unless it is the smaller one."""
    contents = {path: png(row, *size) for row, (path, size) in enumerate(MIXED.items())}
    others = {f"c/{row:03d}.png": png(7, 20, 20) for row in range(200)}
    others |= {"a/00.png": b"text"} if broken else {}
    listing = open_source(write(contents | others))
    for _ in range(2):  # decoded, and from the cache
        data = load(listing, center)
        assert (data.side, len(data)) == (min(20, 2 * center.size), 204)
        assert len(data.evaluated) == (204 if center.size == 7 else 2)
        rows = [data.paths.index(path) for path in ("b/1.png", "a/1.png", "b/0.png", "a/1.png")]
        for index in (rows, rows[1::2], rows[:1], []):
            seen = data.evaluation_pixels(torch.tensor(index, dtype=torch.int64))
            assert seen.shape == (len(index), center.size, center.size, 3)
            for row, pixels in zip(index, seen.numpy(), strict=True):
                assert (pixels == evaluation_pixels(contents[data.paths[row]], center)).all()


def test_a_picture_is_evaluated_the_same_whatever_the_other_pictures_sizes(write):
    seen = []
    for size, side in (((213, 160), 128), ((20, 30), 30)):
        others = {f"a/{i}.png": png(i, *size) for i in range(9)}
        folder = write(others | {"a/x.png": png(99, 213, 160)}, f"beside {side}")
        data = load(open_source(folder), CenterSquare(64))
        assert data.side == side
        seen.append(data.evaluation_pixels(torch.tensor([data.paths.index("a/x.png")])))
    assert torch.equal(seen[0], seen[1])


def test_digits_are_evaluated_as_they_are_without_a_copy():
    data = load(open_source("digits"), CenterSquare(8))
    assert len(data.evaluated) == 0
    assert (data.evaluation_pixels(torch.arange(1797)).numpy() == data.images).all()


def test_another_evaluation_view_is_another_set(write, tmp_path):
    folder = write(class_folders({"a": 5}))
    for center in (CenterSquare(4), CenterSquare(4, 0.875), CenterSquare(4, 1.0, "bicubic")):
        seen = load(open_source(folder), center).evaluation_pixels(torch.tensor([3]))
        assert (seen[0].numpy() == evaluation_pixels(png(3), center)).all()
    assert len(sets(tmp_path)) == 3


def test_facts_count_labeled_training_images(write):
    facts = load(
        open_source(write(class_folders({"a": 10, "b": 20, "unlabeled": 4}))), CenterSquare(4)
    ).facts(4)
    assert facts.class_counts == (6, 13)
    assert (facts.n_train, facts.n_val, facts.n_test, facts.n_unlabeled) == (19, 5, 6, 4)


def test_an_unknown_split_is_refused_and_the_others_cover_every_row(write):
    data = load(open_source(write(class_folders({"a": 10, "b": 20}))), CenterSquare(4))
    parts = [data.split(name) for name in ("train", "val", "test", "unlabeled")]
    assert sorted(torch.cat(parts).tolist()) == list(range(30))
    with pytest.raises(ValueError, match="validation"):
        data.split("validation")


def test_a_second_load_decodes_nothing(write, monkeypatch):
    folder = write(class_folders({"a": 5, "b": 5}))
    first = load(open_source(folder), CenterSquare(4))
    monkeypatch.setattr(filling, "decode", None)
    second = load(open_source(folder), CenterSquare(4))
    assert isinstance(second.images, np.memmap)
    assert (first.images == second.images).all()
    assert (first.evaluated == second.evaluated).all()
    assert torch.equal(first.sizes_px, second.sizes_px)


def test_changed_files_and_other_sides_get_their_own_set(write, tmp_path):
    folder = write(class_folders({"a": 5, "b": 5}))
    before = load(open_source(folder), CenterSquare(4))
    load(open_source(folder), CenterSquare(3))
    (folder / "a" / "000.png").write_bytes(png(500, 13, 11))
    after = load(open_source(folder), CenterSquare(4))
    assert len(sets(tmp_path)) == 3
    assert (before.images[0] != after.images[0]).any()


def test_an_archive_with_other_pixels_gets_its_own_set(tmp_path):
    a = load(open_source(pack(tmp_path / "x.tar", class_folders({"a": 5}))), CenterSquare(4))
    b = load(
        open_source(pack(tmp_path / "x.tar", class_folders({"a": 5}, start=40))), CenterSquare(4)
    )
    assert (a.images != b.images).any()


def test_a_damaged_set_is_made_again(write, tmp_path):
    folder = write(class_folders({"a": 5, "b": 5}))
    first = load(open_source(folder), CenterSquare(4))
    copy = first.images.copy()
    (place,) = sets(tmp_path)
    with (place / "images.u8").open("r+b") as file:
        file.truncate(100)
    assert (load(open_source(folder), CenterSquare(4)).images == copy).all()
    (place / "sizes.i64").unlink()
    assert (load(open_source(folder), CenterSquare(4)).images == copy).all()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.EIO, "broken disk")])
def test_an_interrupt_leaves_nothing_half_written(write, tmp_path, monkeypatch, stop):
    calls = []

    def interrupted(raw, side, center):
        calls.append(raw)
        if len(calls) == 6:
            raise stop
        return decode(raw, side, center)

    monkeypatch.setattr(filling, "decode", interrupted)
    with pytest.raises((KeyboardInterrupt, DataError)):
        load(open_source(write(class_folders({"a": 10}))), CenterSquare(4))
    assert sets(tmp_path) == []


def test_a_disk_without_room_halves_the_side_and_says_so(write, monkeypatch, capsys):
    listing = open_source(write(class_folders({"a": 10})))
    room = store_bytes(listing, 4, CenterSquare(4)) + store._MARGIN_BYTES
    monkeypatch.setattr(cache, "free_bytes", lambda: room)
    data = load(listing, CenterSquare(4), progress=Progress())
    assert data.side == 4
    assert "kept at 4 px" in capsys.readouterr().err
    monkeypatch.setattr(cache, "free_bytes", lambda: 0)
    with pytest.raises(DataError, match="NEARFAR_CACHE"):
        load(open_source(write(class_folders({"b": 9}))), CenterSquare(4))


def test_a_disk_that_fills_while_decoding_halves_the_side(write, tmp_path, monkeypatch, capsys):
    put = filling._put

    def full(file, row, pixels):
        if pixels.shape[0] == 8 and row > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(file, row, pixels)

    monkeypatch.setattr(filling, "_put", full)
    data = load(open_source(write(class_folders({"a": 10}))), CenterSquare(4), progress=Progress())
    assert data.side == 4
    assert "no room" in capsys.readouterr().err
    assert len(sets(tmp_path)) == 1


def test_a_cache_that_cannot_be_written_is_named(write, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set NEARFAR_CACHE"):
        load(open_source(write(class_folders({"a": 3}))), CenterSquare(4))


def test_the_cache_is_where_the_platform_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("NEARFAR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache.sys, "platform", "linux")
    assert cache.cache_folder() == tmp_path / "nearfar"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "nearfar"
    monkeypatch.setattr(cache.sys, "platform", "darwin")
    assert cache.cache_folder() == Path.home() / "Library" / "Caches" / "nearfar"
    monkeypatch.setattr(cache.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "nearfar" / "Cache"


def broken_pair(counts: dict[str, int]) -> dict[str, bytes]:
    contents = class_folders(counts)
    first = next(iter(contents))
    return contents | {first: contents[first][:150]}


@pytest.mark.parametrize("packed", [False, True])
def test_one_broken_file_in_a_hundred_is_skipped_by_name_and_shifts_nothing(
    write, tmp_path, packed
):
    whole, broken = class_folders({"a": 40, "b": 60}), broken_pair({"a": 40, "b": 60})
    sources = [pack(tmp_path / "w.tar", whole), pack(tmp_path / "b.tar", broken)]
    if not packed:
        sources = [write(whole, "whole"), write(broken, "broken")]
    a, b = (load(open_source(source), CenterSquare(4)) for source in sources)
    assert [file.path for file in b.skipped] == ["a/000.png"]
    assert "damaged" in b.skipped[0].reason
    assert b.paths == a.paths[1:]
    assert (b.splits == a.splits[1:]).all()
    assert (b.images == a.images[1:]).all()
    assert (b.half == a.half[1:]).all()
    assert (b.evaluated == a.evaluated[1:]).all()
    assert torch.equal(b.labels, a.labels[1:])
    again = load(open_source(sources[1]), CenterSquare(4))
    assert again.skipped == b.skipped
    assert (again.images == b.images).all()


def test_strict_allows_no_broken_file_even_from_the_cache(write):
    folder = write(broken_pair({"a": 40, "b": 60}))
    for _ in range(2):
        with pytest.raises(DataError, match=r"--strict.*got 1 of 100") as caught:
            load(open_source(folder), CenterSquare(4), strict=True)
        assert "a/000.png: damaged image" in str(caught.value)
        load(open_source(folder), CenterSquare(4))


def test_more_than_one_in_a_hundred_is_an_error_that_names_ten(write, tmp_path):
    contents = class_folders({"a": 40, "b": 40}) | {f"a/{i:03d}.png": b"text" for i in range(12)}
    with pytest.raises(DataError) as caught:
        load(open_source(write(contents)), CenterSquare(4))
    message = str(caught.value)
    assert "got 12 of 80" in message
    assert "a/000.png: text, not an image" in message
    assert "a/009.png" in message
    assert "a/010.png" not in message
    assert "2 more" in message
    assert sets(tmp_path) == []


def test_threads_and_one_thread_decode_the_same(write, monkeypatch):
    folder = write(class_folders({"a": 50, "b": 50}))
    one = load(open_source(folder), CenterSquare(4)).images.copy()
    monkeypatch.setattr(reading, "_THREADS_FROM_PX", 0)
    monkeypatch.setattr(reading, "_cores", lambda: 3)
    monkeypatch.setattr(reading, "_AHEAD", 5)
    shutil.rmtree(cache.cache_folder())
    assert (load(open_source(folder), CenterSquare(4)).images == one).all()


def test_a_set_that_another_process_wrote_meanwhile_stays(write, tmp_path):
    load(open_source(write(class_folders({"a": 5}))), CenterSquare(4))
    (place,) = sets(tmp_path)
    before = (place / "images.u8").stat().st_ino
    with cache.written_whole(place) as folder:
        (folder / "set.json").write_text("the same, later")
    assert (place / "images.u8").stat().st_ino == before
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_what_a_killed_process_left_is_swept_after_a_day(write, tmp_path, monkeypatch):
    left = [tmp_path / "cache" / "decoded" / f".old.1234.{end}" for end in ("partial", "tmp")]
    for folder in left:
        folder.mkdir(parents=True)
    load(open_source(write(class_folders({"a": 5}))), CenterSquare(4))
    assert all(folder.exists() for folder in left)
    monkeypatch.setattr(cache, "STALE_SECONDS", -1.0)
    load(open_source(write(class_folders({"a": 6}))), CenterSquare(4))
    assert not any(folder.exists() for folder in left)


def test_a_set_tells_its_rows_in_a_file_that_people_can_read(write, tmp_path):
    load(open_source(write(class_folders({"a": 5}))), CenterSquare(4))
    (place,) = sets(tmp_path)
    assert place.name.startswith("pictures-")
    facts = json.loads((place / "set.json").read_text())
    sums = facts.pop("crc32")
    assert sums["images.u8"] == [zlib.crc32((place / "images.u8").read_bytes())]
    assert sums.keys() == {file.name for file in place.iterdir()} - {"set.json"}
    assert facts == {
        "listed": 5, "rows": 5, "side": 8, "half": 4, "evaluated": 5,
        "center": {
            "size": 4, "crop": 1.0, "interpolation": "bilinear",
            "white": {"integer": 65535, "real": None},
        }, "unreadable": []
    }  # fmt: skip


def test_one_bit_images_are_black_and_white(write):
    out = io.BytesIO()
    Image.fromarray(np.asarray(picture(1, 16, 16).convert("1"))).save(out, "PNG")
    data = load(open_source(write({"a/x.png": out.getvalue()})), CenterSquare(8))
    assert set(np.unique(data.images)) == {0, 255}


@pytest.mark.parametrize("name", ["images.u8", "half.u8", "evaluated.u8", "copies.i64"])
def test_a_set_with_a_byte_that_went_bad_is_made_again(write, tmp_path, name):
    listing = open_source(write(class_folders({"a": 4, "b": 4})))
    whole = load(listing, CenterSquare(4))
    wanted = whole.images.copy()
    (place,) = sets(tmp_path)
    content = bytearray((place / name).read_bytes())
    content[-1] ^= 1
    (place / name).write_bytes(content)
    again = load(listing, CenterSquare(4))
    np.testing.assert_array_equal(again.images, wanted)
    assert cache.read_facts(place) is not None


def test_of_large_files_evenly_spread_blocks_are_verified(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "_BLOCK", 10)
    monkeypatch.setattr(cache, "_VERIFIED_AT_MOST", 4)
    file = tmp_path / "images.u8"
    file.write_bytes(bytes(range(80)))
    sums = {file.name: cache._checksums(file)}
    read = []
    crc32 = zlib.crc32

    def noted(block: bytes) -> int:
        read.append(block[0])
        return crc32(block)

    monkeypatch.setattr(zlib, "crc32", noted)
    assert cache._is_as_written(file, sums)
    assert read == [0, 20, 40, 60]
