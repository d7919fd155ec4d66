"""What the listing alone says of data, before a pixel is seen; and how findings are worded."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nearfar.data.listing import SPLITS, Listing


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the data, worded for a person."""

    code: str
    severity: Literal["error", "warning", "note"]
    text: str


def of_listing(listing: Listing) -> Iterable[Finding]:
    """Findings for which no image is looked at."""
    yield from _similar_names(listing.class_names)
    yield from _counts(listing)
    yield from _not_measured(listing)
    yield from _to_predict(listing)
    yield from _linked(listing)
    yield from _hidden(listing)
    yield from _ignored(listing)


def _similar_names(names: Sequence[str]) -> Iterable[Finding]:
    """Classes that are probably one."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[name.strip().casefold()].append(name)
    if same := [" = ".join(f'"{name}"' for name in some) for some in alike.values() if some[1:]]:
        text = (
            "classes whose names differ only by case or outer blanks; if they are one class, put"
            f" their images into one folder{lines(same)}"
        )
        yield Finding("similar_class_names", "warning", text)


def _counts(listing: Listing) -> Iterable[Finding]:
    """One line a split, in files as listed."""
    parts = []
    for split in SPLITS:
        rows = listing.splits == split
        if not rows.any():
            continue
        labels = listing.labels[rows]
        each = np.bincount(labels[labels >= 0], minlength=len(listing.class_names)).tolist()
        classes = f": {_by_class(listing.class_names, each)}" if (labels >= 0).any() else ""
        parts.append(f"{split} {rows.sum():,} ({_origin(listing, split)}){classes}")
    head = f"{images(len(listing))}, {amount(len(listing.class_names), 'class', 'classes')}"
    yield Finding("counts", "note", head + lines(parts))


def _origin(listing: Listing, split: str) -> str:
    """Where the images of a split come from."""
    if split == "predict":
        return "not trained or measured on"
    if split == "train" and any(
        part not in listing.given_splits and (listing.splits == part).any()
        for part in ("val", "test")
    ):
        return "what remains"
    given = split in listing.given_splits or split in ("train", "unlabeled")
    return "given" if given else "cut by nearfar"


def _not_measured(listing: Listing) -> Iterable[Finding]:
    lacking = [split for split in ("val", "test") if not (listing.splits == split).any()]
    if lacking and listing.class_names:
        text = (
            f"no images in {' and '.join(lacking)}, so nothing is measured there: each class keeps"
            " its first two images for training; add images"
        )
        yield Finding("not_measured", "warning", text)


def _to_predict(listing: Listing) -> Iterable[Finding]:
    left = [listing.paths[row] for row in np.flatnonzero(listing.splits == "predict")]
    if left:
        text = (
            f"{images(len(left))} in a val or test folder without class folders, so without"
            " labels: left to predict and embed; class folders there would make them what is"
            f" measured on{lines(left, at_most=3)}"
        )
        yield Finding("left_to_predict", "note", text)


def _by_class(names: Sequence[str], counts: Sequence[int]) -> str:
    pairs = sorted(zip(counts, names, strict=True))
    if len(pairs) <= 12:
        return ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True))
    return f"from {pairs[0][0]:,} ({pairs[0][1]}) to {pairs[-1][0]:,} ({pairs[-1][1]}) a class"


def _linked(listing: Listing) -> Iterable[Finding]:
    if linked := listing.linked:
        many = amount(len(linked), "folder is", "folders are")
        text = f"{many} reached twice; each is read where it lies, and the link left out"
        yield Finding("reached_twice", "warning", text + lines(linked))


def _hidden(listing: Listing) -> Iterable[Finding]:
    if hidden := listing.hidden:
        text = (
            f"{amount(len(hidden), 'folder', 'folders')} with images not looked at, since the name"
            f" begins with a dot; rename what is a class of its own{lines(hidden)}"
        )
        yield Finding("hidden_folders", "note", text)


def _ignored(listing: Listing) -> Iterable[Finding]:
    ignored = listing.ignored
    if tables := [path for path in ignored if path.lower().endswith((".csv", ".tsv"))]:
        text = (
            f"labels in a table are not read ({', '.join(tables[:3])}): give the table itself with"
            f" the columns of image and class, {tables[0]}@IMAGE,LABEL, or put the images into a"
            " folder for each class"
        )
        yield Finding("table_not_read", "note", text)
    if ignored:
        text = f"{files(len(ignored))} beside the images not looked at"
        yield Finding("ignored_files", "note", text + lines(ignored))


def amount(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def files(count: int) -> str:
    return amount(count, "file", "files")


def images(count: int) -> str:
    return amount(count, "image", "images")


def lines(items: Iterable[str], at_most: int = 10) -> str:
    """Indented lines to follow a sentence, the first ten of them."""
    every = list(items)
    more = [f"... and {len(every) - at_most} more"] if len(every) > at_most else []
    return "".join(f"\n  {item}" for item in [*every[:at_most], *more])
