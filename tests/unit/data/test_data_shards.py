"""Parquet files with images inside, in the layout that Hugging Face publishes data sets in."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from data_pictures import png
from shard_files import served

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source, shards

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def shard(path: Path, numbers, label=lambda number: number % 2, names=("cat", "dog"), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {
        "image": [{"bytes": png(number), "path": f"{number}.png"} for number in numbers],
        "label": [label(number) for number in numbers],
        **more,
    }
    table = pa.table(rows)
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    if names:
        metadata = json.dumps({"info": {"features": features}}).encode()
        table = table.replace_schema_metadata({b"huggingface": metadata})
    parquet.write_table(table, path, row_group_size=7)
    return path


def test_a_published_set_is_its_folder(tmp_path):
    for part in range(2):
        shard(
            tmp_path / f"data/train-0000{part}-of-00002.parquet", range(20 * part, 20 * part + 20)
        )
    shard(tmp_path / "data/validation-00000-of-00001.parquet", range(100, 106))
    shard(tmp_path / "data/test-00000-of-00001.parquet", range(200, 206), label=lambda _: -1)
    (tmp_path / "README.md").write_text("a data set")
    listing = open_source(tmp_path)
    assert listing.class_names == ("cat", "dog")
    assert Counter(listing.splits.tolist()) == {"train": 32, "test": 8, "val": 6, "predict": 6}
    assert listing.ignored == ("README.md",)
    data = load(listing, CenterSquare(8), strict=True)
    row = listing.paths.index("data/train-00001-of-00002.parquet/0000003")
    assert listing.labels[row] == 1
    alone = open_source(shard(tmp_path / "one.parquet", [23]))
    np.testing.assert_array_equal(data.images[row], load(alone, CenterSquare(8)).images[0])


def test_one_file_is_cut_and_its_columns_may_be_named(tmp_path):
    path = shard(tmp_path / "birds.parquet", range(40), kind=["a", "b", "b", "c"] * 10)
    listing = open_source(path)
    assert (listing.name, listing.class_names) == ("birds", ("cat", "dog"))
    assert Counter(listing.splits.tolist()) == {"train": 25, "test": 8, "val": 7}
    named = open_source(f"{path}@image,kind")
    assert named.class_names == ("a", "b", "c")
    with pytest.raises(DataError, match="want a column colour, got image, label, kind"):
        open_source(f"{path}@image,colour")


def test_plain_bytes_and_nulls(tmp_path):
    path = tmp_path / "x.parquet"
    images = [png(number) if number != 5 else None for number in range(120)]
    labels = ["ant" if number % 2 else "bee" for number in range(119)] + [None]
    splits = ["train"] * 80 + ["test"] * 40
    parquet.write_table(pa.table({"picture": images, "label": labels, "split": splits}), path)
    listing = open_source(path)
    assert listing.class_names == ("ant", "bee")
    assert Counter(listing.splits.tolist()) == {"train": 64, "val": 16, "test": 39, "predict": 1}
    data = load(listing, CenterSquare(8))
    assert [bad.reason for bad in data.skipped] == ["no image in this row"]


def test_paths_in_a_parquet_are_a_table(tmp_path):
    for number in range(20):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    rows = {"file": [f"{n}.png" for n in range(20)], "class": [n % 2 for n in range(20)]}
    parquet.write_table(pa.table(rows), tmp_path / "t.parquet")
    listing = open_source(tmp_path / "t.parquet")
    assert listing.class_names == ("0", "1")
    assert len(load(listing, CenterSquare(8), strict=True)) == 20


def test_a_changed_file_has_another_key(tmp_path):
    path = shard(tmp_path / "x.parquet", range(10))
    before = open_source(path).reader.key()
    assert open_source(path).reader.key() == before
    shard(path, range(11))
    assert open_source(path).reader.key() != before


def test_damage_and_wrong_labels_are_named(tmp_path):
    path = shard(tmp_path / "x.parquet", range(20))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no parquet"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cut short or damaged"):
            open_source(path)
    shard(path, range(20), label=lambda number: number)
    with pytest.raises(DataError, match="want a label of the 2 classes, got 2"):
        open_source(path)
    shard(path, range(20), label=lambda number: number / 3, names=())
    with pytest.raises(DataError, match="got the number"):
        open_source(path)
    shard(tmp_path / "d/train.parquet", range(6), label=lambda _: 0)
    shard(tmp_path / "d/test.parquet", range(6, 9), label=lambda _: 1)
    with pytest.raises(DataError, match="only in others: dog"):
        open_source(tmp_path / "d")


def test_rows_are_read_in_any_order_by_their_groups(tmp_path):
    numbers = [*range(20), *range(50, 73)]
    shard(tmp_path / "train-00000.parquet", numbers[:20])
    shard(tmp_path / "train-00001.parquet", numbers[20:])
    listing = open_source(tmp_path)
    reader = listing.reader
    groups = reader.shards()
    counts = [7, 7, 6, 7, 7, 7, 2]  # row groups of 7
    assert groups.tolist() == np.repeat(range(7), counts).tolist()
    for row in np.random.default_rng(0).permutation(43).tolist():
        assert reader.at(row) == png(numbers[row])
    stored, streamed = (load(listing, CenterSquare(8), streamed=flag) for flag in (False, True))
    rows = torch.randperm(43)
    assert torch.equal(streamed.rows(rows).images, stored.rows(rows).images)


def test_of_the_row_groups_the_last_ones_are_held(tmp_path, monkeypatch):
    listing = open_source(shard(tmp_path / "birds.parquet", range(40)))
    monkeypatch.setattr(shards, "_GROUPS_HELD", 2)
    read = []
    cells = shards._RowGroups._cells

    def noted(groups, group):
        read.append(group)
        return cells(groups, group)

    monkeypatch.setattr(shards._RowGroups, "_cells", noted)
    for row in (0, 1, 8, 2, 15, 0, 9):  # groups 0 0 1 0 2 0 1
        listing.reader.at(row)
    assert read == [0, 1, 2, 1]


def test_parquet_files_at_an_address_are_those_of_the_folder(tmp_path):
    pytest.importorskip("aiohttp")
    folder = tmp_path / "data"
    for part in range(2):
        shard(folder / f"train-0000{part}-of-00002.parquet", range(20 * part, 20 * part + 20))
    here = open_source(folder)
    with served(folder) as server:
        there = open_source(f"{server.address}/train-{{00000..00001}}-of-00002.parquet")
        assert there.class_names == ("cat", "dog")
        assert (there.labels == here.labels).all()
        assert dict(there.reader.read()) == dict(here.reader.read())
        assert there.reader.at(33) == png(33)
        assert len(server.asked) == 2


def test_a_column_of_groups_is_kept_on_one_side(tmp_path):
    plants = [f"plant {number // 5}" for number in range(100)]
    path = shard(
        tmp_path / "d.parquet", range(100), label=lambda number: number // 5 % 2, plant=plants
    )
    listing = open_source(f"{path}@image,label,group=plant")
    of = {}
    for plant, split in zip(plants, listing.splits.tolist(), strict=True):
        of.setdefault(plant, set()).add(split)
    assert {len(splits) for splits in of.values()} == {1}
    assert {"train", "val", "test"} == set(listing.splits.tolist())
