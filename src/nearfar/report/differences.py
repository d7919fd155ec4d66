"""The differences between methods: sentences while they are few, a triangle of figures beyond
that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.report.formats import apart, headed, signed
from nearfar.report.groups import Findings
from nearfar.run_folder.comparison import Difference, TableEntry
from nearfar.run_folder.records import UNTRAINED, Unit

MOST_SENTENCES = 10  # four methods and the encoder before training


@dataclass(frozen=True)
class Cell:
    text: str  # "+2.1": by how much the row is better than the column
    larger: bool  # than the seeds' noise
    title: str


@dataclass(frozen=True)
class Triangle:
    """The better of two methods is the row, the other the column."""

    names: tuple[str, ...]  # best first; rows are all but the last, columns all but the first
    rows: tuple[tuple[Cell | None, ...], ...]
    pairs: int
    judged: int  # of the pairs: how many have seeds enough to be told from noise
    larger: int  # of the pairs: how many differ by more than the seeds' noise
    what: str  # "how many points of the linear probe"


@dataclass(frozen=True)
class Differences:
    sentences: tuple[str, ...] = ()
    triangle: Triangle | None = None


def differences(found: Findings) -> Differences:
    """What compare.json says of each pair on the number that methods are judged by."""
    compared = [c for c in found.comparisons if c.name == found.judged_by.name]
    known = [c for c in compared if c.difference is not None]
    if len(compared) <= MOST_SENTENCES or len(known) < len(compared):
        unit = _judged(found).unit
        return Differences(tuple(line for c in compared if (line := _sentence(c, unit))))
    return Differences(triangle=_triangle(found, known))


def _sentence(c: Difference, unit: Unit) -> str:
    """Its own words where it has some."""
    if c.text or c.difference is None:
        return c.text
    noise = {True: "larger than", False: "no larger than", None: "not to be told from"}[
        c.larger_than_noise
    ]
    sign = "above" if c.difference >= 0 else "below"
    return f"{c.a} is {apart(c.difference, unit)} {sign} {c.b}: {noise} the seeds’ noise."


def _judged(found: Findings) -> TableEntry:
    """An entry of the number that methods are judged by, for its title, unit and better."""
    name = found.judged_by.name
    entries = [entry for entry in found.table if entry.name == name]
    nothing = TableEntry(method=UNTRAINED, name=name, title=name, unit="fraction", better=None)
    return entries[0] if entries else nothing


def _triangle(found: Findings, known: Sequence[Difference]) -> Triangle:
    by = {frozenset((c.a, c.b)): c for c in known}
    # equal scores keep this order
    compared = dict.fromkeys([*(c.a for c in known), *(c.b for c in known)])
    names = found.ranked(list(compared))
    like = _judged(found)
    rows = tuple(
        tuple(
            _cell(by.get(frozenset((better, worse))), better, like) if at < column else None
            for column, worse in enumerate(names[1:], start=1)
        )
        for at, better in enumerate(names[:-1])
    )
    judged = [c for c in known if c.larger_than_noise is not None]
    return Triangle(
        tuple(found.start.title if name == UNTRAINED else name for name in names),
        rows,
        len(known),
        len(judged),
        sum(c.larger_than_noise is True for c in judged),
        f"how many points of the {like.title}"
        if like.unit == "fraction"
        else f"how much of the {headed(like.title, like.unit)},",
    )


def _cell(c: Difference | None, better: str, like: TableEntry) -> Cell | None:
    if c is None or c.difference is None:
        return None
    difference = c.difference if c.a == better else -c.difference
    return Cell(signed(difference, like.unit), c.larger_than_noise is True, c.text)
