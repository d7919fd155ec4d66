"""Parquet files with images inside, in the layout that Hugging Face publishes data sets in."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_pictures import png

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source

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
