"""The doctor of data: what a person should know about a source before training on it.

Severities: an error stops training, a warning makes its numbers doubtful, a note is worth knowing.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int64

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.core.types import DataFacts
from nearfar.data.decoding import Broken, decode, pillow_is_quiet, raw_bytes
from nearfar.data.listing import SPLITS, Listing, Raw, Unreadable, facts_of
from nearfar.data.reading import for_each_image, skip_or_refuse

_LOOK_PX = 8  # the side at which images are decoded only to see whether they can be
_UNEVEN = 1.5  # largest over smallest class, from which it is mentioned
_BALANCE = 3.0  # from which balanced batches are advised
_FEWEST = 5  # images of a class by which it can be measured


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the data, worded for a person."""

    code: str
    severity: Literal["error", "warning", "note"]
    text: str


@dataclass(frozen=True, eq=False)
class Seen:
    """What one pass over the images showed. `digests` has no entry for an unreadable row."""

    listing: Listing
    digests: dict[int, bytes]
    sizes: Int64[np.ndarray, "readable 2"]
    unreadable: list[Unreadable]
    colored: bool  # some readable image is not gray

    def facts(self, side: int) -> DataFacts:
        """Of the readable images, as training will find them."""
        rows = np.array(sorted(self.digests), dtype=np.int64)
        listing = self.listing
        facts = facts_of(
            listing.name, listing.class_names, listing.labels[rows], listing.splits[rows], side
        )
        return replace(facts, colored=self.colored)


def check(
    listing: Listing, progress: Progress | None = None, strict: bool = False
) -> list[Finding]:
    """Every finding, errors first. Decodes every image once; `strict` makes an unreadable file an
    error.
    """
    return in_order(findings(look(listing, progress or Progress(quiet=True)), strict))


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Errors first, notes last."""
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def findings(seen: Seen, strict: bool = False) -> list[Finding]:
    """What can be said of the data without knowing the methods."""
    return [
        *_unreadable(seen, strict),
        *_duplicates(seen),
        *_classes(seen),
        *_similar_names(seen.listing.class_names),
        *thin_splits(seen.facts(side=1)),
        *_counts(seen),
        *_to_predict(seen),
        *_sizes(seen),
        *_linked(seen),
        *_ignored(seen),
    ]


def _examine(raw: Raw) -> tuple[bytes, int, int, bool] | Broken:
    result = decode(raw, _LOOK_PX)
    if isinstance(result, Broken):
        return result
    colored = bool((result.square != result.square[..., :1]).any())
    return (
        hashlib.blake2b(raw_bytes(raw), digest_size=16).digest(),
        result.width,
        result.height,
        colored,
    )


def look(listing: Listing, progress: Progress) -> Seen:
    """Decodes every image once."""
    digests: dict[int, bytes] = {}
    sizes: list[tuple[int, int]] = []
    unreadable: list[Unreadable] = []
    colored = False
    with pillow_is_quiet():
        for row, result in for_each_image(listing, _examine, progress, title="checking"):
            if isinstance(result, Broken):
                unreadable.append(Unreadable(listing.paths[row], result.reason))
            else:
                digests[row] = result[0]
                sizes.append(result[1:3])
                colored |= result[3]
    return Seen(
        listing, digests, np.array(sizes, dtype=np.int64).reshape(-1, 2), unreadable, colored
    )


def _unreadable(seen: Seen, strict: bool) -> Iterable[Finding]:
    if not (seen.unreadable or seen.listing.strays):
        return
    try:
        skipped = skip_or_refuse(seen.listing, seen.unreadable, strict=strict)
    except DataError as error:
        yield Finding("unreadable", "error", str(error))
        return
    named = _lines(f"{file.path}: {file.reason}" for file in skipped)
    yield Finding(
        "unreadable", "warning", f"{_files(len(skipped))} will be left out; mend or remove{named}"
    )


def _duplicates(seen: Seen) -> Iterable[Finding]:
    """Exact copies in two splits, and copies in train with two labels."""
    same: dict[bytes, list[int]] = defaultdict(list)
    for row in sorted(seen.digests):
        same[seen.digests[row]].append(row)
    copies = [rows for rows in same.values() if len(rows) > 1]
    listing = seen.listing
    across: list[str] = []
    contrary: list[str] = []
    for rows in copies:
        first = next((row for row in rows if listing.splits[row] != listing.splits[rows[0]]), None)
        if first is not None:
            across.append(
                f"{listing.paths[rows[0]]} ({listing.splits[rows[0]]}) = "
                f"{listing.paths[first]} ({listing.splits[first]})"
            )
        train = [row for row in rows if listing.splits[row] == "train" and listing.labels[row] >= 0]
        other = next(
            (row for row in train if listing.labels[row] != listing.labels[train[0]]), None
        )
        if other is not None:
            names = [listing.class_names[listing.labels[row]] for row in (train[0], other)]
            contrary.append(
                f"{listing.paths[train[0]]} ({names[0]}) = {listing.paths[other]} ({names[1]})"
            )
    if across:
        yield Finding(
            "duplicates_across_splits",
            "warning",
            f"{_images(len(across))} in more than one split, byte for byte: what is measured on"
            f" them was seen in training; keep each in one split{_lines(across)}",
        )
    if contrary:
        yield Finding(
            "duplicates_with_other_label",
            "warning",
            f"{_images(len(contrary))} in train under two classes, byte for byte; keep the right "
            f"one{_lines(contrary)}",
        )


def _classes(seen: Seen) -> Iterable[Finding]:
    counts = list(zip(seen.listing.class_names, seen.facts(side=1).class_counts, strict=True))
    if not counts:
        text = (
            "no labels: class folders would give them; methods that need labels, and probes,"
            " cannot run"
        )
        yield Finding("no_labels", "note", text)
        return
    if len(counts) == 1:
        text = (
            f"one class only ({counts[0][0]}): methods that need labels have nothing to tell apart"
        )
        yield Finding("one_class", "warning", text)
    if few := [f"{name}: {count}" for name, count in counts if count < 2]:
        text = (
            f"{_amount(len(few), 'class', 'classes')} with a single training image or none, which"
            f" no other image can be a positive of; add images or leave the class out{_lines(few)}"
        )
        yield Finding("single_sample_class", "warning", text)
    small = min(counts, key=lambda item: item[1])
    large = max(counts, key=lambda item: item[1])
    ratio = large[1] / max(small[1], 1)
    if ratio >= _UNEVEN:
        text = (
            f"{large[0]} has {ratio:.1f} times as many training images as {small[0]} "
            f"({large[1]:,} against {small[1]:,}); look at the balanced accuracy, too"
        )
        yield Finding("imbalance", "warning" if ratio >= _BALANCE else "note", text)
    if ratio >= _BALANCE:
        text = (
            f"class-balanced batches are advised, with classes {ratio:.1f} times as large as"
            " others: "
        )
        yield Finding("balanced_advised", "note", text + "--set data.balanced=true")


def _similar_names(names: Sequence[str]) -> Iterable[Finding]:
    """Classes that are probably one."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[name.strip().casefold()].append(name)
    if same := [" = ".join(f'"{name}"' for name in some) for some in alike.values() if some[1:]]:
        text = (
            "classes whose names differ only by case or outer blanks; if they are one class, put"
            f" their images into one folder{_lines(same)}"
        )
        yield Finding("similar_class_names", "warning", text)


def thin_splits(facts: DataFacts) -> Iterable[Finding]:
    """Validation and test splits that lack a class, or nearly so."""
    for split, counts in (("validation", facts.val_counts), ("test", facts.test_counts)):
        few = [
            f"{name}: {count}"
            for name, count in zip(facts.class_names, counts, strict=bool(counts))
            if count < _FEWEST
        ]
        if few and sum(counts):
            named = ", ".join(few[:10]) + (", ..." if len(few) > 10 else "")
            text = (
                f"{split} has fewer than {_FEWEST} images of"
                f" {_amount(len(few), 'class', 'classes')} ({named}), so what is measured there"
                " says little of them; put more images of them there (where splits are not given,"
                " 30 images of a class leave five in each)"
            )
            yield Finding("thin_split", "warning", text)


def _counts(seen: Seen) -> Iterable[Finding]:
    """One line a split, in files as listed."""
    listing = seen.listing
    lines = []
    for split in SPLITS:
        rows = listing.splits == split
        if not rows.any():
            continue
        labels = listing.labels[rows]
        each = np.bincount(labels[labels >= 0], minlength=len(listing.class_names)).tolist()
        classes = f": {_by_class(listing.class_names, each)}" if (labels >= 0).any() else ""
        lines.append(f"{split} {rows.sum():,} ({_origin(listing, split)}){classes}")
    head = f"{_images(len(listing))}, {_amount(len(listing.class_names), 'class', 'classes')}"
    yield Finding("counts", "note", head + _lines(lines))


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


def _to_predict(seen: Seen) -> Iterable[Finding]:
    left = [seen.listing.paths[row] for row in np.flatnonzero(seen.listing.splits == "predict")]
    if left:
        text = (
            f"{_images(len(left))} in a val or test folder without class folders, so without"
            " labels: left to predict and embed; class folders there would make them what is"
            f" measured on{_lines(left, at_most=3)}"
        )
        yield Finding("left_to_predict", "note", text)


def _by_class(names: Sequence[str], counts: Sequence[int]) -> str:
    pairs = sorted(zip(counts, names, strict=True))
    if len(pairs) <= 12:
        return ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True))
    return f"from {pairs[0][0]:,} ({pairs[0][1]}) to {pairs[-1][0]:,} ({pairs[-1][1]}) a class"


def _sizes(seen: Seen) -> Iterable[Finding]:
    if not len(seen.sizes):
        return
    low, high = seen.sizes.min(axis=0), seen.sizes.max(axis=0)
    if (low == high).all():
        yield Finding("sizes", "note", f"every image is {low[0]}×{low[1]} px (width × height)")
        return
    middle = np.median(seen.sizes, axis=0).astype(int)
    text = (
        f"images are {low[0]}–{high[0]} px wide, {low[1]}–{high[1]} px high, median"
        f" {middle[0]}×{middle[1]}"
    )
    yield Finding("sizes", "note", text)


def _linked(seen: Seen) -> Iterable[Finding]:
    if linked := seen.listing.linked:
        many = _amount(len(linked), "folder is", "folders are")
        text = f"{many} reached twice; each is read where it lies, and the link left out"
        yield Finding("reached_twice", "warning", text + _lines(linked))


def _ignored(seen: Seen) -> Iterable[Finding]:
    ignored = seen.listing.ignored
    if tables := [path for path in ignored if path.lower().endswith((".csv", ".tsv"))]:
        text = (
            f"labels in a table are not read ({', '.join(tables[:3])}): put the images into a"
            " folder for each class"
        )
        yield Finding("table_not_read", "note", text)
    if ignored:
        text = f"{_files(len(ignored))} beside the images not looked at"
        yield Finding("ignored_files", "note", text + _lines(ignored))


def _amount(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _files(count: int) -> str:
    return _amount(count, "file", "files")


def _images(count: int) -> str:
    return _amount(count, "image", "images")


def _lines(items: Iterable[str], at_most: int = 10) -> str:
    """Indented lines to follow a sentence, the first ten of them."""
    every = list(items)
    more = [f"... and {len(every) - at_most} more"] if len(every) > at_most else []
    return "".join(f"\n  {item}" for item in [*every[:at_most], *more])
