"""How many training images each class has, and how many of it an epoch draws, as bars in plain SVG
geometry.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.report.formats import spoken_list
from nearfar.report.groups import Findings, Group, settings

UNEVEN = 1.5  # largest over smallest class, from which the sizes are shown
LABELED = 30  # classes whose names still fit
WIDTH, LEFT, RIGHT = 640, 150, 60
_ROW, _LOW_ROW = 20, 3  # px of a class, with its name and without


@dataclass(frozen=True)
class Bar:
    name: str  # shortened
    title: str
    y: float
    images: float  # px from LEFT
    drawn: float | None  # likewise, of an epoch; None: it passes over all images
    text: str


@dataclass(frozen=True)
class ClassSizes:
    bars: tuple[Bar, ...]  # the largest class first
    height: int
    thick: float  # of a bar, px
    labeled: bool
    summary: str  # for those who do not see it
    caption: str
    width: int = WIDTH
    left: int = LEFT


def class_sizes(found: Findings) -> ClassSizes | None:
    """None where they are not known, or all alike and drawn alike."""
    group = next((one for one in found.groups if _draws(one)), found.groups[0])
    data, draws = group.first.results.data, _draws(group)
    counts, names = data.class_counts, data.classes
    if not found.same_data or len(counts) < 2 or len(counts) != len(names):
        return None
    if not draws and max(counts) < UNEVEN * max(min(counts), 1):
        return None
    order = sorted(range(len(counts)), key=lambda c: -counts[c])
    labeled = len(counts) <= LABELED
    row = _ROW if labeled else _LOW_ROW
    most = max(*counts, *draws, 1)

    def px(value: float) -> float:
        return round(value / most * (WIDTH - LEFT - RIGHT), 1)

    bars = tuple(
        Bar(
            name=_short(names[c]),
            title=_title(names[c], counts[c], draws[c] if draws else None),
            y=place * row + 2,
            images=px(counts[c]),
            drawn=px(draws[c]) if draws else None,
            text=f"{counts[c]:,}",
        )
        for place, c in enumerate(order)
    )
    return ClassSizes(
        bars=bars,
        height=row * len(bars) + 4,
        thick=row - 6 if labeled else row - 1,
        labeled=labeled,
        summary="; ".join(bar.title for bar in bars[:LABELED]),
        caption=_caption(found, group, counts),
    )


def _draws(group: Group) -> Sequence[float]:
    return group.first.results.train.class_draws


def _title(name: str, count: int, drawn: float | None) -> str:
    after = "" if drawn is None else f", {drawn:,.0f} drawn in an epoch"
    return f"{name}: {count:,} training images{after}"


def _caption(found: Findings, group: Group, counts: Sequence[int]) -> str:
    large, small = max(counts), min(counts)
    said = f"Labeled training images; the largest class has {large:,}, the smallest {small:,}."
    if not _draws(group):
        return said
    data = settings(group.first.config).get("data", {})
    who = spoken_list([one.label for one in found.groups if _draws(one)])
    how = f"data.sampling = {data.get('sampling')}"
    return f"{said} Outlined: how many of them an epoch of {who} draws on average, by {how}."


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
