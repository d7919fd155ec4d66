"""The worst mistakes: wrong predictions that the probe was surest of, as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.report.groups import Group
from nearfar.report.sheet import Sheet

SHOWN = 12


@dataclass(frozen=True)
class Mistake:
    tile: int
    path: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Mistakes:
    """Of one run; `first` is its method's first."""

    label: str
    seed: int
    first: bool
    total: int  # wrong among `judged`
    judged: int
    shown: tuple[Mistake, ...]


def worst_mistakes(groups: Sequence[Group], sheet: Sheet) -> list[Mistakes]:
    """One list a run whose test rows carry labels and predictions."""
    lists = []
    for group in groups:
        first = True
        for run in group.runs:
            rows, classes = run.rows, run.results.data.classes
            if rows is None or not (
                judged := int(((rows.labels >= 0) & (rows.predictions >= 0)).sum())
            ):
                continue
            wrong = rows.worst_mistakes(len(rows))
            shown = tuple(
                Mistake(
                    sheet.add(rows.thumbnails[i]),
                    str(rows.paths[i]),
                    classes[int(rows.labels[i])],
                    classes[int(rows.predictions[i])],
                    float(rows.confidence[i]),
                )
                for i in wrong[:SHOWN]
            )
            lists.append(Mistakes(group.label, run.results.seed, first, len(wrong), judged, shown))
            first = False
    return lists
