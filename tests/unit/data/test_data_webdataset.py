"""Tar shards in WebDataset's layout are one set of rows, and are gone through once."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_pictures import png
from shard_files import add, shard

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source, webdataset
from nearfar.data.sharded import expanded, split_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of train and one of test."""
    for number in range(3):
        shard(tmp_path / "set" / f"train-{number:04d}.tar", 10 * number, 10)
    shard(tmp_path / "set" / "test-0000.tar", 30, 6)
    return tmp_path / "set"


def test_a_folder_of_shards_is_one_set(folder):
    listing = open_source(folder)
    assert (len(listing), listing.name, listing.class_names) == (36, "set", ("0", "1", "2"))
    assert listing.given_splits == ("train", "test")
    assert (listing.side, listing.longest) == (10, 12)
    by_path = dict(zip(listing.paths, listing.labels.tolist(), strict=True))
    assert by_path["train-0002.tar/00025.png"] == 25 % 3
    tested = [
        path for path, split in zip(listing.paths, listing.splits, strict=True) if split == "test"
    ]
    assert tested == [f"test-0000.tar/{number:05d}.png" for number in range(30, 36)]
    numbers = [int(path[-9:-4]) for path in listing.paths]
    for row, raw in listing.reader.read():
        assert raw == png(numbers[row])
        assert raw == listing.reader.at(row)


def test_shards_are_named_by_a_pattern(folder):
    for pattern in ("train-{0000..0002}.tar", "train-*.tar"):
        listing = open_source(folder / pattern)
        assert (len(listing), listing.given_splits) == (30, ("train",))
    assert len(open_source(folder / "t*-{0000..0000}.tar")) == 16
    with pytest.raises(DataError, match=r"want files of shards, got 2 .*train-0003\.tar"):
        open_source(folder / "train-{0000..0004}.tar")
    with pytest.raises(DataError, match="want files of shards, got none"):
        open_source(folder / "none-*.tar")


def test_streamed_and_stored_they_are_equal(folder):
    listing = open_source(folder)
    stored, streamed = (load(listing, CenterSquare(8), streamed=flag) for flag in (False, True))
    rows = stored.split("train")
    assert (streamed.rows(rows).images == stored.rows(rows).images).all()
    assert (streamed.shards()[:6] == streamed.shards()[0]).all()
    assert len(set(streamed.shards().tolist())) == 4


def test_the_second_time_no_shard_is_gone_through(folder, monkeypatch):
    first = open_source(folder)

    def no(*_: object) -> None:
        raise AssertionError("gone through again")

    monkeypatch.setattr(webdataset, "_samples", no)
    again = open_source(folder)
    assert again.paths == first.paths
    assert (again.labels == first.labels).all()
    assert again.reader.key() == first.reader.key()
    shard(folder / "train-0001.tar", 100, 9)
    with pytest.raises(AssertionError, match="gone through again"):
        open_source(folder)


def test_labels_stand_in_cls_or_json_as_numbers_or_names(tmp_path):
    with tarfile.open(tmp_path / "train-0.tar", "w") as archive:
        told = [("a.cls", b"cat\n"), ("b.json", json.dumps({"label": "dog"}).encode())]
        told += [("c.json", b'["label"]'), ("d.json", b"not json"), ("e.cls", b"dog")]
        told += [(f"{name}.cls", b"cat") for name in "fgh"]
        for number, (name, content) in enumerate(told):
            add(archive, name, content)
            add(archive, f"{name[0]}.jpg.png", png(number))
            add(archive, f"{name[0]}.mask.png", png(100 + number))
    listing = open_source(tmp_path)
    assert listing.class_names == ("cat", "dog")
    assert listing.labels.tolist() == [0, 1, -1, -1, 1, 0, 0, 0]
    assert [listing.splits[row] for row in (2, 3)] == ["unlabeled"] * 2


def test_a_shard_that_is_cut_in_half_is_named(folder):
    path = folder / "train-0001.tar"
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"train-0001\.tar: want a whole tar archive"):
        open_source(folder)


def test_a_folder_of_other_archives_is_no_set_of_shards(tmp_path):
    (tmp_path / "one").mkdir()
    with tarfile.open(tmp_path / "one" / "photos.tar", "w") as archive:
        for number in range(4):
            add(archive, f"class{number % 2}/{number}.png", png(number))
    with pytest.raises(DataError, match=r"give the archive itself"):
        open_source(tmp_path / "one")


def test_numbers_are_classes_in_their_order(tmp_path):
    shard(tmp_path / "train-0.tar", 0, 36, classes=12)
    assert open_source(tmp_path).class_names == tuple(map(str, range(12)))


def test_braces_stand_for_numbers():
    assert expanded("a{08..11}.tar") == ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]
    assert expanded("{0..1}/b-{3..4}") == ["0/b-3", "0/b-4", "1/b-3", "1/b-4"]
    assert expanded("plain.tar") == ["plain.tar"]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("/home/train/cars/0001.tar", None),
        ("/data/cars/train/0001.tar", "train"),
        ("https://host/train/imagenet-validation-000.tar", "train"),
        ("https://host/set/validation-000.tar", "val"),
        ("test_12.tar", "test"),
    ],
)
def test_the_split_is_in_the_name_or_its_folder(path, split):
    assert split_of(path) == split


def test_rows_are_kept_as_numbers(folder):
    reader = open_source(folder).reader
    assert reader.shards().dtype == np.int64


def test_shards_of_one_name_in_two_folders_stay_apart(tmp_path):
    shard(tmp_path / "cars" / "train" / "0.tar", 0, 9)
    shard(tmp_path / "cars" / "test" / "0.tar", 0, 3)
    listing = open_source(tmp_path / "cars")
    assert len(set(listing.paths)) == 12
    assert listing.paths[0] == "test/0.tar/00000.png"
    assert listing.given_splits == ("train", "test")
