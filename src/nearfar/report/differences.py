"""The differences between methods: sentences while they are few, a triangle of figures beyond
that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.report.formats import points, signed
from nearfar.report.groups import UNTRAINED, Findings
from nearfar.report.table import reported_split
from nearfar.run_folder.comparison import Difference

_MAIN = "linear_probe.top1"
MOST_SENTENCES = 10  # four methods and the untrained encoder


@dataclass(frozen=True)
class Cell:
    text: str  # "+2.1": points by which the row is above the column
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


@dataclass(frozen=True)
class Differences:
    sentences: tuple[str, ...] = ()
    triangle: Triangle | None = None


def differences(found: Findings) -> Differences:
    """What compare.json says of each pair on the linear probe."""
    compared = [c for c in found.comparisons if c.name == _MAIN]
    known = [c for c in compared if c.difference is not None]
    if len(compared) <= MOST_SENTENCES or len(known) < len(compared):
        return Differences(tuple(line for line in map(_sentence, compared) if line))
    return Differences(triangle=_triangle(found, known))


def _sentence(c: Difference) -> str:
    """Its own words where it has some."""
    if c.text or c.difference is None:
        return c.text
    noise = {True: "larger than", False: "no larger than", None: "not to be told from"}[
        c.larger_than_noise
    ]
    sign = "above" if c.difference >= 0 else "below"
    return f"{c.a} is {points(c.difference)} {sign} {c.b}: {noise} the seeds’ noise."


def _triangle(found: Findings, known: Sequence[Difference]) -> Triangle:
    by = {frozenset((c.a, c.b)): c for c in known}
    # equal scores keep this order
    compared = dict.fromkeys([*(c.a for c in known), *(c.b for c in known)])
    names = sorted(compared, key=lambda name: -_score(found, name))
    rows = tuple(
        tuple(
            _cell(by.get(frozenset((better, worse))), better) if at < column else None
            for column, worse in enumerate(names[1:], start=1)
        )
        for at, better in enumerate(names[:-1])
    )
    judged = [c for c in known if c.larger_than_noise is not None]
    return Triangle(
        tuple(names),
        rows,
        len(known),
        len(judged),
        sum(c.larger_than_noise is True for c in judged),
    )


def _score(found: Findings, method: str) -> float:
    entry = found.entry(
        method, _MAIN, reported_split(found), None if method == UNTRAINED else "last"
    )
    return entry.mean if entry is not None and entry.mean is not None else 0.0


def _cell(c: Difference | None, better: str) -> Cell | None:
    if c is None or c.difference is None:
        return None
    difference = c.difference if c.a == better else -c.difference
    return Cell(signed(difference), c.larger_than_noise is True, c.text)
