"""The doctor of data: what a person should know about a source before training on it.

Severities: an error stops training, a warning makes its numbers doubtful, a note is worth knowing.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.core.types import DataFacts
from nearfar.data.bars import class_bars
from nearfar.data.findings import Finding, amount, files, images, lines, of_listing
from nearfar.data.listing import Listing
from nearfar.data.looking import Seen, look
from nearfar.data.reading import skip_or_refuse
from nearfar.data.repeated import of_another, of_copies, of_groups, of_near_copies

_UNEVEN = 1.5  # largest over smallest class, from which it is mentioned
_BALANCE = 3.0  # from which balanced batches are advised
_FEW_LEVELS = 24  # of 255 grays between darkest and lightest: hardly anything is seen
_FEWEST = 5  # images of a class by which it can be measured


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
        *of_copies(seen),
        *of_near_copies(seen),
        *of_groups(seen),
        *of_another(seen),
        *_classes(seen),
        *thin_splits(seen.facts(side=1)),
        *_sizes(seen),
        *_nearly_empty_histograms(seen),
    ]


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
        bars = class_bars([name for name, _ in counts], [count for _, count in counts])
        text = "images of each class in an epoch, as they are and by data.sampling"
        yield Finding("class_sizes", "note", text + "".join(f"\n  {line}" for line in bars))
    if ratio >= _BALANCE:
        text = (
            f"class-balanced batches are advised, with classes {ratio:.1f} times as large as"
            " others: "
        )
        yield Finding("balanced_advised", "note", text + "--set data.sampling=balanced")


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


def _nearly_empty_histograms(seen: Seen) -> Iterable[Finding]:
    few = seen.rows[seen.levels < _FEW_LEVELS]
    if not len(few):
        return
    text = (
        f"{len(few):,} of {images(len(seen.rows))} use fewer than {_FEW_LEVELS} of 256 gray values"
        " from the darkest to the lightest, so hardly anything is seen; brighten them, or take them"
        " out (of 16-bit gray the brightest of the set says what is white)"
    )
    severity: Literal["warning", "note"] = "warning" if len(few) > 0.1 * len(seen.rows) else "note"
    named = lines((seen.listing.paths[row] for row in few.tolist()), at_most=3)
    yield Finding("nearly_empty_histograms", severity, text + named)
