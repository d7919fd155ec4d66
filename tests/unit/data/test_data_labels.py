"""Few labels and wrong ones: stratified, by a seed, of the training images alone."""

import numpy as np
import pytest
from data_pictures import class_folders, pack
from scipy.stats import chisquare

from nearfar.data import CenterSquare, load, open_source
from nearfar.data.labels import LabelDraw, listed_facts, with_labels

COUNTS = (100, 15, 4, 1)


def listed(counts=COUNTS, held_out=5, unlabeled=7):
    """Labels, splits and paths of a set with all splits."""
    labels, splits = [], []
    for label, count in enumerate(counts):
        labels += [label] * (count + 2 * held_out)
        splits += ["train"] * count + ["val"] * held_out + ["test"] * held_out
    labels += [-1] * unlabeled
    splits += ["unlabeled"] * unlabeled
    paths = [
        f"{split}/{label}/{n:04d}.png"
        for n, (split, label) in enumerate(zip(splits, labels, strict=True))
    ]
    return np.array(labels), np.array(splits, dtype="<U9"), paths


def given(counts=COUNTS, **asked):
    return LabelDraw(**asked).of(*listed(counts), classes=len(counts))


def of_train(found):
    rows = (found.splits == "train") & (found.labels >= 0)
    return np.bincount(found.labels[rows], minlength=len(COUNTS)).tolist()


def test_so_many_of_each_class_keep_their_label_and_the_others_become_unlabeled():
    labels, splits, _ = listed()
    found = given(per_class=10)
    assert of_train(found) == [10, 10, 4, 1]
    assert found.n_withheld == 95
    assert (found.splits == "unlabeled").sum() == 7 + 95
    assert (found.labels[found.splits == "unlabeled"] == -1).all()
    kept = (found.splits == "train") & (found.labels >= 0)
    assert (found.labels[kept] == labels[kept]).all()
    assert (splits[kept] == "train").all()


def test_a_fraction_is_of_each_class_and_leaves_it_one_label():
    assert of_train(given(fraction=0.1)) == [10, 2, 1, 1]
    assert of_train(given(fraction=0.001)) == [1, 1, 1, 1]
    assert of_train(given(fraction=1.0)) == list(COUNTS)


@pytest.mark.parametrize("asked", [{"per_class": 2}, {"fraction": 0.05}, {"noise": 0.6}])
def test_validation_and_test_keep_theirs(asked):
    labels, splits, _ = listed()
    found = given(**asked)
    for name in ("val", "test"):
        assert ((found.splits == name) == (splits == name)).all()
        assert (found.labels[splits == name] == labels[splits == name]).all()


def test_a_draw_is_the_seeds_own_and_fewer_are_part_of_more():
    def rows(**asked):
        return set(np.flatnonzero(given(**asked).splits == "train").tolist())

    assert rows(per_class=10) == rows(per_class=10)
    assert rows(per_class=10) != rows(per_class=10, seed=1)
    assert rows(per_class=5) < rows(per_class=10) < rows(per_class=20)
    assert rows(per_class=10) == rows(per_class=10, noise=0.5)


def test_noise_is_as_often_as_asked_and_no_class_is_likelier():
    labels, _, _ = listed(counts=(20_000, 20_000, 20_000, 20_000))
    found = given(counts=(20_000, 20_000, 20_000, 20_000), noise=0.2)
    wrong = found.labels != labels
    assert found.n_mislabeled == wrong.sum()
    assert found.n_mislabeled / 80_000 == pytest.approx(0.2, abs=0.005)
    for label in range(4):
        became = np.bincount(found.labels[wrong & (labels == label)], minlength=4)
        assert became[label] == 0
        assert chisquare(np.delete(became, label)).pvalue > 1e-3


def test_less_noise_is_part_of_more():
    labels, _, _ = listed()
    few, many = (given(noise=noise).labels for noise in (0.2, 0.5))
    changed = few != labels
    assert changed.any()
    assert (many[changed] == few[changed]).all()


def test_nothing_asked_changes_nothing():
    labels, splits, _ = listed()
    found = given()
    assert found.labels is labels or (found.labels == labels).all()
    assert (found.splits == splits).all()
    assert (found.n_withheld, found.n_mislabeled) == (0, 0)


def test_a_folder_and_its_archive_lose_the_same_labels(write, tmp_path):
    contents = class_folders({"train/a": 12, "train/b": 12, "test/a": 3, "test/b": 3})
    folder = write(contents)
    archive = pack(tmp_path / "set.tar", {f"set/{path}": c for path, c in contents.items()})
    draw = LabelDraw(per_class=3, noise=0.3)
    sets = [with_labels(load(open_source(s), CenterSquare(8)), draw) for s in (folder, archive)]
    labels = [dict(zip(s.paths, s.labels.tolist(), strict=True)) for s in sets]
    assert {f"set/{path}": label for path, label in labels[0].items()} == labels[1]
    assert sets[0].splits.tolist() == sets[1].splits.tolist()


def test_what_is_known_before_reading_is_what_is_read(write):
    listing = open_source(write(class_folders({"a": 30, "b": 20})))
    draw = LabelDraw(per_class=4, noise=0.4, seed=3)
    before = listed_facts(listing, draw, side=8)
    after = with_labels(load(listing, CenterSquare(8)), draw).facts(8)
    assert before == after
    assert (before.n_train, before.n_withheld) == (8, before.n_unlabeled)
