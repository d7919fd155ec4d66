"""Findings on images that are there more than once, as they are or nearly so, and on groups that
should lie on one side.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Shaped

from nearfar.data.findings import Finding, amount, images, lines
from nearfar.data.groups import NEAR, Groups, has_one_in
from nearfar.data.looking import NEAR_UP_TO, Seen
from nearfar.data.tables import group_column

_MEASURED = ("val", "test")


def of_copies(seen: Seen) -> Iterable[Finding]:
    """Copies in two splits that something is measured by, and copies with two labels in whatever
    splits.
    """
    same: dict[int, list[int]] = defaultdict(list)
    for row in seen.rows.tolist():
        same[int(seen.copies[row])].append(row)
    listing = seen.listing
    across: list[str] = []
    within: list[str] = []
    contrary: list[str] = []
    for rows in same.values():
        used = [row for row in rows if listing.splits[row] != "predict"]
        pair = _differing(used, listing.splits)
        if pair and not set(_MEASURED).isdisjoint(listing.splits[used]):
            across.append(" = ".join(f"{listing.paths[r]} ({listing.splits[r]})" for r in pair))
        elif used[1:]:
            within.append(" = ".join(listing.paths[r] for r in used[:3]))
        if pair := _differing([row for row in rows if listing.labels[row] >= 0], listing.labels):
            names = (listing.class_names[listing.labels[row]] for row in pair)
            contrary.append(
                " = ".join(f"{listing.paths[r]} ({n})" for r, n in zip(pair, names, strict=True))
            )
    if across:
        of_test = _of_test(seen, seen.copies, "are in train too")
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


def _differing(rows: list[int], values: Shaped[np.ndarray, " n"]) -> tuple[int, int] | None:
    """The first of `rows` and the first whose value is another."""
    return next(((rows[0], row) for row in rows if values[row] != values[rows[0]]), None)


def of_near_copies(seen: Seen) -> Iterable[Finding]:
    """Pairs on two sides of splits, and others."""
    if seen.near is None:
        text = f"near copies are looked for among up to {NEAR_UP_TO:,} images; for more add"
        yield Finding("near_copies_not_looked_for", "note", f"{text} --group-by {NEAR}")
        return
    splits, paths = seen.listing.splits, seen.listing.paths
    across = on_two_sides(seen)
    named = [f"{paths[a]} ({splits[a]}) ~ {paths[b]} ({splits[b]})" for a, b in seen.near.pairs]
    if across.any():
        of_test = _of_test(seen, seen.near_groups(), "have one in train")
        given = np.isin(splits[seen.near.pairs[across]], [*seen.listing.given_splits, "train"])
        offer = "" if given.all() else f"; --group-by {NEAR} cuts around them"
        yield Finding(
            "near_copies_across_splits",
            "warning",
            f"{amount(int(across.sum()), 'pair', 'pairs')} of nearly equal images on two sides of"
            f" the splits{of_test}: what is measured there was nearly seen in training{offer} (in"
            f" plain drawings different ones may fit each other: look at the pairs)"
            f"{lines(np.array(named)[across].tolist())}",
        )
    if not across.all():
        yield Finding(
            "near_copies",
            "note",
            f"{amount(int((~across).sum()), 'pair', 'pairs')} of nearly equal images on one side of"
            f" the splits{lines(np.array(named)[~across].tolist())}",
        )


def on_two_sides(seen: Seen) -> Bool[np.ndarray, " pair"]:
    """Of which pairs of near copies one is measured on, and the other lies in another split."""
    if seen.near is None:
        return np.zeros(0, dtype=bool)
    sides = seen.listing.splits[seen.near.pairs]
    used = (sides != "predict").all(axis=1) & (sides[:, 0] != sides[:, 1])
    measured = np.array(np.isin(sides, _MEASURED).any(axis=1))
    return np.array(used & measured)


def of_groups(seen: Seen) -> Iterable[Finding]:
    """How many groups there are, and whether given splits tear one apart."""
    if seen.group_by is None and seen.listing.groups is None:
        return
    by = " and ".join(filter(None, (group_column(seen.listing.source), seen.group_by)))
    together = int((np.unique(seen.groups[seen.rows], return_counts=True)[1] > 1).sum())
    text = f"{amount(together, 'set', 'sets')} of 2 or more images kept together by {by}"
    yield Finding("groups", "note", f"{text}, none on two sides of a cut that nearfar makes")
    if of_test := _of_test(seen, seen.groups, "have others of their group in train"):
        text = f"groups in more than one split{of_test}: what is measured on them is too high"
        yield Finding("groups_across_splits", "warning", text)


def _of_test(seen: Seen, groups: Groups, have: str) -> str:
    """How many test images have another of their group in train."""
    splits = seen.listing.splits
    test = seen.rows[splits[seen.rows] == "test"]
    count = int(has_one_in(groups, splits, ["train"])[test].sum())
    return f" ({count:,} of {images(len(test))} of test {have})" if count else ""


def of_another(seen: Seen) -> Iterable[Finding]:
    """Images of another source that are there, too, or nearly."""
    if (against := seen.against) is None:
        return
    pairs, splits = against.found.pairs, seen.listing.splits
    source, count = against.listing.source, len(set(pairs[:, 1].tolist()))
    head = f"{count:,} of {images(against.readable)} in {source}"
    if not count:
        yield Finding("found_in_another", "note", f"{head} are copies or near copies of any here")
        return
    trained = has_one_in(seen.copies, splits, ["train", "unlabeled"])[pairs[:, 0]]
    in_train = len(set(pairs[trained, 1].tolist()))
    named = (
        f"{against.listing.paths[there]} ~ {seen.listing.paths[here]} ({splits[here]})"
        for here, there in pairs.tolist()
    )
    text = f"{head} are copies or near copies of images here, {in_train:,} of them of train"
    yield Finding("found_in_another", "warning", text + lines(named))
