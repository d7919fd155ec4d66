"""`nearfar check DATA`: pairs of images that are nearly equal, as a list and as a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nearfar.api.view_sheet import save_under_a_free_name
from nearfar.core.errors import UserError
from nearfar.data.decoding import decode, pillow_is_quiet
from nearfar.data.listing import Broken, Listing
from nearfar.data.looking import Seen
from nearfar.data.repeated import on_two_sides
from nearfar.views.pair_sheet import PAIRS, Pair, pair_sheet

_DECODED_PX = 128


@dataclass(frozen=True)
class NearPair:
    """Two images: the listing and row of each; `there` is True where the second is of the source
    that DATA is compared with.
    """

    rows: tuple[int, int]
    likeness: float
    there: bool = False


def near_pairs(seen: Seen) -> list[NearPair]:
    """Those with another source first, then those on two sides of splits."""
    found = []
    if (against := seen.against) is not None:
        pairs = zip(against.found.pairs.tolist(), against.found.likeness.tolist(), strict=True)
        found += [NearPair((a, b), like, there=True) for (a, b), like in pairs]
    if seen.near is not None:
        order = np.argsort(~on_two_sides(seen), kind="stable")
        pairs = zip(
            seen.near.pairs[order].tolist(), seen.near.likeness[order].tolist(), strict=True
        )
        found += [NearPair((a, b), like) for (a, b), like in pairs]
    return found


def as_json(seen: Seen, pairs: list[NearPair]) -> list[dict[str, Any]]:
    """Paths, splits (None of another source's image) and likeness of each pair."""
    return [
        {
            "paths": list(_paths(seen, pair)),
            "splits": [str(seen.listing.splits[pair.rows[0]]), _split(seen, pair)],
            "likeness": round(pair.likeness, 4),
        }
        for pair in pairs
    ]


def write_near_sheet(seen: Seen, pairs: list[NearPair]) -> Path | UserError:
    """The first pairs in near-copies.png (or -2, ...) in the current folder; or why not."""
    shown = pairs[:PAIRS]
    wanted: dict[int, set[int]] = {0: set(), 1: set()}
    for pair in shown:
        wanted[0].add(pair.rows[0])
        wanted[1 if pair.there else 0].add(pair.rows[1])
    here = _decoded(seen.listing, wanted[0])
    there = _decoded(seen.against.listing, wanted[1]) if seen.against is not None else {}
    drawn = [
        Pair(
            (here[pair.rows[0]], (there if pair.there else here)[pair.rows[1]]),
            (str(seen.listing.splits[pair.rows[0]]), _split(seen, pair) or "elsewhere"),
            _paths(seen, pair),
        )
        for pair in shown
    ]
    about = f"{len(shown)} of {len(pairs)} pairs, those on two sides first"
    sheet = pair_sheet(drawn, title=f"near copies in {seen.listing.name}", about=about)
    try:
        return save_under_a_free_name(sheet, "near-copies")
    except UserError as error:  # what was found is said all the same
        return error


def _paths(seen: Seen, pair: NearPair) -> tuple[str, str]:
    first, second = pair.rows
    other = seen.against.listing if pair.there and seen.against is not None else seen.listing
    return seen.listing.paths[first], other.paths[second]


def _split(seen: Seen, pair: NearPair) -> str | None:
    """Of the second image, where it is of DATA."""
    return None if pair.there else str(seen.listing.splits[pair.rows[1]])


def _decoded(listing: Listing, rows: set[int]) -> dict[int, Image.Image]:
    """In their true proportions; only these rows are decoded."""
    found: dict[int, Image.Image] = {}
    with pillow_is_quiet():
        for row, raw in listing.reader.read():
            if row not in rows:
                continue
            decoded = decode(raw, _DECODED_PX, white=listing.white)
            if isinstance(decoded, Broken):
                found[row] = Image.new("RGB", (_DECODED_PX, _DECODED_PX))
                continue
            share = _DECODED_PX / max(decoded.width, decoded.height)
            size = max(1, round(share * decoded.width)), max(1, round(share * decoded.height))
            found[row] = Image.fromarray(decoded.square).resize(size)
            if len(found) == len(rows):
                break
    return found
