"""Images that belong together, and so on one side of a cut: copies, and what paths name.

A group is the number of its first row; an image that belongs to no other is a group of its own.
n: images.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.data.listing import Listing
from nearfar.data.near import gray_picture, near_copies

NEAR = "near"  # what data.group_by is for near copies
Groups = Int64[np.ndarray, " n"]


def cut_by_paths(listing: Listing, group_by: str | None) -> Listing:
    """Cut around what paths name, where `group_by` is about them: all that can be known before an
    image is decoded. DataError: it is found in none.
    """
    if group_by is None or group_by == NEAR:
        return listing
    return listing.cut_around(with_named(named_in_paths(listing.paths, group_by), listing))


def with_named(groups: Groups, listing: Listing) -> Groups:
    """Joined with those that a table names."""
    return groups if listing.groups is None else joined(groups, listing.groups)


def grouped(
    equal: Groups,
    images: UInt8[np.ndarray, "n side side 3"],
    sizes_px: Int64[np.ndarray, "n 2"],
    paths: Sequence[str],
    group_by: str | None,
    progress: Progress,
) -> Groups:
    """What copies (`equal`) and `group_by` hold together: NEAR, or a regular expression for
    paths.
    """
    if group_by is None:
        return equal
    if group_by != NEAR:
        return joined(equal, named_in_paths(paths, group_by))
    different = np.unique(equal)
    pictures = np.stack([gray_picture(images[row]) for row in different])
    found = near_copies(pictures, sizes_px[different], progress)
    return joined(equal, of_pairs(different[found.pairs], len(equal)))


def copies(
    images: UInt8[np.ndarray, "n side side 3"], sizes_px: Int64[np.ndarray, "n 2"]
) -> Groups:
    """Images of equal content: all stored pixels, and the true size. Files of equal bytes are among
    them; a large JPEG and a PNG made of it are not.
    """
    return of_equal(digest(size, pixels) for size, pixels in zip(sizes_px, images, strict=True))


def digest(*arrays: Shaped[np.ndarray, "..."]) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(array.tobytes())
    return found.digest()


def of_equal(keys: Iterable[object]) -> Groups:
    """A group for each key."""
    first: dict[object, int] = {}
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], dtype=np.int64)


def named_in_paths(paths: Sequence[str], pattern: str) -> Groups:
    """Groups by what the regular expression finds in each path: its first group, or all of it.

    DataError: it is none, or finds nothing in any path.
    """
    try:
        found = [re.search(pattern, path) for path in paths]
    except re.error as error:
        raise DataError(
            f'--group-by: want near or a regular expression, got "{pattern}" ({error})'
        ) from error
    if paths and not any(found):
        raise DataError(
            f"--group-by: {pattern} is found in none of {len(paths):,} paths, such as {paths[0]}"
        )
    return of_equal(
        row if match is None else match[1 if match.re.groups and match[1] is not None else 0]
        for row, match in enumerate(found)
    )


def of_pairs(pairs: Int64[np.ndarray, "pair 2"], n: int) -> Groups:
    """Groups of rows that pairs connect, one way or another."""
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, group = connected_components(edges, directed=False)
    _, first, each = np.unique(group, return_index=True, return_inverse=True)
    return first[each].astype(np.int64)


def joined(*groupings: Groups) -> Groups:
    """Groups of what any of the groupings holds together."""
    n = len(groupings[0])
    rows = np.arange(n)
    pairs = np.concatenate([np.stack([rows, groups], axis=1) for groups in groupings])
    return of_pairs(pairs, n)


def has_one_in(
    groups: Groups, splits: Shaped[np.ndarray, " n"], among: Sequence[str]
) -> Bool[np.ndarray, " n"]:
    """Of which images the group has a member in one of the splits."""
    return np.isin(groups, groups[np.isin(splits, among)])
