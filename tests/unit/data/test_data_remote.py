"""Shards of a server on this machine: fetched ahead, again after faults, kept within bounds."""

import os
import threading
from pathlib import Path

import pytest
import torch
from data_pictures import png
from shard_files import served, shard

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source, remote
from nearfar.data.cache import cache_folder
from nearfar.data.sharded import files_named

pytest.importorskip("aiohttp")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(remote, "SILENCE_SECONDS", 0.3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        shard(tmp_path / "set" / f"train-{number:02d}.tar", 10 * number, 10)
    return tmp_path / "set"


def copies() -> list[Path]:
    return sorted((cache_folder() / "fetched").iterdir())


def test_shards_at_an_address_are_those_of_the_folder(folder):
    here = open_source(folder)
    with served(folder) as server:
        there = open_source(f"{server.address}/train-{{00..03}}.tar")
        assert there.paths == here.paths
        assert (there.labels == here.labels).all()
        assert (there.splits == here.splits).all()
        assert sorted(server.asked) == [f"train-{number:02d}.tar" for number in range(4)]
        center = CenterSquare(8)
        stored, streamed = load(here, center), load(there, center, streamed=True)
        rows = torch.randperm(40)
        assert torch.equal(streamed.rows(rows).images, stored.rows(rows).images)
        assert len(server.asked) == 4  # copies are read, nothing is fetched twice
    assert len(copies()) == 4


@pytest.mark.parametrize("fault", [500, 503, "half", "stall"])
def test_what_fails_is_tried_again(folder, fault):
    with served(folder, {"train-02.tar": [fault, fault]}) as server:
        listing = open_source(f"{server.address}/train-{{00..03}}.tar")
        assert server.asked.count("train-02.tar") == 3
        assert listing.reader.at(25) == png(25)


@pytest.mark.parametrize("fault", [500, "half", "stall"])
def test_in_the_end_the_shard_is_named(folder, fault):
    named = pytest.raises(DataError, match=r"http.*/train-02\.tar: cannot be fetched, tried 3")
    with served(folder, {"train-02.tar": [fault] * 9}) as server, named:
        open_source(f"{server.address}/train-{{00..03}}.tar")
    assert [copy for copy in copies() if copy.name.endswith("train-02.tar")] == []


def test_a_shard_that_is_not_there_is_not_asked_for_again(folder):
    with served(folder) as server, pytest.raises(DataError, match=r"train-04\.tar: no such file"):
        open_source(f"{server.address}/train-{{04..05}}.tar")


def test_copies_make_room_for_others(folder, monkeypatch):
    size = (folder / "train-00.tar").stat().st_size
    monkeypatch.setenv("NEARFAR_FETCHED_GB", str(2.5 * size / 1e9))
    with served(folder) as server:
        reader = open_source(f"{server.address}/train-{{00..03}}.tar").reader
        for row in (0, 10, 20, 30, 0, 15, 25, 39):
            assert reader.at(row) == png(row)
            assert sum(copy.stat().st_size for copy in copies()) <= 2.5 * size
        assert len(server.asked) > 8


def test_what_was_used_last_stays(folder, monkeypatch):
    size = (folder / "train-00.tar").stat().st_size
    with served(folder) as server:
        reader = open_source(f"{server.address}/train-{{00..02}}.tar").reader
        for age, copy in enumerate(copies()):
            os.utime(copy, (1000 + age, 1000 + age))
        reader.at(0)  # of the copy that was used before all others
        first = {copy.name for copy in copies()}
        monkeypatch.setenv("NEARFAR_FETCHED_GB", str(2.5 * size / 1e9))
        other = open_source(f"{server.address}/train-{{03..03}}.tar").reader
        assert other.at(0) == png(30)
        kept = {copy.name for copy in copies()}
    assert {name for name in kept if name.endswith("train-00.tar")}
    assert len(kept & first) == 1


def test_the_next_shards_are_fetched_before_they_are_read(folder, monkeypatch):
    monkeypatch.setattr("nearfar.data.streamed.SHARDS_AT_ONCE", 1)
    monkeypatch.setattr("nearfar.data.streamed._BATCHES_AHEAD", 0)
    with served(folder) as server:
        listing = open_source(f"{server.address}/train-{{00..03}}.tar")
        for copy in copies():
            copy.unlink()
        listing = open_source(f"{server.address}/train-{{00..03}}.tar")
        server.asked.clear()
        data = load(listing, CenterSquare(8), streamed=True)
        nothing = torch.zeros(5, dtype=torch.int64)
        order = ((torch.arange(start, start + 5), nothing) for start in range(0, 40, 5))
        expected: list[int] = []
        monkeypatch.setattr(type(data.reader), "expect", lambda _, shard: expected.append(shard))
        for step, (index, _) in enumerate(data.ahead(order)):
            data.rows(index)
            assert max(expected) >= min(3, step // 2 + 1)
    assert expected == [0, 1, 2, 3]


def test_an_address_of_no_known_kind_is_refused():
    with pytest.raises(DataError, match="want an address that fsspec knows"):
        open_source("nowhere://host/train-00.tar")


def test_an_address_of_something_else_is_refused():
    with pytest.raises(DataError, match=r"want \.tar shards .*photos\.rar"):
        open_source("http://127.0.0.1:9/photos.rar")


def test_a_shard_that_changed_is_fetched_anew(folder):
    with served(folder) as server:
        address = f"{server.address}/train-{{00..00}}.tar"
        assert open_source(address).reader.at(0) == png(0)
        size = (folder / "train-00.tar").stat().st_size
        content = (folder / "train-00.tar").read_bytes().replace(png(0), png(40))
        assert len(content) == size  # so that only what the server says of it tells
        (folder / "train-00.tar").write_bytes(content)
        assert open_source(address).reader.at(0) == png(40)


def test_an_interrupt_waits_for_no_shard_that_is_being_fetched(folder):
    with served(folder, {"train-01.tar": ["stall"] * 9}) as server:
        files = files_named(f"{server.address}/train-{{00..01}}.tar")
        before = set(threading.enumerate())
        files.expect(1)
        fetching = [thread for thread in threading.enumerate() if thread not in before]
        assert fetching
        assert all(thread.daemon for thread in fetching)
