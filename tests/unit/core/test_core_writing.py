"""What is written stands whole, or not at all; nothing is left beside it."""

import errno
import multiprocessing
from pathlib import Path

import pytest

from nearfar.core.writing import whole, write_bytes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_stands_whole_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("before")
    with whole(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
        assert partial.parent == tmp_path
    assert path.read_text() == "after"
    assert names(tmp_path) == ["results.json"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), ValueError("no"), SystemExit(3)])
@pytest.mark.parametrize("folder", [False, True])
def test_whatever_stops_the_block_leaves_what_was_there(tmp_path, stop, folder):
    path = tmp_path / "results.json"
    path.write_text("before")
    with pytest.raises(type(stop)), whole(path) as partial:
        if folder:
            partial.mkdir()
            (partial / "a").write_text("half")
        else:
            partial.write_text("half")
        raise stop
    assert path.read_text() == "before"
    assert names(tmp_path) == ["results.json"]


def test_a_full_disk_passes_and_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_bytes(path, b"before")
    real = Path.write_bytes

    def full(self, content):
        real(self, content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"after")
    monkeypatch.undo()
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["results.json"]


def test_a_place_that_cannot_take_it_keeps_nothing_beside(tmp_path):
    taken = tmp_path / "taken"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        write_bytes(taken, b"a file")
    with pytest.raises(OSError), whole(taken) as partial:
        partial.mkdir()
    assert names(tmp_path) == ["taken"]
    assert names(taken) == ["inside"]


def test_a_folder_stands_whole_and_one_that_the_block_removed_leaves_all_as_it_is(tmp_path):
    with whole(tmp_path / "set") as partial:
        partial.mkdir()
        (partial / "a").write_text("a")
    assert (tmp_path / "set" / "a").read_text() == "a"
    with whole(tmp_path / "set") as partial:
        partial.mkdir()
        partial.rmdir()
    assert (tmp_path / "set" / "a").read_text() == "a"
    assert names(tmp_path) == ["set"]


def test_two_at_once_share_no_partial_file(tmp_path):
    path = tmp_path / "results.json"
    with whole(path) as one, whole(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the last to end
    assert names(tmp_path) == ["results.json"]


def test_two_processes_that_write_the_same_file_leave_one_of_both_whole(tmp_path):
    path = tmp_path / "results.json"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_often, args=(path, letter)) for letter in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert path.read_bytes() in (b"a" * 10_000, b"b" * 10_000)
    assert names(tmp_path) == ["results.json"]


def write_often(path: Path, letter: str) -> None:
    for _ in range(100):
        write_bytes(path, letter.encode() * 10_000)
        content = path.read_bytes()
        assert len(content) == 10_000
        assert len(set(content)) == 1
