"""Arrays in an .npz: plain, as MedMNIST has them, as Keras has them."""

from collections import Counter

import numpy as np
import pytest

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source


def images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *(shape or (8, 8))), np.uint8)


def test_plain_arrays_are_cut(tmp_path):
    path = tmp_path / "my set.npz"
    np.savez(path, images=images(40, 8, 8, 3), labels=np.arange(40) % 2)
    listing = open_source(path)
    assert (listing.name, listing.source, listing.class_names) == ("my-set", str(path), ("0", "1"))
    assert Counter(listing.splits.tolist()) == {"train": 25, "test": 8, "val": 7}
    assert (load(listing, CenterSquare(8)).images[3] == images(40, 8, 8, 3)[3]).all()


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
    ],
)
def test_splits_in_the_names_are_given(tmp_path, names):
    arrays = []
    for count in (20, 6, 10):
        arrays += [images(count), (np.arange(count) % 2)[:, None]]
    np.savez(tmp_path / "m.npz", **dict(zip(names, arrays, strict=True)))
    listing = open_source(tmp_path / "m.npz")
    assert Counter(listing.splits.tolist()) == {"train": 20, "val": 6, "test": 10}
    assert listing.given_splits == ("train", "val", "test")
    assert listing.labels.tolist()[:4] == [0, 1, 0, 1]


def test_images_without_labels_are_unlabeled(tmp_path):
    np.savez(tmp_path / "u.npz", data=images(9))
    assert Counter(open_source(tmp_path / "u.npz").splits.tolist()) == {"unlabeled": 9}


def test_what_is_no_set_of_images_is_refused_by_name(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, embeddings=images(9), labels=np.zeros(9))
    with pytest.raises(DataError, match="got embeddings, labels"):
        open_source(path)
    np.savez(path, images=images(9), labels=np.zeros(8))
    with pytest.raises(DataError, match="a label for each of 9, got 8"):
        open_source(path)
    np.savez(path, images=images(9).astype(object))
    with pytest.raises(DataError, match="arrays of numbers"):
        open_source(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="whole"):
        open_source(path)
