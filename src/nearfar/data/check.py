from dataclasses import dataclass
from typing import Literal

from nearfar.core.progress import Progress
from nearfar.data.listing import Listing


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the data."""

    code: str
    severity: Literal["error", "warning", "note"]
    text: str


def check(listing: Listing, progress: Progress | None = None, strict: bool = False) -> list[Finding]:
    raise NotImplementedError
