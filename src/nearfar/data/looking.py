"""One pass over the images of a source, for its doctor: each decoded once, small, and compared with
the others.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Int64, UInt8

from nearfar.core.progress import Progress
from nearfar.core.types import DataFacts
from nearfar.data.decoding import decode, pillow_is_quiet
from nearfar.data.groups import (
    NEAR,
    Groups,
    digest,
    joined,
    named_in_paths,
    of_equal,
    of_pairs,
    with_named,
)
from nearfar.data.listing import Broken, Listing, Raw, Unreadable, facts_of
from nearfar.data.near import SIDE, NearCopies, gray_picture, near_copies
from nearfar.data.reading import for_each_image
from nearfar.data.rgb import White

NEAR_UP_TO = 20_000  # images, among which near copies are looked for without being asked


@dataclass(frozen=True, eq=False)
class Against:
    """Images of another source that are copies of the first one's, or nearly: pairs of a row here
    and a row there.
    """

    listing: Listing
    readable: int
    found: NearCopies


@dataclass(frozen=True, eq=False)
class Seen:
    """What the pass showed. The listing is cut around the groups."""

    listing: Listing
    rows: Int64[np.ndarray, " readable"]
    copies: Int64[np.ndarray, " listed"]  # groups of images of equal content
    near: NearCopies | None  # pairs of listed rows, the first of its copies each; None: not looked
    groups: Int64[np.ndarray, " listed"]  # copies, and what `group_by` holds together
    group_by: str | None
    sizes: Int64[np.ndarray, "readable 2"]
    unreadable: list[Unreadable]
    colored: bool  # some readable image is not gray
    levels: Int64[np.ndarray, " readable"]  # from the darkest gray to the lightest, of 255
    against: Against | None = None

    def facts(self, side: int) -> DataFacts:
        """Of the readable images, as training will find them."""
        listing, rows = self.listing, self.rows
        facts = facts_of(
            listing.name, listing.class_names, listing.labels[rows], listing.splits[rows], side
        )
        return replace(facts, colored=self.colored)

    def near_groups(self) -> Groups:
        """Groups of images that are equal or nearly so."""
        return groups_by(self.listing, self.copies, self.near, NEAR)


def groups_by(
    listing: Listing, copies: Groups, near: NearCopies | None, group_by: str | None
) -> Groups:
    """Copies, what a table and what `group_by` holds together."""
    copies = with_named(copies, listing)
    if group_by is None or (group_by == NEAR and near is None):
        return copies
    if group_by == NEAR and near is not None:
        return joined(copies, of_pairs(near.pairs, len(listing)))
    return joined(copies, named_in_paths(listing.paths, group_by))


def look(
    listing: Listing,
    progress: Progress,
    group_by: str | None = None,
    against: Listing | None = None,
) -> Seen:
    """`group_by`: as data.group_by. `against`: another source whose images are compared with these
    ones.
    """
    looked, unreadable = _pass(listing, progress)
    others = {} if against is None else _pass(against, progress)[0]
    copies = of_equal(looked[row].content if row in looked else row for row in range(len(listing)))
    rows = sorted(looked)
    near, between = None, None
    if group_by == NEAR or against is not None or len(looked) <= NEAR_UP_TO:
        near, between = _compared(looked, np.unique(copies[rows]).tolist(), others, progress)
    groups = groups_by(listing, copies, near, group_by)
    return Seen(
        listing.cut_around(groups),
        np.array(rows, dtype=np.int64),
        copies,
        near,
        groups,
        group_by,
        np.array([looked[row].size for row in rows], dtype=np.int64).reshape(-1, 2),
        unreadable,
        any(one.colored for one in looked.values()),
        np.array([int(np.ptp(looked[row].gray)) for row in rows], dtype=np.int64),
        Against(against, len(others), between) if against is not None and between else None,
    )


@dataclass(frozen=True, eq=False)
class _Looked:
    content: bytes  # equal for images of equal content
    gray: UInt8[np.ndarray, "64 64"]
    size: tuple[int, int]
    colored: bool


def _pass(listing: Listing, progress: Progress) -> tuple[dict[int, _Looked], list[Unreadable]]:
    looked: dict[int, _Looked] = {}
    unreadable: list[Unreadable] = []
    with pillow_is_quiet():
        work = partial(_examine, white=listing.white)
        for row, result in for_each_image(listing, work, progress, title="checking"):
            if isinstance(result, Broken):
                unreadable.append(Unreadable(listing.paths[row], result.reason))
            else:
                looked[row] = result
    return looked, unreadable


def _examine(raw: Raw, white: White) -> _Looked | Broken:
    result = decode(raw, SIDE, white=white)
    if isinstance(result, Broken):
        return result
    size, square = (result.width, result.height), result.square
    colored = bool((square != square[..., :1]).any())
    return _Looked(digest(np.array(size), square), gray_picture(square), size, colored)


def _compared(
    here: dict[int, _Looked], different: list[int], there: dict[int, _Looked], progress: Progress
) -> tuple[NearCopies, NearCopies]:
    """Pairs among the `different` rows here; and pairs of one of them with a row there, equal ones
    included.
    """
    rows_there = sorted(there)
    every = [*(here[row] for row in different), *(there[row] for row in rows_there)]
    if not every:
        return NearCopies.none(), NearCopies.none()
    sizes = np.array([one.size for one in every], dtype=np.int64)
    found = near_copies(np.stack([one.gray for one in every]), sizes, progress)
    number = np.array([*different, *rows_there], dtype=np.int64)
    is_here = found.pairs < len(different)
    among, between = is_here.all(axis=1), is_here[:, 0] & ~is_here[:, 1]
    of_content = {here[row].content: row for row in different}
    likeness = {
        (of_content[there[row].content], row): 1.0
        for row in rows_there
        if there[row].content in of_content
    }
    near = zip(number[found.pairs[between]].tolist(), found.likeness[between], strict=True)
    for (one, other), like in near:
        likeness.setdefault((one, other), float(like))
    pairs = np.array(list(likeness), dtype=np.int64).reshape(-1, 2)
    return (
        NearCopies(number[found.pairs[among]], found.likeness[among]),
        NearCopies(pairs, np.array(list(likeness.values()))),
    )
