import io

import numpy as np
import pytest
from data_pictures import class_folders, pack, png
from PIL import Image

from nearfar.core.progress import Progress
from nearfar.data import CenterSquare, check, load, open_source
from nearfar.data.check import findings as findings_of
from nearfar.data.check import in_order, look


def findings(source, **options):
    return {finding.code: finding for finding in check(open_source(source), **options)}


def test_sound_data_get_notes_only(write):
    found = findings(write(class_folders({"a": 30, "b": 30})))
    assert set(found) == {"counts", "sizes"}
    assert {finding.severity for finding in found.values()} == {"note"}
    assert "train 38 (what remains): a: 19, b: 19" in found["counts"].text
    assert "12×10 px" in found["sizes"].text


def test_copies_in_two_splits_are_named(write):
    contents = class_folders({"train/a": 8, "train/b": 8, "test/a": 2, "test/b": 2})
    contents["test/b/000.png"] = contents["train/b/003.png"]
    found = findings(write(contents))["duplicates_across_splits"]
    assert found.severity == "warning"
    assert "train/b/003.png" in found.text
    assert "test/b/000.png" in found.text


def test_copies_that_nothing_is_measured_by_are_no_warning(write):
    contents = class_folders({"train/a": 8, "train/b": 8, "val/a": 2, "val/b": 2, "unlabeled": 2})
    contents["unlabeled/000.png"] = contents["train/b/003.png"]
    contents |= {"test/0.png": contents["train/b/004.png"]}
    found = findings(write(contents))
    assert "duplicates_across_splits" not in found
    assert found["duplicates"].severity == "note"
    assert "1 image there more than once" in found["duplicates"].text
    assert "train/b/003.png = unlabeled/000.png" in found["duplicates"].text


def test_it_says_how_many_test_images_are_in_train_too(write):
    contents = class_folders({"train/a": 8, "train/b": 8, "test/a": 4, "test/b": 4})
    for number in range(3):
        contents[f"test/b/00{number}.png"] = contents[f"train/b/00{number}.png"]
    text = findings(write(contents))["duplicates_across_splits"].text
    assert "3 images in more than one split (3 of 8 images of test are in train too)" in text


def test_copies_are_on_one_side_of_a_cut_whatever_bytes_they_are_saved_in(write):
    contents = class_folders({"a": 30, "b": 30})
    for path in list(contents):
        out = io.BytesIO()
        Image.open(io.BytesIO(contents[path])).save(out, "BMP")
        contents[path.replace(".png", " (1).bmp")] = out.getvalue()
    source = write(contents)
    found = findings(source)
    assert "duplicates_across_splits" not in found
    assert "60 images there more than once" in found["duplicates"].text
    stored = load(open_source(source), CenterSquare(8))
    by_name = dict(zip(stored.paths, stored.splits.tolist(), strict=True))
    assert {by_name[path] for path in by_name} == {"train", "val", "test"}
    for path, split in by_name.items():
        assert by_name[path.replace(".png", " (1).bmp")] == split
    counts = found["counts"].text
    for split in ("train", "val", "test"):
        assert f"{split} {list(by_name.values()).count(split)} (" in counts


def test_groups_that_given_splits_tear_apart_are_a_warning(write):
    contents = {
        f"train/{name}/p{k}_{i}.png": png(10 * k + i)
        for name in "ab"
        for k in range(4)
        for i in range(3)
    }
    contents |= {f"test/{name}/p{k}_9.png": png(100 + k) for name in "ab" for k in range(3, 7)}
    source = open_source(write(contents))
    found = {
        f.code: f for f in in_order(findings_of(look(source, Progress(quiet=True), r"p(\d)_")))
    }
    torn = found["groups_across_splits"]
    assert torn.severity == "warning"
    assert "(2 of 8 images of test have others of their group in train)" in torn.text
    assert found["groups"].text.startswith("7 sets of 2 or more images kept together by p")


def test_copies_under_two_classes_are_named(write):
    contents = class_folders({"train/a": 8, "train/b": 8, "val/a": 1, "test/a": 1})
    contents["train/b/000.png"] = contents["train/a/000.png"]
    found = findings(write(contents))
    assert "train/a/000.png (a) = train/b/000.png (b)" in found["duplicates_with_other_label"].text
    assert "duplicates_across_splits" not in found


def test_unreadable_files_are_a_warning_and_with_strict_an_error(tmp_path):
    contents = class_folders({"a": 60, "b": 60}) | {"a/003.png": b""}
    path = pack(tmp_path / "x.tar", contents)
    found = check(open_source(path))
    assert (found[0].code, found[0].severity) == ("unreadable", "warning")
    assert "a/003.png: empty file" in found[0].text
    assert check(open_source(path), strict=True)[0].severity == "error"


def test_too_many_unreadable_files_are_an_error(write):
    found = findings(
        write(class_folders({"a": 10, "b": 10}) | {"a/x.png": b"text", "b/y.png": b"text"})
    )
    assert found["unreadable"].severity == "error"
    assert "a/x.png" in found["unreadable"].text


def test_a_class_with_one_image_is_named(write):
    found = findings(write(class_folders({"a": 10, "lonely": 1})))
    assert "lonely: 1" in found["single_sample_class"].text


def test_a_class_whose_only_other_image_is_broken_has_a_single_one(write):
    contents = class_folders({"train/a": 99, "train/few": 2, "val/a": 1, "test/a": 1}) | {
        "train/few/001.png": b""
    }
    assert "few: 1" in findings(write(contents))["single_sample_class"].text


@pytest.mark.parametrize(("large", "advised"), [(10, False), (20, False), (40, True)])
def test_balanced_batches_are_advised_from_three_to_one(write, large, advised):
    contents = class_folders({"train/a": large, "train/b": 10, "val/a": 1, "test/a": 1})
    found = findings(write(contents))
    assert ("balanced_advised" in found) == advised
    assert ("imbalance" in found) == (large >= 15)
    if advised:
        assert "data.sampling=balanced" in found["balanced_advised"].text
        assert "4.0 times" in found["imbalance"].text


def test_unlabeled_and_single_class_data_say_so(write):
    assert "no_labels" in findings(write({f"{i}.png": png(i) for i in range(4)}, "flat"))
    assert "one_class" in findings(write(class_folders({"a": 9}), "one"))


def test_sizes_that_differ_are_given_as_a_range(write):
    text = findings(write({"a/0.png": png(0, 10, 20), "b/0.png": png(1, 30, 8)}))["sizes"].text
    assert "10–30 px wide, 8–20 px high" in text


def test_files_beside_the_images_are_mentioned(write):
    assert (
        "LICENSE"
        in findings(write(class_folders({"a": 9}) | {"LICENSE": b"free"}))["ignored_files"].text
    )


def test_many_classes_are_summed_up(write):
    text = findings(write(class_folders({f"c{i:02d}": 2 for i in range(20)})))["counts"].text
    assert "a class" in text
    assert len(text) < 400


def test_a_split_that_lacks_a_class_or_nearly_so_is_named_with_the_way_out(write):
    contents = {"train/a": 30, "train/b": 30, "val/a": 5, "val/b": 5, "test/a": 6, "test/b": 4}
    found = check(open_source(write(class_folders(contents))))
    (thin,) = [finding for finding in found if finding.code == "thin_split"]
    assert thin.severity == "warning"
    assert thin.text.startswith("test has fewer than 5 images of 1 class (b: 4), so what is")
    assert "30 images of a class leave five in each" in thin.text


def test_no_class_is_missed_where_a_split_has_none_of_it(write):
    contents = {"train/a": 30, "train/b": 30, "val/a": 5, "test/a": 6, "test/b": 5}
    found = check(open_source(write(class_folders(contents))))
    assert [f.text.partition(",")[0] for f in found if f.code == "thin_split"] == [
        "validation has fewer than 5 images of 1 class (b: 0)"
    ]


@pytest.mark.parametrize(("each", "thin"), [(30, 0), (25, 1), (10, 2)])
def test_of_thirty_images_of_a_class_five_are_left_in_each_split_that_is_cut(write, each, thin):
    found = check(open_source(write(class_folders({"a": each, "b": each}))))
    assert [finding.code for finding in found].count("thin_split") == thin


def test_given_and_cut_are_said_of_what_is_given_and_cut(write):
    flat = {f"test/{i}.png": png(500 + i) for i in range(12)}
    found = findings(write(class_folders({"train/a": 20, "train/b": 20}) | flat))
    assert "12 images in a val or test folder without class" in found["left_to_predict"].text
    text = found["counts"].text
    assert "train 25 (what remains): a" in text
    assert "val 7 (cut by nearfar): a" in text
    assert "test 8 (cut by nearfar): a" in text
    assert "predict 12 (not trained or measured on)" in text


def test_a_train_folder_of_which_nothing_is_cut_is_given(write):
    whole = class_folders(
        {f"{split}/{name}": 6 for split in ("train", "val", "test") for name in "ab"}
    )
    text = findings(write(whole))["counts"].text
    for split in ("train", "val", "test"):
        assert f"{split} 12 (given): a: 6, b: 6" in text


def test_labels_in_a_table_are_said_not_to_be_read(write):
    flat = {f"train_images/{i}.png": png(i) for i in range(6)}
    assert "train.csv" in findings(write(flat | {"train.csv": b"a,b"}))["table_not_read"].text


def test_class_names_that_differ_only_by_case_or_outer_blanks_are_named(write):
    contents = class_folders({"Rose": 8, "rose ": 8, "tulip": 8})
    found = findings(write(contents))["similar_class_names"]
    assert found.severity == "warning"
    assert found.text.endswith('\n  "Rose" = "rose "')


@pytest.mark.parametrize(("first", "second"), [("test/a", "test/b"), ("train/a", "test/b")])
def test_copies_under_two_classes_are_named_in_every_split(write, first, second):
    contents = class_folders({f"{split}/{name}": 8 for split in ("train", "test") for name in "ab"})
    contents[f"{second}/003.png"] = contents[f"{first}/002.png"]
    found = findings(write(contents))["duplicates_with_other_label"]
    assert {f"{first}/002.png (a)", f"{second}/003.png (b)"} == set(
        found.text.splitlines()[1].strip().split(" = ")
    )


def test_classes_of_two_images_are_all_trained_on_and_said_not_to_be_measured(write):
    found = findings(write(class_folders({f"c{i:02d}": 2 for i in range(20)})))
    assert found["not_measured"].text.startswith("no images in val and test")
    assert "train 40 (given)" in found["counts"].text
    assert "single_sample_class" not in found


def saved_16_bits(number, highest):
    out = io.BytesIO()
    values = np.random.default_rng(number).integers(0, highest + 1, (12, 12)).astype(np.uint16)
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("highest", "brightest", "many", "severity"),
    [
        (4095, 65535, 40, "warning"),
        (4095, 65535, 3, "note"),
        (4095, 4095, 40, None),  # 12 bits are what there is
        (65535, 65535, 40, None),
    ],
)
def test_pictures_of_which_hardly_anything_is_seen_are_named(
    write, highest, brightest, many, severity
):
    contents = class_folders({"a": 30, "b": 30}) | {"b/029.png": saved_16_bits(99, brightest)}
    for number, path in enumerate(list(contents)[:many]):
        contents[path] = saved_16_bits(number, highest)
    found = findings(write(contents)).get("nearly_empty_histograms")
    assert (found.severity if found else None) == severity
    assert found is None or (f"{many} of 60 images" in found.text and "a/000.png" in found.text)
