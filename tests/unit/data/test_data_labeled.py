"""Classes that stand in a table: what spreadsheets and Kaggle write."""

import json
from collections import Counter

import pytest
from data_pictures import class_folders, png

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, check, load, open_source

NAMES = [f"{number}.png" for number in range(20)]
FLAT = {name: png(number) for number, name in enumerate(NAMES)}
CLASSES = {name: ("cat", "dog")[number % 2] for number, name in enumerate(NAMES)}


def table(header: str, separator: str = ",", end: str = "\n", **more: str) -> str:
    rows = [f"{name}{separator}{label}" for name, label in (CLASSES | more).items()]
    return end.join([header, *rows, ""])


def labels(listing) -> dict[str, str | None]:
    names = [*listing.class_names, None]
    return dict(zip(listing.paths, (names[label] for label in listing.labels), strict=True))


def refusal(data) -> str:
    with pytest.raises(DataError) as caught:
        open_source(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (table("image_id,label").encode(), ""),
        (table("a,b").encode(), ""),  # there are no others
        (table("image_id,label", end="\r\n").encode("utf-8-sig"), ""),
        (table("image_id;label", ";").encode("utf-16"), ""),
        (table("file\tclass", "\t").encode(), ""),
        (table("x,y").replace("cat", '"cat"').encode(), "@x,y"),
        (table("label,image").encode(), "@label,image"),  # what is typed counts
    ],
)
@pytest.mark.parametrize("ending", ["csv", "CSV"])
def test_a_table_gives_the_classes(write, content, columns, ending):
    root = write(FLAT | {f"t.{ending}": content})
    listing = open_source(f"{root}/t.{ending}{columns}")
    assert labels(listing) == CLASSES
    assert len(load(listing, CenterSquare(8), strict=True)) == 20
    assert (listing.name, listing.given_splits) == ("t", ())
    assert Counter(listing.splits.tolist()) == {"train": 12, "val": 4, "test": 4}


def test_splits_in_a_column_are_given(write):
    parts = ["train"] * 12 + ["Validation"] * 4 + ["test"] * 4
    rows = [f"{name},{CLASSES[name]},{part}" for name, part in zip(NAMES, parts, strict=True)]
    root = write(FLAT | {"t.csv": "\n".join(["image,label,fold", *rows]).encode()})
    listing = open_source(f"{root}/t.csv@image,label,split=fold")
    assert listing.given_splits == ("train", "val", "test")
    assert dict(zip(listing.paths, listing.splits, strict=True))["13.png"] == "val"
    (root / "t.csv").write_text("image,label,fold\n0.png,cat,3\n")
    assert "got 3" in refusal(f"{root}/t.csv@image,label,split=fold")


def test_kaggles_form_is_one_folder(write):
    contents = {f"train_images/{name}": content for name, content in FLAT.items()}
    contents |= {f"test_images/{number}.png": png(90 + number) for number in range(5)}
    numbers = table("image_id,label").replace("cat", "0").replace("dog", "10")
    contents |= {"train.csv": numbers.encode(), "sample_submission.csv": b"image_id,label\nx,0"}
    contents |= {"label_num_to_disease_map.json": json.dumps({"10": "rot", "0": "well"}).encode()}
    listing = open_source(write(contents))
    assert listing.class_names == ("well", "rot")  # in the order of the numbers
    assert Counter(listing.splits.tolist()) == {"train": 12, "val": 4, "test": 4, "predict": 5}
    assert labels(listing)["train_images/3.png"] == "rot"
    assert labels(listing)["test_images/3.png"] is None
    assert (listing.given_splits, listing.strays) == (("predict",), ())
    assert listing.ignored == ("sample_submission.csv",)


def test_numbers_are_classes_in_their_order_and_a_spreadsheet_may_write_them_as_floats(write):
    rows = [f"{name},{(2, 10)[number % 2]}.0" for number, name in enumerate(NAMES)]
    root = write(FLAT | {"t.csv": "\n".join(["image,label", *rows]).encode()})
    assert open_source(root / "t.csv").class_names == ("2", "10")
    (root / "t.csv").write_text("image,label\n0.png,0.37\n")
    assert "got the number 0.37" in refusal(root / "t.csv")


def test_names_without_endings_and_in_subfolders_are_found(write):
    contents = {f"pictures/{CLASSES[name]}/{name}": content for name, content in FLAT.items()}
    rows = [f"{name.removesuffix('.png')},{label}" for name, label in CLASSES.items()]
    root = write(contents | {"t.csv": "\n".join(["id,label", *rows]).encode()})
    found = labels(open_source(root / "t.csv"))
    assert found == {f"pictures/{label}/{name}": label for name, label in CLASSES.items()}


def test_missing_files_are_named_and_too_many_refused(write):
    root = write(FLAT | {"t.csv": table("image,label", **{"lost.png": "cat"}).encode()})
    listing = open_source(root / "t.csv")
    assert [(stray.path, stray.reason) for stray in listing.strays] == [
        ("lost.png", "named in t.csv, but there is no such image")
    ]
    assert len(load(listing, CenterSquare(8))) == 20
    more = {f"lost{number}.png": "cat" for number in range(5)}
    (root / "t.csv").write_text(table("image,label", **more))
    with pytest.raises(DataError, match="got 5 of 25"):
        load(open_source(root / "t.csv"), CenterSquare(8))
    (root / "t.csv").write_text("image,label\nother.png,cat\n")
    assert "got none that is there, such as other.png" in refusal(root / "t.csv")


def test_an_image_of_two_classes_is_refused_and_a_row_that_is_there_twice_counts_once(write):
    root = write(FLAT | {"t.csv": (table("image,label") + "0.png,cat\n").encode()})
    assert len(open_source(root / "t.csv")) == 20
    (root / "t.csv").write_text(table("image,label") + "0.png,dog\n")
    assert "got several of: 0.png" in refusal(root / "t.csv")


def test_two_images_of_one_name_are_told_apart_by_their_split_or_refused(write):
    contents = {f"{folder}/0.png": png(7) for folder in ("train", "test")}
    root = write(FLAT | contents | {"t.csv": table("image,label").encode()})
    assert labels(open_source(root / "t.csv"))["0.png"] == "cat"
    (root / "0.png").unlink()
    assert labels(open_source(root / "t.csv"))["train/0.png"] == "cat"
    (root / "train").rename(root / "elsewhere")
    assert "want one image for 0.png" in refusal(root / "t.csv")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("@picture,label", "want a column picture, got image, label, day"),
        ("@image,label,fold", "want @IMAGE,LABEL"),
        ("@,label", "want @IMAGE,LABEL"),
        ("@image,label,day=day", "want @IMAGE,LABEL"),
    ],
)
def test_columns_that_are_not_there_are_named(write, columns, said):
    root = write(FLAT | {"t.csv": b"image,label,day\n0.png,cat,1\n"})
    assert said in refusal(f"{root}/t.csv{columns}")


def test_a_table_that_does_not_say_what_its_columns_are_asks_for_them(write):
    root = write(FLAT | {"t.csv": b"photo,kind,day\n0.png,cat,1\n"})
    assert f"give {root}/t.csv@IMAGE,LABEL" in refusal(root / "t.csv")
    listing = open_source(root)
    assert (listing.class_names, listing.ignored) == ((), ("t.csv",))
    (root / "t.csv").write_bytes(b"")
    assert "got an empty file" in refusal(root / "t.csv")
    (root / "t.csv").write_bytes(b"image,label\n")
    assert "a table without rows" in refusal(root / "t.csv")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"image,label\n0.png,0.37\n",
        b"image,label\n0.png,cat\n0.png,dog\n",
        b'"' + b"x" * 140_000,
    ],
)
def test_a_table_of_another_kind_is_left_alone_unless_its_name_says_labels(write, content):
    root = write(FLAT | {"log.csv": content})
    listing = open_source(root)
    assert (listing.class_names, listing.ignored) == ((), ("log.csv",))
    (root / "log.csv").rename(root / "labels.csv")
    assert f"{root}/labels.csv: want" in refusal(root)


def test_a_parquet_beside_pictures_is_left_alone(write):
    listing = open_source(write(FLAT | {"embeddings.parquet": b"no parquet"}))
    assert (listing.class_names, listing.ignored) == ((), ("embeddings.parquet",))


def test_class_folders_count_more_than_a_table(write):
    contents = class_folders({"a": 6, "b": 6})
    listing = open_source(write(contents | {"train.csv": b"image,label\n000.png,x\n"}))
    assert (listing.class_names, listing.ignored) == (("a", "b"), ("train.csv",))


def test_pictures_that_no_row_names_are_unlabeled(write):
    root = write(FLAT | {"more/x.png": png(70), "labels.csv": table("image,label").encode()})
    listing = open_source(root)
    assert dict(zip(listing.paths, listing.splits, strict=True))["more/x.png"] == "unlabeled"


def test_a_class_only_in_test_is_named(write):
    rows = "0.png,cat,train\n1.png,dog,test\n"
    root = write(FLAT | {"t.csv": ("image,label,split\n" + rows).encode()})
    assert "got 1 only in others: dog" in refusal(root / "t.csv")


def grouped_table(write, **splits):
    """200 pictures of two classes, of 40 plants with five each."""
    names = [f"{number}.png" for number in range(200)]
    rows = [
        ",".join(
            [name, "ab"[n // 5 % 2], f"plant {n // 5}", *(part[n] for part in splits.values())]
        )
        for n, name in enumerate(names)
    ]
    head = ",".join(["image", "label", "plant", *splits])
    pictures = {name: png(number) for number, name in enumerate(names)}
    return write(pictures | {"t.csv": "\n".join([head, *rows]).encode()})


def sides(listing_or_data):
    """The splits that each plant lies in."""
    found = {}
    for path, split in zip(listing_or_data.paths, listing_or_data.splits, strict=True):
        found.setdefault(int(path.removesuffix(".png")) // 5, set()).add(str(split))
    return found


def test_what_a_column_holds_together_is_on_one_side_of_a_cut(write):
    root = grouped_table(write)
    apart = open_source(f"{root}/t.csv@image,label")
    assert any(len(of) > 1 for of in sides(apart).values())
    listing = open_source(f"{root}/t.csv@image,label,group=plant")
    data = load(listing, CenterSquare(8), strict=True)
    for found in (listing, data):
        assert {len(of) for of in sides(found).values()} == {1}
        assert Counter(found.splits.tolist()) == {"train": 130, "test": 40, "val": 30}
    assert not data.seen(["train"])[data.splits == "test"].any()
    (said,) = [f.text for f in check(listing) if f.code == "groups"]
    assert said.startswith("40 sets of 2 or more images kept together by plant")


def test_given_splits_that_tear_a_group_of_the_column_apart_are_said(write):
    fold = ["train", "train", "train", "val", "test"] * 40
    root = grouped_table(write, fold=fold)
    listing = open_source(f"{root}/t.csv@image,label,group=plant,split=fold")
    assert "groups_across_splits" in {finding.code for finding in check(listing)}
    data = load(listing, CenterSquare(8), strict=True)
    assert data.seen(["train"])[data.splits == "test"].all()


@pytest.mark.parametrize("columns", ["image,label,group=", "image,label,fold=x", "image,,split=x"])
def test_what_is_no_form_of_columns_is_said(write, columns):
    root = grouped_table(write)
    said = refusal(f"{root}/t.csv@{columns}")
    assert "want @IMAGE,LABEL, and perhaps ,split=COLUMN and ,group=COLUMN, got" in said


def test_a_group_column_that_is_not_there_is_named(write):
    assert "want a column leaf, got" in refusal(
        f"{grouped_table(write)}/t.csv@image,label,group=leaf"
    )
