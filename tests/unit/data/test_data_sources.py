import io
import os
import tarfile
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from data_pictures import class_folders, pack, picture, png
from PIL import Image

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source


def counts(listing) -> dict[str, int]:
    return dict(Counter(listing.splits.tolist()))


def refusal(data) -> str:
    with pytest.raises(DataError) as caught:
        open_source(data)
    return str(caught.value)


def test_digits_are_cut_60_20_20_and_stratified():
    listing = open_source("digits")
    assert counts(listing) == {"train": 1077, "val": 360, "test": 360}
    assert (listing.name, listing.side, listing.default_policy) == ("digits", 8, "digits")
    for split in ("train", "val", "test"):
        share = np.bincount(listing.labels[listing.splits == split]) / np.bincount(listing.labels)
        assert np.ptp(share) < 0.02


def test_class_folders_get_fixed_stratified_splits(write):
    listing = open_source(write(class_folders({"cat": 25, "dog": 50})))
    assert listing.class_names == ("cat", "dog")
    assert counts(listing) == {"test": 15, "val": 12, "train": 48}
    assert (listing.labels[listing.splits == "test"] == 1).sum() == 10
    assert listing.given_splits == ()


def test_an_archive_a_wrapped_archive_and_their_folder_are_the_same_listing(write, tmp_path):
    contents = class_folders({"cat": 10, "dog": 7})
    folder = open_source(write(contents))
    backwards = dict(reversed(contents.items()))
    for mode, suffix in (("w", "tar"), ("w:gz", "tar.gz"), ("w:xz", "tar.xz")):
        plain = open_source(pack(tmp_path / f"plain.{suffix}", backwards, mode))
        assert plain.paths == folder.paths
        assert (plain.splits == folder.splits).all()
        assert (plain.labels == folder.labels).all()
        wrapped = {f"./top/{path}": content for path, content in contents.items()}
        inside = open_source(pack(tmp_path / f"wrapped.{suffix}", wrapped, mode))
        assert inside.class_names == ("cat", "dog")
        assert (inside.splits == folder.splits).all()
        a, b = load(folder, CenterSquare(8)), load(plain, CenterSquare(8))
        assert (a.images == b.images).all()


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_given_splits_are_kept_whatever_validation_is_called(write, val):
    contents = class_folders(
        {"train/a": 6, "train/b": 6, f"{val}/a": 2, "test/a": 1, "test/b": 1, "unlabeled/x": 3}
    )
    listing = open_source(write(contents))
    assert counts(listing) == {"train": 12, "val": 2, "test": 2, "unlabeled": 3}
    assert listing.given_splits == ("train", "val", "test", "unlabeled")
    assert (listing.labels[listing.splits == "unlabeled"] == -1).all()


def test_only_validation_is_cut_where_test_is_given(write):
    listing = open_source(
        write(class_folders({"train/a": 10, "train/b": 10, "test/a": 3, "test/b": 3}))
    )
    assert counts(listing) == {"train": 16, "val": 4, "test": 6}


def test_a_flat_folder_is_unlabeled_also_when_wrapped_in_an_archive_of_its_name(write, tmp_path):
    flat = {f"{i}.png": png(i) for i in range(5)}
    for data in (
        write(flat),
        pack(tmp_path / "holiday.tar", {f"holiday/{k}": v for k, v in flat.items()}),
    ):
        listing = open_source(data)
        assert counts(listing) == {"unlabeled": 5}
        assert listing.class_names == ()


def test_a_folder_with_one_class_is_a_listing_with_one_class(write):
    listing = open_source(write(class_folders({"cat": 5})))
    assert listing.facts(8).class_names == ("cat",)


@pytest.mark.parametrize("name", ["test", "Test", "val"])
def test_images_flat_in_a_held_out_folder_are_left_to_predict_and_embed(write, name):
    flat = {f"{name}/{i}.png": png(500 + i) for i in range(12)}
    listing = open_source(write(class_folders({"train/a": 20, "train/b": 20}) | flat))
    assert counts(listing) == {"train": 25, "test": 8, "val": 7, "predict": 12}
    assert (listing.labels[listing.splits == "predict"] == -1).all()
    assert (listing.given_splits, listing.strays) == (("train", "predict"), ())
    facts = listing.facts(8)
    assert (facts.n_predict, facts.n_unlabeled, facts.n_test) == (12, 0, 8)


def test_of_a_flat_train_and_a_flat_test_only_train_is_trained_on(write):
    flat = {f"train_images/{i}.png": png(i) for i in range(6)}
    listing = open_source(write(flat | {"test_images/0.png": png(9), "train.csv": b"a,b"}))
    assert counts(listing) == {"unlabeled": 6, "predict": 1}


def test_a_flat_image_beside_the_class_folders_of_test_is_a_stray(write):
    contents = class_folders({"train/a": 5, "train/b": 5, "test/a": 2}) | {"test/x.png": png(99)}
    assert [stray.path for stray in open_source(write(contents)).strays] == ["test/x.png"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_name_composed_and_taken_apart_is_one_class(write, tmp_path, packed):
    contents = class_folders({"tulip": 10}) | {
        f"{unicodedata.normalize(('NFC', 'NFD')[i % 2], 'Rosé')}/{i}.png": png(100 + i)
        for i in range(10)
    }
    listing = open_source(pack(tmp_path / "x.tar", contents) if packed else write(contents))
    assert listing.class_names == ("Rosé", "tulip")
    assert np.bincount(listing.labels).tolist() == [10, 10]
    assert len(load(listing, CenterSquare(8), strict=True)) == 20


@pytest.mark.parametrize("wrapper", ["chest/", "chest/chest/", "a/b/chest/chest/"])
def test_any_number_of_single_wrappers_is_taken_off(write, tmp_path, wrapper):
    contents = class_folders({"train/a": 5, "train/b": 5, "test/a": 2, "test/b": 2})
    wrapped = {wrapper + path: content for path, content in contents.items()}
    for data in (write(wrapped | {"README": b"x"}), pack(tmp_path / "chest.tar", wrapped)):
        listing = open_source(data)
        assert counts(listing) == {"train": 8, "val": 2, "test": 4}
        assert listing.class_names == ("a", "b")


def test_unlabeled_images_may_lie_in_subfolders_beside_class_folders(write):
    contents = class_folders({"cat": 5, "dog": 5, "unlabeled/more/deep": 4}) | {
        "unlabelled/x.png": png(99)
    }
    facts = open_source(write(contents)).facts(8)
    assert facts.n_unlabeled == 5
    assert facts.class_names == ("cat", "dog")
    assert facts.class_counts == (3, 3)


def test_hidden_files_and_litter_are_ignored(write):
    litter = {
        "__MACOSX/cat/._0.png": b"x",
        "cat/.DS_Store": b"x",
        "cat/Thumbs.db": b"x",
        ".git/config": b"x",
    }
    listing = open_source(write(class_folders({"cat": 5, "dog": 5}) | litter))
    assert len(listing) == 10
    assert listing.ignored == listing.strays == ()


def test_a_license_beside_the_classes_is_ignored_and_an_image_there_is_a_stray(write):
    beside = {"LICENSE.txt": b"free", "cover.png": png(77)}
    listing = open_source(write(class_folders({"cat": 5, "dog": 5}) | beside))
    assert listing.ignored == ("LICENSE.txt",)
    assert [stray.path for stray in listing.strays] == ["cover.png"]


def test_a_class_only_in_test_is_an_error_that_names_it(write):
    folder = write(class_folders({"train/rose": 5, "train/tulip": 5, "test/roses": 2}))
    message = refusal(folder)
    assert "roses/" in message
    assert 'did you mean "rose"' in message


def test_class_folders_beside_test_are_refused(write):
    assert "train/" in refusal(write(class_folders({"cat": 5, "dog": 5, "test/cat": 2})))


def test_a_missing_path_suggests_its_nearest_neighbors(tmp_path):
    pack(tmp_path / "flowers5.tar", class_folders({"a": 3}))
    assert "flowers5.tar" in refusal(tmp_path / "flower5.tar")
    assert str(tmp_path) in refusal(tmp_path / "no" / "such" / "thing")
    assert "empty path" in refusal("")


def test_empty_unsupported_and_pictureless_sources_say_so(write, tmp_path):
    assert "empty source" in refusal(write({}, "empty"))
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    assert ".tar.xz" in refusal(tmp_path / "table.xlsx")
    message = refusal(write({"a/x.png": b"hello", "a/y.png": b"", "b/z.txt": b"text"}, "words"))
    assert "a/x.png: text, not an image" in message
    assert "a/y.png: empty file" in message
    assert "none looks like one" in refusal(write({"README.md": b"x"}, "readme"))


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:\\evil.png", "a\\..\\evil.png"]
)
def test_members_that_leave_the_folder_are_refused_by_name(tmp_path, name):
    path = pack(tmp_path / "evil.tar", class_folders({"a": 3}) | {name: png(50)})
    assert "evil.png" in refusal(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_in_archives_are_refused_by_name(tmp_path, kind):
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a/picture.png")
        info.type, info.linkname = kind, "a/other.png"
        archive.addfile(info)
    message = refusal(path)
    assert '"a/picture.png"' in message
    assert ("a link to" in message) == (kind in (tarfile.SYMTYPE, tarfile.LNKTYPE))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_archive_cut_anywhere_is_an_error(tmp_path, mode):
    path = pack(
        tmp_path / ("cut.tar" + mode[1:].replace(":", ".")), class_folders({"a": 4, "b": 4}), mode
    )
    whole = path.read_bytes()
    member = 512 + 512 * (-(-len(png(0)) // 512))
    assert len(open_source(path)) == 8
    for size in {
        0,
        100,
        512,
        member,
        member + 200,
        2 * member,
        len(whole) // 2,
        len(whole) * 4 // 5,
    }:
        if mode != "w" or size < 8 * member + 512:
            path.write_bytes(whole[:size])
            assert "cut short" in refusal(path) or "empty" in refusal(path)


def test_an_archive_with_garbage_between_members_is_an_error(tmp_path):
    path = pack(tmp_path / "bad.tar", class_folders({"a": 4}))
    content = bytearray(path.read_bytes())
    member = 512 + 512 * (-(-len(png(0)) // 512))
    content[member : member + 512] = b"\x55" * 512
    path.write_bytes(content)
    assert "cut short or damaged" in refusal(path)


def test_backslashes_separate_folders_in_archives_and_in_names_of_files(write, tmp_path):
    contents = class_folders({"daisy": 6, "rose": 6})
    windows = {path.replace("/", "\\"): content for path, content in contents.items()}
    packed = open_source(pack(tmp_path / "x.tar", windows | {"__MACOSX\\x.png": png(0)}))
    assert packed.paths == tuple(contents)
    for listing in (packed, open_source(write(windows))):
        assert listing.class_names == ("daisy", "rose")
        assert len(load(listing, CenterSquare(8), strict=True)) == 12
    assert "a path with .." in refusal(pack(tmp_path / "e.tar", {"a\\..\\..\\x.png": png(1)}))


@pytest.mark.parametrize(
    "name", ["photos.tar", "photos.tar.xz", "photos.tgz", "photos", "photos.x"]
)
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_archive_is_what_its_first_bytes_say(tmp_path, name, mode):
    listing = open_source(pack(tmp_path / name, class_folders({"a": 3, "b": 3}), mode))
    assert listing.name == "photos"
    assert len(load(listing, CenterSquare(8), strict=True)) == 6


@pytest.mark.parametrize("name", ["photos.tar", "photos.zip", "photos.tar.gz", "photos"])
def test_an_archive_that_is_not_read_is_named_whatever_its_ending_with_the_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    message = refusal(tmp_path / name)
    assert "a 7z archive" in message
    assert "unpack it and give the folder" in message


def test_of_a_folder_with_nothing_but_an_archive_the_archive_is_wanted(tmp_path):
    (tmp_path / "in").mkdir()
    path = pack(tmp_path / "in" / "x.tar", class_folders({"a": 3}))
    assert f"give the archive itself: {path}" in refusal(tmp_path / "in")
    path.write_bytes(b"Rar!" + b"x" * 30)
    assert "a RAR archive" in refusal(tmp_path / "in")


def test_reading_an_archive_writes_nothing_beside_it(tmp_path):
    (tmp_path / "in").mkdir()
    path = pack(tmp_path / "in" / "some.tar.gz", class_folders({"a": 4, "b": 4}), "w:gz")
    load(open_source(path), CenterSquare(8))
    assert [entry.name for entry in (tmp_path / "in").iterdir()] == ["some.tar.gz"]


def test_names_in_no_known_encoding_are_read_and_printable(tmp_path):
    folder = tmp_path / "odd"
    (folder / "a").mkdir(parents=True)
    try:
        (folder / "a" / os.fsdecode(b"\xff.png")).write_bytes(png(1))
    except OSError:
        pytest.skip("this file system takes no such names")
    data = load(open_source(folder), CenterSquare(8))
    assert len(data) == 1
    data.paths[0].encode("utf-8")


def test_linked_folders_are_followed_once(write):
    root = write(class_folders({"a": 3, "b": 3}))
    (root / "a" / "loop").symlink_to(root)
    outside = write(class_folders({"c": 4}, start=50), "outside")
    (root / "c").symlink_to(outside / "c")
    assert open_source(root).class_names == ("a", "b", "c")
    assert len(open_source(root)) == 10


class Pairs(torch.utils.data.Dataset):
    def __init__(self, items, classes=None):
        self.items, self.reads = items, 0
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.reads += 1
        return self.items[index]


def test_a_dataset_is_gone_through_once():
    dataset = Pairs([(picture(i), i % 2) for i in range(20)], classes=["cat", "dog"])
    data = load(open_source(dataset), CenterSquare(8))
    assert dataset.reads == 20
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [i % 2 for i in range(20)]
    assert data.source == "<Dataset>"


def test_every_form_of_image_of_a_dataset_becomes_the_same_pixels():
    pixels = np.asarray(picture(1, 8, 6))
    chw = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    forms = [picture(1, 8, 6), pixels, chw, chw.float() / 255, chw.double() / 255, pixels / 255.0]
    data = load(open_source(Pairs(forms)), CenterSquare(4))
    assert (data.images == data.images[0]).all()
    assert data.sizes_px.tolist() == [[8, 6]] * 6
    assert data.split("unlabeled").tolist() == list(range(6))
    gray = pixels[:, :, 0]
    same = load(
        open_source(Pairs([gray, torch.from_numpy(gray.copy())[None], Image.fromarray(gray)])),
        CenterSquare(4),
    )
    assert (same.images == same.images[0]).all()
    assert (same.images[..., 0] == same.images[..., 2]).all()


def test_dataset_labels_may_be_names_tensors_or_absent():
    labels = ["b", "a", None, "b"] * 3
    listing = open_source(Pairs([(picture(i), label) for i, label in enumerate(labels)]))
    assert listing.class_names == ("a", "b")
    assert listing.labels.tolist() == [1, 0, -1, 1] * 3
    numbers = [torch.tensor(10), np.int64(9), 10, -1]
    listing = open_source(Pairs([(picture(i), label) for i, label in enumerate(numbers)]))
    assert listing.class_names == ("9", "10")
    assert listing.labels.tolist() == [1, 0, 1, -1]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ((torch.randn(3, 8, 8), 0), "normalized"),
        ((torch.full((3, 8, 8), 255.0), 0), "[255, 255]"),
        ((torch.full((3, 8, 8), -0.5), 0), "[-0.5, -0.5]"),
        ((torch.zeros(3, 8, 8, dtype=torch.int32), 0), "int32"),
        ((np.zeros((8, 8, 7), np.uint8), 0), "shape"),
        (("x.png", 0), "got str"),
        ((np.zeros((8, 8), np.uint8), 1.5), "got float"),
        ((np.zeros((8, 8), np.uint8), 5), "got 5"),
    ],
)
def test_a_wrong_item_of_a_dataset_is_named(item, said):
    fine = (np.zeros((8, 8), np.uint8), 0)
    message = refusal(Pairs([fine, item], classes=["one", "two"]))
    assert "item 1" in message
    assert said in message


def test_an_iterable_and_an_empty_dataset():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return ((picture(i), 0) for i in range(5))

    assert len(open_source(Stream())) == 5
    assert "empty" in refusal(Pairs([]))
    assert "got int" in refusal(5)


def test_pixels_of_a_gif_named_png_are_read(write):
    out = io.BytesIO()
    picture(3).quantize().save(out, "GIF")
    assert (
        len(
            load(
                open_source(write({"a/x.png": out.getvalue(), "b/y.png": png(1)})), CenterSquare(8)
            )
        )
        == 2
    )


@pytest.mark.ci
@pytest.mark.parametrize(
    ("archive", "n", "side"),
    [
        ("flowers5.tar", 1920, 128),
        ("signdigits10.tar", 1032, 100),
        ("omniglot8.tar.xz", 2200, 105),
        ("stl10_unlabeled.tar", 246, 96),
        ("cifar10.tar.xz", 55000, 32),
    ],
)
def test_real_archives_are_read_whole(archive, n, side):
    if "NEARFAR_DATA" not in os.environ:
        pytest.skip("NEARFAR_DATA names no folder with the real archives")
    data = load(open_source(Path(os.environ["NEARFAR_DATA"]) / archive), CenterSquare(64))
    assert len(data) == n
    assert data.side == side
    assert data.skipped == ()
    assert 20 < data.images[:: n // 200].mean() < 250


def test_tfrecords_are_refused_with_the_way_out(write):
    records = write({"train_tfrecords/ld_train00-1338.tfrec": b"records", "train.csv": b"id"})
    for data in (
        records,
        records / "train_tfrecords",
        records / "train_tfrecords/ld_train00-1338.tfrec",
    ):
        with pytest.raises(DataError, match=r"TFRecords are not read: .*train_images/"):
            open_source(data)
