"""Archives are gone through once, and again when they changed."""

import json
import os
from pathlib import Path

import pytest
from data_pictures import class_folders, pack

from nearfar.data import open_source, tars
from nearfar.data.cache import cache_folder
from nearfar.data.listing import Listing

EARLIER_NS = 10**9


def settled(path: Path, seconds_ago: int = 60) -> Path:
    """The file as if it had been written so long ago."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds_ago * EARLIER_NS))
    return path


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The archives that were gone through."""
    gone_through: list[Path] = []
    entries = tars._entries

    def noted(archive, path, packed):
        gone_through.append(path)
        return entries(archive, path, packed)

    monkeypatch.setattr(tars, "_entries", noted)
    return gone_through


def told(listing: Listing) -> tuple[object, ...]:
    content = [(row, bytes(raw)) for row, raw in listing.reader.read()]
    facts = (listing.paths, listing.side, listing.longest, listing.ignored, listing.white)
    return (*facts, listing.hidden, listing.labels.tolist(), listing.reader.key(), content)


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:xz"])
def test_the_second_time_an_archive_is_known(tmp_path, passes, kind):
    contents = {**class_folders({"a": 3, "b": 3, ".c": 1}), "LICENSE": b"free"}
    archive = settled(pack(tmp_path / "pictures.tar", contents, kind))
    first = told(open_source(archive))
    assert told(open_source(archive)) == first
    assert len(passes) == 1


def test_a_changed_archive_is_gone_through_again(tmp_path, passes):
    archive = settled(pack(tmp_path / "pictures.tar", class_folders({"a": 3, "b": 3})))
    open_source(archive)
    settled(pack(archive, class_folders({"a": 3, "c": 3})), 30)
    assert open_source(archive).class_names == ("a", "c")
    assert len(passes) == 2


def test_what_may_still_be_written_is_not_remembered(tmp_path, passes):
    archive = pack(tmp_path / "pictures.tar", class_folders({"a": 3, "b": 3}))
    open_source(archive)
    open_source(archive)
    assert len(passes) == 2


def test_a_damaged_index_is_made_again(tmp_path, passes):
    archive = settled(pack(tmp_path / "pictures.tar", class_folders({"a": 3, "b": 3})))
    first = told(open_source(archive))
    (kept,) = (cache_folder() / "indexes").iterdir()
    for damage in ("", "{}", json.dumps({"digest": "0", "pictures": [1], "notes": []})):
        kept.write_text(damage)
        assert told(open_source(archive)) == first
    assert len(passes) == 4


def test_without_a_cache_nothing_is_lost(tmp_path, passes, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "file"))
    archive = settled(pack(tmp_path / "pictures.tar", class_folders({"a": 3, "b": 3})))
    assert len(open_source(archive)) == 6
    assert len(open_source(archive)) == 6
    assert len(passes) == 2
