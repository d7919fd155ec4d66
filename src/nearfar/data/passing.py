"""Images that pass by and are kept nowhere, and what has to be noted of them meanwhile."""

from typing import final

import numpy as np
from jaxtyping import Shaped, UInt8

from nearfar.data.center import CenterSquare
from nearfar.data.decoding import decode, evaluation_pixels
from nearfar.data.groups import digest, of_equal
from nearfar.data.listing import Broken, Listing, Raw
from nearfar.data.store import store_side


@final
class Passing:
    """The images of a listing on their way to an encoder. Where nearfar has cut the listing, copies
    are noted as a store of the images would find them (`groups.copies`), so that `splits` are those
    of training.
    """

    def __init__(self, listing: Listing, center: CenterSquare) -> None:
        uncut = listing.uncut
        self._listing = listing
        self._center = center
        self._is_cut = uncut is not None and bool((uncut.splits != listing.splits).any())
        self._side = store_side(listing, center.size)
        self._digests: dict[int, bytes] = {}  # by row

    def look(self, row: int, raw: Raw) -> UInt8[np.ndarray, "size size 3"] | Broken:
        """Its evaluation view. Runs in threads."""
        if not self._is_cut:
            return evaluation_pixels(raw, self._center)
        made = decode(raw, self._side, self._center)
        if isinstance(made, Broken):
            return made
        size_px = np.array([made.width, made.height], dtype=np.int64)
        self._digests[row] = digest(size_px, made.square)
        # none is made where the square is read in its place
        return made.evaluated if made.evaluated.size else evaluation_pixels(raw, self._center)

    def splits(self) -> Shaped[np.ndarray, " n"]:
        """Once all have passed: cut around the copies among those that could be read."""
        if not self._is_cut:
            return self._listing.splits
        groups = np.arange(len(self._listing))
        rows = np.array(sorted(self._digests))
        groups[rows] = rows[of_equal(self._digests[row] for row in rows.tolist())]
        return self._listing.cut_around(groups).splits
