"""The sizes of classes drawn as bars of text, as they are and as `data.sampling` makes them."""

from collections.abc import Sequence

from nearfar.data.sampler import Sampling

WIDTH = 14  # of the longest bar, in characters
_LONGEST_NAME = 20
_EACH_END = 8  # classes that are shown of either end, where there are many
_PARTS = " ▏▎▍▌▋▊▉█"  # of a character, in eighths


def class_bars(names: Sequence[str], counts: Sequence[int]) -> list[str]:
    """A line of headings and one a class, the largest first: how many images an epoch shows of it
    as they are, and drawn by `sqrt` and `balanced` (in as many places). Of many classes the largest
    and the smallest.
    """
    drawn = {"as they are": [float(count) for count in counts]}
    for name in ("sqrt", "balanced"):
        drawn[name] = [share * sum(counts) for share in Sampling(name).shares(counts)]
    order = sorted(range(len(counts)), key=lambda c: -counts[c])
    shown, left = order, len(order) - 2 * _EACH_END
    if left > 1:
        shown = [*order[:_EACH_END], *order[-_EACH_END:]]
    most = max(max(counts), 1)
    wide = min(max(len(names[c]) for c in shown), _LONGEST_NAME)
    number = len(f"{most:,}")
    cell = number + 1 + WIDTH

    def line(first: str, cells: Sequence[str]) -> str:
        return f"{first:{wide}}  {'  '.join(text.ljust(cell) for text in cells)}".rstrip()

    lines = [line("", list(drawn))]
    for place, c in enumerate(shown):
        if left > 1 and place == _EACH_END:
            lines.append(f"... {left:,} more ...")
        cells = [f"{values[c]:>{number},.0f} {_bar(values[c] / most)}" for values in drawn.values()]
        lines.append(line(_short(names[c]), cells))
    return lines


def _bar(share: float) -> str:
    """Of [0, 1]; whatever is more than nothing is seen."""
    eighths = max(round(8 * WIDTH * share), int(share > 0))
    return "█" * (eighths // 8) + _PARTS[eighths % 8].strip()


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
