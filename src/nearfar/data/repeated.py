"""Findings on images that are there more than once, and on groups that should lie on one side."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64, Shaped

from nearfar.data.findings import Finding, amount, images, lines
from nearfar.data.groups import Groups, has_one_in
from nearfar.data.listing import Listing


def of_copies(
    listing: Listing, readable: Int64[np.ndarray, " row"], copies: Groups
) -> Iterable[Finding]:
    """Copies in two splits that something is measured by, and copies with two labels in whatever
    splits.
    """
    same: dict[int, list[int]] = defaultdict(list)
    for row in readable.tolist():
        same[int(copies[row])].append(row)
    across: list[str] = []
    within: list[str] = []
    contrary: list[str] = []
    for rows in same.values():
        used = [row for row in rows if listing.splits[row] != "predict"]
        pair = _differing(used, listing.splits)
        if pair and not {"val", "test"}.isdisjoint(listing.splits[used]):
            across.append(" = ".join(f"{listing.paths[r]} ({listing.splits[r]})" for r in pair))
        elif used[1:]:
            within.append(" = ".join(listing.paths[r] for r in used[:3]))
        if pair := _differing([row for row in rows if listing.labels[row] >= 0], listing.labels):
            names = (listing.class_names[listing.labels[row]] for row in pair)
            contrary.append(
                " = ".join(f"{listing.paths[r]} ({n})" for r, n in zip(pair, names, strict=True))
            )
    if across:
        of_test = _of_test(listing, readable, copies)
        yield Finding(
            "duplicates_across_splits",
            "warning",
            f"{images(len(across))} in more than one split{of_test}: what is measured on"
            f" them was seen in training; keep each in one split{lines(across)}",
        )
    if contrary:
        yield Finding(
            "duplicates_with_other_label",
            "warning",
            f"{images(len(contrary))} under two classes; keep the right one{lines(contrary)}",
        )
    if within:
        yield Finding(
            "duplicates",
            "note",
            f"{images(len(within))} there more than once, on one side of all splits{lines(within)}",
        )


def of_groups(
    listing: Listing, readable: Int64[np.ndarray, " row"], groups: Groups, group_by: str | None
) -> Iterable[Finding]:
    """How many groups there are, and whether given splits tear one apart."""
    if group_by is None:
        return
    each = groups[readable]
    together = int((np.unique(each, return_counts=True)[1] > 1).sum())
    text = f"{amount(together, 'set', 'sets')} of 2 or more images kept together by {group_by}"
    yield Finding("groups", "note", f"{text}, none on two sides of a cut that nearfar makes")
    if of_test := _of_test(listing, readable, groups, "have others of their group in train"):
        text = f"groups in more than one split{of_test}: what is measured on them is too high"
        yield Finding("groups_across_splits", "warning", text)


def _of_test(
    listing: Listing,
    readable: Int64[np.ndarray, " row"],
    groups: Groups,
    have: str = "are in train too",
) -> str:
    """How many test images have another of their group in train."""
    test = readable[listing.splits[readable] == "test"]
    count = int(has_one_in(groups, listing.splits, ["train"])[test].sum())
    return f" ({count:,} of {images(len(test))} of test {have})" if count else ""


def _differing(rows: list[int], values: Shaped[np.ndarray, " n"]) -> tuple[int, int] | None:
    """The first of `rows` and the first whose value is another."""
    return next(((rows[0], row) for row in rows if values[row] != values[rows[0]]), None)
