import pytest
from data_pictures import class_folders

from nearfar.core.errors import DataError
from nearfar.data import check, open_source


def linked(root, path, target):
    (root / path).symlink_to(target, target_is_directory=True)
    return root


def test_a_real_folder_wins_over_a_link_to_it_and_the_link_is_named(write):
    root = linked(write(class_folders({"daisy": 12, "rose": 12})), "daisy/like_these", "../rose")
    listing = open_source(root)
    assert [path for path in listing.paths if "like_these" in path] == []
    assert listing.facts(8).class_names == ("daisy", "rose")
    (found,) = [finding for finding in check(listing) if finding.code == "reached_twice"]
    assert found.severity == "warning"
    assert found.text.endswith("\n  daisy/like_these is a link to rose/")


def test_a_loop_is_broken_and_named(write):
    root = linked(write(class_folders({"a": 3, "b": 3})), "a/loop", "..")
    listing = open_source(root)
    assert len(listing) == 6
    assert listing.linked == ("a/loop is a link to the whole folder",)


def test_of_two_links_to_a_folder_outside_the_first_is_read(write):
    write(class_folders({"c": 4}, start=50), "outside")
    root = write(class_folders({"a": 3}))
    for name in ("d", "c"):
        linked(root, name, "../outside/c")
    listing = open_source(root)
    assert listing.class_names == ("a", "c")
    assert listing.linked == ("d is a link to c/",)


@pytest.mark.parametrize(("link", "target"), [("val", "test"), ("test", "train"), ("dev", "train")])
@pytest.mark.parametrize("wrapper", ["", "top/"])
def test_two_splits_that_are_one_folder_are_an_error_that_says_so(write, link, target, wrapper):
    contents = class_folders(
        {"train/a": 5, "train/b": 5} | ({"test/a": 2} if link == "val" else {})
    )
    root = write({wrapper + path: content for path, content in contents.items()})
    linked(root, wrapper + link, target)
    said = f"got {wrapper}{link}, a link to {wrapper}{target}; take the link away"
    with pytest.raises(DataError, match=said):
        open_source(root)


def test_two_splits_that_are_one_folder_elsewhere_are_an_error(write):
    write(class_folders({"c/a": 4}, start=50), "outside")
    root = write(class_folders({"train/a": 3}))
    for name in ("test", "val"):
        linked(root, name, "../outside/c")
    with pytest.raises(DataError, match="got val, a link to test"):
        open_source(root)
