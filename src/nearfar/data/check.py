"""The doctor of data: what a person should know about a source before training on it.

Severities: an error stops training, a warning makes its numbers doubtful, a note is worth knowing.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64, Shaped

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.core.types import DataFacts
from nearfar.data.decoding import Broken, decode, pillow_is_quiet, raw_bytes
from nearfar.data.findings import Finding, amount, files, images, lines, of_listing
from nearfar.data.listing import Listing, Raw, Unreadable, facts_of
from nearfar.data.reading import for_each_image, skip_or_refuse

_LOOK_PX = 8  # the side at which images are decoded only to see whether they can be
_UNEVEN = 1.5  # largest over smallest class, from which it is mentioned
_BALANCE = 3.0  # from which balanced batches are advised
_FEWEST = 5  # images of a class by which it can be measured


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
        *of_listing(seen.listing),
        *_duplicates(seen),
        *_classes(seen),
        *thin_splits(seen.facts(side=1)),
        *_sizes(seen),
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
    named = lines(f"{file.path}: {file.reason}" for file in skipped)
    yield Finding(
        "unreadable", "warning", f"{files(len(skipped))} will be left out; mend or remove{named}"
    )


def _duplicates(seen: Seen) -> Iterable[Finding]:
    """Exact copies in two splits, and copies with two labels in whatever splits."""
    same: dict[bytes, list[int]] = defaultdict(list)
    for row in sorted(seen.digests):
        same[seen.digests[row]].append(row)
    listing = seen.listing
    across: list[str] = []
    contrary: list[str] = []
    for rows in same.values():
        if pair := _differing(rows, listing.splits):
            across.append(" = ".join(f"{listing.paths[r]} ({listing.splits[r]})" for r in pair))
        if pair := _differing([row for row in rows if listing.labels[row] >= 0], listing.labels):
            names = (listing.class_names[listing.labels[row]] for row in pair)
            contrary.append(
                " = ".join(f"{listing.paths[r]} ({n})" for r, n in zip(pair, names, strict=True))
            )
    if across:
        yield Finding(
            "duplicates_across_splits",
            "warning",
            f"{images(len(across))} in more than one split, byte for byte: what is measured on"
            f" them was seen in training; keep each in one split{lines(across)}",
        )
    if contrary:
        yield Finding(
            "duplicates_with_other_label",
            "warning",
            f"{images(len(contrary))} under two classes, byte for byte; keep the right "
            f"one{lines(contrary)}",
        )


def _differing(rows: list[int], values: Shaped[np.ndarray, " n"]) -> tuple[int, int] | None:
    """The first of `rows` and the first whose value is another."""
    return next(((rows[0], row) for row in rows if values[row] != values[rows[0]]), None)


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
            f"{amount(len(few), 'class', 'classes')} with a single training image or none, which"
            f" no other image can be a positive of; add images or leave the class out{lines(few)}"
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
                f" {amount(len(few), 'class', 'classes')} ({named}), so what is measured there"
                " says little of them; put more images of them there (where splits are not given,"
                " 30 images of a class leave five in each)"
            )
            yield Finding("thin_split", "warning", text)


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
