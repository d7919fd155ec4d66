"""Streamed images are the stored ones, and their order is known to the last row."""

import numpy as np
import pytest
import torch
from data_pictures import class_folders, pack, photograph, png

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source
from nearfar.data.listing import RandomReader
from nearfar.data.sampler import SHARDS_AT_ONCE, epoch_batches
from nearfar.data.streamed import StreamedImages

CENTER = CenterSquare(8)


def jpeg(number: int, width: int, height: int) -> bytes:
    import io

    out = io.BytesIO()
    photograph(number, width, height).save(out, "JPEG")
    return out.getvalue()


MIXED = {
    **class_folders({"a": 5, "b": 5}),
    "a/large.jpg": jpeg(0, 900, 700),
    "b/wide.jpg": jpeg(1, 300, 40),
    "b/twice.jpg": jpeg(
        2, 200, 200
    ),  # read at half its size or a quarter, as a square or a view asks
    "b/square.png": png(3, 16, 16),
}


@pytest.fixture(params=["folder", "tar", "zip"])
def source(request, write, tmp_path):
    if request.param == "folder":
        return write(MIXED)
    if request.param == "tar":
        return pack(tmp_path / "mixed.tar", MIXED)
    import zipfile

    with zipfile.ZipFile(tmp_path / "mixed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in MIXED.items():
            archive.writestr(path, content)
    return tmp_path / "mixed.zip"


def test_streamed_pixels_are_the_stored_ones(source):
    listing = open_source(source)
    stored, streamed = (load(listing, CENTER, streamed=flag) for flag in (False, True))
    assert isinstance(streamed, StreamedImages)
    assert (streamed.side, streamed.paths) == (stored.side, stored.paths)
    assert (streamed.splits == stored.splits).all()
    order = torch.tensor([3, 0, 12, 7, 13, 11, 1])
    for rows in (order, torch.arange(14)):
        ours, theirs = streamed.rows(rows), stored.rows(rows)
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.half, theirs.half)
        assert torch.equal(ours.size_px, theirs.size_px)
        assert torch.equal(streamed.evaluation_pixels(rows), stored.evaluation_pixels(rows))
    assert streamed.colored
    assert streamed.facts(8) == stored.facts(8)


def test_what_is_read_ahead_is_what_is_asked_for(source):
    listing = open_source(source)
    streamed, stored = (load(listing, CENTER, streamed=flag) for flag in (True, False))
    batches = [(torch.randperm(14)[:4], torch.zeros(4, dtype=torch.int64)) for _ in range(9)]
    shown = []
    for index, draw in streamed.ahead(iter(batches)):
        assert draw.tolist() == [0] * 4
        assert 0 < len(streamed.coming) <= 4
        assert torch.equal(streamed.rows(index).images, stored.rows(index).images)
        shown.append(index.tolist())
    assert shown == [index.tolist() for index, _ in batches]
    assert streamed.coming == {}


def test_an_epoch_that_is_left_early_leaves_nothing_running(source):
    streamed = load(open_source(source), CENTER, streamed=True)
    order = streamed.ahead((torch.tensor([row]), torch.tensor([0])) for row in range(13))
    next(order)
    order.close()
    assert streamed.coming == {}


def test_the_same_batch_twice_in_a_row_is_read_twice(source):
    streamed = load(open_source(source), CENTER, streamed=True)
    same = (torch.tensor([1, 2]), torch.tensor([0, 0]))
    seen = [streamed.rows(index).images for index, _ in streamed.ahead(iter([same, same, same]))]
    assert all(torch.equal(one, seen[0]) for one in seen)


def test_an_image_that_cannot_be_read_is_gray_and_named(write):
    contents = class_folders({"a": 100, "b": 100})
    contents["a/007.png"] = contents["a/007.png"][:60]
    streamed = load(open_source(write(contents)), CENTER, streamed=True)
    images = streamed.rows(torch.tensor([6, 7, 8])).images
    assert (images[1] == 127).all()
    assert not (images[0] == 127).all()
    assert (streamed.evaluation_pixels(torch.tensor([7])) == 127).all()
    (bad,) = streamed.unreadable
    assert bad.path == "a/007.png"
    strict = load(open_source(write(contents)), CENTER, streamed=True, strict=True)
    with pytest.raises(DataError, match=r"a/007\.png: damaged"):
        strict.rows(torch.tensor([7]))
    for number in (9, 10, 11):
        contents[f"a/{number:03d}.png"] = b"no image at all"
    many = load(open_source(write(contents, "more")), CENTER, streamed=True)
    with pytest.raises(DataError, match=r"want images that can be read, got 4 "):
        many.rows(torch.arange(12))


def test_packed_tars_cannot_be_streamed(tmp_path):
    packed = open_source(pack(tmp_path / "mixed.tar.gz", MIXED, "w:gz"))
    with pytest.raises(DataError, match=r"want a \.tar as it is, or a \.zip"):
        load(packed, CENTER, streamed=True)


def test_near_copies_want_decoded_images(source):
    with pytest.raises(DataError, match=r"data\.stream=false"):
        load(open_source(source), CENTER, streamed=True, group_by="near")
    grouped = load(open_source(source), CENTER, streamed=True, group_by=r"00\d")
    assert grouped.groups is not None


def test_every_source_is_read_in_any_order(source):
    reader = open_source(source).reader
    assert isinstance(reader, RandomReader)
    for row, raw in reader.read():
        assert raw == reader.at(row)
    assert isinstance(open_source("digits").reader, RandomReader)
    for row, raw in open_source("digits").reader.read():
        np.testing.assert_array_equal(raw, open_source("digits").reader.at(row))
        if row > 3:
            break


def passes(shards, **changed):
    n = len(shards)
    given = {"batch_size": 10, "seed": 0, "epoch": 0, "shards": shards} | changed
    return [rows for rows, _ in epoch_batches(torch.arange(n), torch.zeros(n).long(), **given)]


def test_an_epoch_goes_through_so_many_shards_at_a_time():
    shards = np.repeat(np.arange(64), 25)
    order = torch.cat(passes(shards))
    assert sorted(order.tolist()) == list(range(1600))
    each = shards[order.numpy()].reshape(4, 400)  # 16 of 64 shards make 400 rows
    assert all(len(set(window)) == SHARDS_AT_ONCE for window in each.tolist())
    assert len(set(each[0][:100].tolist())) > 10  # mixed among them
    other = torch.cat(passes(shards, epoch=1))
    assert not torch.equal(order, other)
    assert set(shards[other[:400].numpy()]) != set(each[0].tolist())
    assert torch.equal(order, torch.cat(passes(shards)))


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 5), (5, 1)])
def test_a_position_is_exact_on_another_number_of_ranks(before, after):
    shards = np.repeat(np.arange(40), 5)

    def by_ranks(ranks, steps):
        each = [passes(shards, rank=rank, world_size=ranks)[steps] for rank in range(ranks)]
        return [torch.cat(parts).tolist() for parts in zip(*each, strict=True)]

    whole = by_ranks(1, slice(None))
    assert by_ranks(before, slice(0, 7)) + by_ranks(after, slice(7, None)) == whole
