"""What is noted of images that pass by: the splits of training, around the same copies."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_pictures import png

from nearfar.data.center import CenterSquare
from nearfar.data.decoding import evaluation_pixels
from nearfar.data.listing import Broken
from nearfar.data.passing import Passing
from nearfar.data.sources import open_source
from nearfar.data.store import load

CENTER = CenterSquare(6)


def passed(folder: Path) -> tuple[Passing, np.ndarray]:
    """All of a folder, last first; and its splits before."""
    listing = open_source(folder)
    passing = Passing(listing, CENTER)
    for row, raw in reversed(list(listing.reader.read())):
        passing.look(row, raw)
    return passing, listing.splits


def test_splits_are_cut_around_copies_as_the_store_s_are(write: Callable[..., Path]) -> None:
    contents = {
        f"{name}/{i:02d}.png": png(i + 50 * (name == "b")) for name in "ab" for i in range(30)
    }
    for i in range(0, 30, 3):  # every third picture twice, under another name
        contents[f"a/z{i:02d}.png"] = contents[f"a/{i:02d}.png"]
    folder = write(contents)
    passing, before = passed(folder)
    stored = load(open_source(folder), CENTER)
    assert passing.splits().tolist() == stored.splits.tolist()
    assert (passing.splits() != before).any()


def test_a_file_that_cannot_be_read_belongs_to_no_group(write: Callable[..., Path]) -> None:
    contents = {
        f"{name}/{i:02d}.png": png(i + 50 * (name == "b")) for name in "ab" for i in range(30)
    }
    folder = write(contents | {"a/07.png": b"torn"})
    passing, _ = passed(folder)
    stored = load(open_source(folder), CENTER)
    assert np.delete(passing.splits(), 7).tolist() == stored.splits.tolist()
    assert isinstance(passing.look(7, folder / "a/07.png"), Broken)


@pytest.mark.parametrize("flat", [True, False])
def test_views_are_the_same_and_nothing_is_noted_where_nothing_is_cut(
    write: Callable[..., Path], flat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write({f"{'' if flat else 'ab'[i % 2] + '/'}{i:02d}.png": png(i) for i in range(20)})
    listing = open_source(folder)
    if flat:
        monkeypatch.setattr("nearfar.data.passing.decode", None)
    passing = Passing(listing, CENTER)
    for row, raw in listing.reader.read():
        assert (passing.look(row, raw) == evaluation_pixels(raw, CENTER)).all()
    if flat:
        assert passing.splits() is listing.splits


@pytest.mark.parametrize("size", [12, 6, 20])
def test_the_view_is_that_of_evaluation_whether_or_not_a_store_would_keep_it(
    write: Callable[..., Path], size: int
) -> None:
    """Of square pictures no larger than the view a store keeps the picture alone."""
    folder = write(
        {f"{name}/{i}.png": png(10 * i + (name == "b"), 12, 12) for i in range(9) for name in "ab"}
    )
    listing, center = open_source(folder), CenterSquare(size)
    passing = Passing(listing, center)
    for row, raw in listing.reader.read():
        np.testing.assert_array_equal(passing.look(row, raw), evaluation_pixels(raw, center))
