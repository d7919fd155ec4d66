"""Published sets, on small files of their own layouts: nothing is downloaded."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from data_pictures import picture
from torchvision import datasets

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source
from nearfar.data.published import DOWNLOADED, NAMES

N = 12


def levels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def pickled(path: Path, content: object) -> tuple[str, str]:
    """The name of a written file and its checksum, as torchvision lists them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path.name, hashlib.md5(path.read_bytes()).hexdigest()


def cifar(monkeypatch, kind: type, folder: Path, **labels: list[int]) -> np.ndarray:
    """The images of train and test, N × 3 × 32 × 32, of a CIFAR written into `folder`."""
    images = levels(2 * N, 3, 32, 32)
    flat = images.reshape(2 * N, -1)
    train = {"data": flat[:N], **labels}
    test = {"data": flat[N:], **labels}
    root = folder / kind.base_folder
    monkeypatch.setattr(kind, "train_list", [pickled(root / "data_1", train)])
    monkeypatch.setattr(kind, "test_list", [pickled(root / "test", test)])
    names = {"label_names": list("abc"), "fine_label_names": list("abcdef")}
    name, checksum = pickled(root / "names", {**names, "coarse_label_names": ["x", "y"]})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "filename": name, "md5": checksum})
    return images


def test_cifar10_is_read_where_it_lies(monkeypatch, tmp_path):
    labels = [row % 3 for row in range(N)]
    images = cifar(monkeypatch, datasets.CIFAR10, tmp_path, labels=labels)
    listing = open_source(f"cifar10@{tmp_path}")
    assert (listing.name, listing.class_names) == ("cifar10", ("a", "b", "c"))
    assert (listing.side, listing.given_splits) == (32, ("train", "test"))
    assert listing.labels.tolist() == 2 * labels
    assert set(listing.splits[N:]) == {"test"}
    assert set(listing.splits[:N]) == {"train", "val"}
    for row, pixels in listing.reader.read():
        np.testing.assert_array_equal(pixels, images[row].transpose(1, 2, 0))


def test_cifar100_has_fine_and_coarse_classes(monkeypatch, tmp_path):
    fine, coarse = [row % 6 for row in range(N)], [row % 2 for row in range(N)]
    cifar(monkeypatch, datasets.CIFAR100, tmp_path, fine_labels=fine, coarse_labels=coarse)
    listing = open_source(f"cifar100@{tmp_path}")
    assert (listing.labels.tolist(), listing.class_names) == (2 * fine, tuple("abcdef"))
    listing = open_source(f"cifar100-coarse@{tmp_path}")
    assert (listing.labels.tolist(), listing.class_names) == (2 * coarse, ("x", "y"))


def test_a_store_of_arrays_is_kept_and_known_by_its_content(monkeypatch, tmp_path):
    labels = [row % 3 for row in range(N)]
    images = cifar(monkeypatch, datasets.CIFAR10, tmp_path, labels=labels)
    listing = open_source(f"cifar10@{tmp_path}")
    stored = load(listing, CenterSquare(32))
    assert isinstance(stored.images, np.memmap)
    np.testing.assert_array_equal(stored.images, images.transpose(0, 2, 3, 1))
    other = [*labels[1:], labels[0]]
    cifar(monkeypatch, datasets.CIFAR10, tmp_path, labels=other)
    assert open_source(f"cifar10@{tmp_path}").reader.key() != listing.reader.key()


def stl10(monkeypatch, folder: Path) -> np.ndarray:
    """60 images: 20 of train in two folds, 20 of test, 20 without a label."""
    root, images = folder / "stl10_binary", levels(60, 3, 96, 96)
    root.mkdir(parents=True)
    sums = {}

    def write(name: str, content: bytes) -> None:
        (root / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()

    labels = bytes(row % 2 + 1 for row in range(20))  # 1-indexed
    for name, rows in (("train", slice(20)), ("test", slice(20, 40)), ("unlabeled", slice(40, 60))):
        # column-major in the file
        write(f"{name}_X.bin", images[rows].transpose(0, 1, 3, 2).tobytes())
    write("train_y.bin", labels)
    write("test_y.bin", labels)
    write("class_names.txt", b"airplane\nbird\n")
    folds = [" ".join(map(str, range(10 * (fold % 2), 10 * (fold % 2) + 10))) for fold in range(10)]
    write("fold_indices.txt", "\n".join(folds).encode())
    for part in ("train_list", "test_list"):
        listed = [[name, sums[name]] for name, _ in getattr(datasets.STL10, part)]
        monkeypatch.setattr(datasets.STL10, part, listed)
    return images


def test_stl10_has_unlabeled_images_and_folds(monkeypatch, tmp_path):
    images = stl10(monkeypatch, tmp_path)
    listing = open_source(f"stl10@{tmp_path}")
    assert listing.class_names == ("airplane", "bird")
    assert {split: int((listing.splits == split).sum()) for split in ("test", "unlabeled")} == {
        "test": 20,
        "unlabeled": 20,
    }
    assert (listing.labels[listing.splits == "unlabeled"] == -1).all()
    for row, pixels in listing.reader.read():
        np.testing.assert_array_equal(pixels, images[row].transpose(1, 2, 0))
    fold = open_source(f"stl10-fold1@{tmp_path}")
    read = [pixels for row, pixels in fold.reader.read() if row < 10]
    np.testing.assert_array_equal(np.stack(read), images[10:20].transpose(0, 2, 3, 1))


def write_pictures(folder: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        picture(number, 20, 16).save(folder / path)


def splits_and_classes(data: str) -> dict[str, tuple[str, str]]:
    """By path."""
    listing = open_source(data)
    names = (*listing.class_names, "")
    each = zip(listing.paths, listing.splits, listing.labels, strict=True)
    return {path: (str(split), names[label]) for path, split, label in each}


def test_food101_is_read_as_files(tmp_path):
    root = tmp_path / "food-101"
    images = [f"{name}/{number}" for name in ("pie", "soup") for number in range(8)]
    write_pictures(root / "images", *(f"{image}.jpg" for image in images))
    (root / "meta").mkdir()
    for split, rows in (("train", range(6)), ("test", range(6, 8))):
        by_class = {name: [f"{name}/{row}" for row in rows] for name in ("pie", "soup")}
        (root / "meta" / f"{split}.json").write_text(json.dumps(by_class))
    found = splits_and_classes(f"food101@{tmp_path}")
    assert found["food-101/images/pie/7.jpg"] == ("test", "pie")
    assert found["food-101/images/soup/0.jpg"][1] == "soup"
    assert len(found) == 16


def test_dtd_has_three_splits_and_eurosat_none(tmp_path):
    root = tmp_path / "dtd" / "dtd"
    names = [f"{name}/{name}_{row}.jpg" for name in ("dotted", "woven") for row in range(6)]
    write_pictures(root / "images", *names)
    (root / "labels").mkdir()
    for split, rows in (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))):
        listed = [name for name in names if int(name[-5]) in rows]
        (root / "labels" / f"{split}1.txt").write_text("\n".join(listed) + "\n")
    found = splits_and_classes(f"dtd@{tmp_path}")
    assert found["dtd/dtd/images/woven/woven_3.jpg"] == ("val", "woven")
    assert found["dtd/dtd/images/dotted/dotted_4.jpg"] == ("test", "dotted")

    folder = tmp_path / "eurosat" / "2750"
    write_pictures(
        folder, *(f"{name}/{row}.jpg" for name in ("Forest", "River") for row in range(10))
    )
    listing = open_source(f"eurosat@{tmp_path}")
    assert listing.given_splits == ()
    assert {str(split) for split in listing.splits} == {"train", "val", "test"}


def test_imagenets_validation_images_are_its_test_images(tmp_path):
    paths = [f"train/n0{c}/n0{c}_{row}.JPEG" for c in range(2) for row in range(6)]
    write_pictures(tmp_path, *paths, "val/n00/a.JPEG", "val/n01/b.JPEG", "test/c.JPEG")
    found = splits_and_classes(f"imagenet@{tmp_path}")
    assert found["val/n01/b.JPEG"] == ("test", "n01")
    assert found["test/c.JPEG"] == ("predict", "")
    assert {split for split, _ in found.values()} == {"train", "val", "test", "predict"}


def test_tiny_imagenets_classes_of_val_are_in_its_annotations(tmp_path):
    paths = [f"train/n0{c}/images/n0{c}_{row}.JPEG" for c in range(2) for row in range(6)]
    write_pictures(tmp_path, *paths, "val/images/val_0.JPEG", "val/images/val_1.JPEG")
    write_pictures(tmp_path, "test/images/test_0.JPEG")
    notes = "val_0.JPEG\tn01\t0\t32\t44\t62\nval_1.JPEG\tn00\t52\t55\t57\t59\n"
    (tmp_path / "val" / "val_annotations.txt").write_text(notes)
    found = splits_and_classes(f"tiny-imagenet@{tmp_path}")
    assert found["val/images/val_0.JPEG"] == ("test", "n01")
    assert found["val/images/val_1.JPEG"] == ("test", "n00")
    assert found["test/images/test_0.JPEG"] == ("predict", "")


@pytest.mark.parametrize("name", ["imagenet", "tiny-imagenet"])
def test_what_has_to_lie_in_a_folder_says_so(name, tmp_path):
    with pytest.raises(DataError, match=f"{name}@FOLDER"):
        open_source(name)
    with pytest.raises(DataError, match="val"):
        open_source(f"{name}@{tmp_path}")


def test_without_a_network_it_says_where_the_files_belong(monkeypatch, tmp_path):
    def download(_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets.CIFAR10, "download", download)
    with pytest.raises(DataError, match=r"no route to host.*cifar10@FOLDER"):
        open_source(f"cifar10@{tmp_path}")


@pytest.mark.parametrize("published", DOWNLOADED.values(), ids=DOWNLOADED)
def test_every_set_is_one_of_torchvisions(published):
    assert issubclass(getattr(datasets, published.class_name), datasets.VisionDataset)


def test_a_mistyped_name_gets_the_nearest(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="did you mean cifar10"):
        open_source("cifar-10")
    assert "digits" not in NAMES


def test_images_of_a_corruption_are_test_images(tmp_path):
    images, labels = levels(50, 8, 8, 3), np.arange(50) % 3
    np.save(tmp_path / "fog.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    listing = open_source(tmp_path / "fog.npy")
    assert (len(listing), set(listing.splits), listing.name) == (50, {"test"}, "fog")
    third = open_source(f"{tmp_path}/fog.npy@3")
    assert third.labels.tolist() == labels[20:30].tolist()
    read = np.stack([pixels for _, pixels in third.reader.read()])
    np.testing.assert_array_equal(read, images[20:30])
    with pytest.raises(DataError, match="severity of 1 to 5"):
        open_source(f"{tmp_path}/fog.npy@6")
    np.save(tmp_path / "labels.npy", labels[:10])
    with pytest.raises(DataError, match="50 labels"):
        open_source(tmp_path / "fog.npy")
    (tmp_path / "snow.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"whole \.npy"):
        open_source(tmp_path / "snow.npy")


def test_the_page_about_data_has_every_name():
    page = Path(__file__).parents[3] / "docs" / "data.md"
    told = page.read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}" not in told and "-fold" not in name] == []
