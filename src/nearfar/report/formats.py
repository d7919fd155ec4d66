"""Numbers as a reader wants them."""

from collections.abc import Mapping
from math import isfinite

MISSING = "–"


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.9861 → "98.6"; the unit stands beside it."""
    return MISSING if fraction is None or not isfinite(fraction) else f"{100 * fraction:.{digits}f}"


def accuracy(mean: float | None, sd: float | None = None) -> str:
    """0.992, 0.003 → "99.2 ± 0.3"."""
    return percent(mean) if mean is None or sd is None else f"{percent(mean)} ± {percent(sd)}"


def points(difference: float) -> str:
    """0.006 → "0.6 percentage points", without its sign."""
    text = percent(abs(difference))
    return f"{text} percentage point{'s' if text != '1.0' else ''}"


def signed(difference: float) -> str:
    """−0.002 → "−0.2", with a true minus; the unit, percentage points, stands beside it."""
    text = percent(difference)
    if text in ("0.0", "-0.0"):
        return "0.0"
    return f"−{text[1:]}" if text.startswith("-") else f"+{text}"


def seconds(value: float | None) -> str:
    if value is None or not isfinite(value):
        return MISSING
    if value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def memory(value: float | None) -> str:
    if value is None or not isfinite(value):
        return MISSING
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e3:.3g} kB"


def count(value: float | None) -> str:
    """1234567 → "1,234,567"."""
    return MISSING if value is None or not isfinite(value) else f"{value:,.0f}"


def plural(n: int, one: str, many: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def spoken_list(words: list[str]) -> str:
    """["a", "b", "c"] → "a, b and c"."""
    return (
        words[0]
        if len(words) == 1
        else ", ".join(words[:-1]) + " and " + words[-1]
        if words
        else ""
    )


def images_of_each(images: Mapping[str, int]) -> str:
    """ "trained on 38 images (cross_entropy), 68 images (supcon, simclr)"; nothing where all are
    equal.
    """
    methods: dict[int, list[str]] = {}
    for method, n in images.items():
        methods.setdefault(n, []).append(method)
    parts = [f"{plural(n, 'image')} ({', '.join(names)})" for n, names in methods.items()]
    return f"trained on {', '.join(parts)}" if len(parts) > 1 else ""
