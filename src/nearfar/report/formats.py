"""Numbers as a reader wants them, by their unit."""

from collections.abc import Mapping
from math import isfinite

from nearfar.run_folder.records import Unit

MISSING = "–"

_WORDS: Mapping[Unit, str] = {"fraction": "%", "nats": "nats"}  # of the others the figure says it


def figure(value: float | None, unit: Unit, sd: float | None = None) -> str:
    """0.992, 0.003 → "99.2 ± 0.3"; the word for the unit stands elsewhere, but for seconds and
    bytes.
    """
    if value is None or not isfinite(value):
        return MISSING
    match unit:
        case "fraction":
            text = f"{100 * value:.1f}"
        case "nats":
            text = f"{value:.3f}"
        case "count":
            text = f"{value:,.0f}"
        case "ratio":
            text = f"{value:.2f}"
        case "seconds":
            text = seconds(value)
        case "bytes":
            text = memory(value)
    return text if sd is None else f"{text} ± {figure(sd, unit)}"


def quantity(value: float | None, unit: Unit, sd: float | None = None) -> str:
    """0.992, 0.003 → "99.2 ± 0.3 %"; 0.41 in nats → "0.410 nats"."""
    text = figure(value, unit, sd)
    return text if text == MISSING else f"{text} {_WORDS.get(unit, '')}".rstrip()


def interval(ends: tuple[float, float], unit: Unit, *, word: bool = False) -> str:
    """0.972, 0.996 → "97.2–99.6"; with its `word` "97.2–99.6 %"."""
    low, high = ends
    return f"{figure(low, unit)}–{quantity(high, unit) if word else figure(high, unit)}"


def headed(title: str, unit: Unit) -> str:
    """ "kNN" → "kNN, %": above a column of figures."""
    return f"{title}, {_WORDS[unit]}" if unit in _WORDS else title


def apart(difference: float, unit: Unit) -> str:
    """0.006 → "0.6 percentage points", without its sign; other units are their own."""
    if unit != "fraction":
        return quantity(abs(difference), unit)
    text = figure(abs(difference), unit)
    return f"{text} percentage point{'s' if text != '1.0' else ''}"


def signed(difference: float, unit: Unit) -> str:
    """−0.002 → "−0.2", with a true minus, and no sign where it rounds to nothing; the unit,
    percentage points for a fraction, stands beside it.
    """
    text = figure(abs(difference), unit)
    if not any(digit in text for digit in "123456789"):
        return text
    return f"−{text}" if difference < 0 else f"+{text}"


def signed_figure(difference: float, unit: Unit) -> str:
    """−0.0123 → "-1.2", as a terminal shows it."""
    text = figure(abs(difference), unit)
    return f"-{text}" if difference < 0 else f"+{text}"


def difference_text(difference: float, unit: Unit) -> str:
    """0.0123 → "+1.2 points"; other units are their own."""
    word = "points" if unit == "fraction" else _WORDS.get(unit, "")
    return f"{signed_figure(difference, unit)} {word}".rstrip()


def capitalized(title: str) -> str:
    """ "linear probe" → "Linear probe"; "kNN" stays as it is."""
    first = title.partition(" ")[0]
    return title if first != first.lower() else title[:1].upper() + title[1:]


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.9861 → "98.6"; the unit stands beside it."""
    return MISSING if fraction is None or not isfinite(fraction) else f"{100 * fraction:.{digits}f}"


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
    found = _of_each({method: plural(n, "image") for method, n in images.items()})
    return f"trained on {', '.join(found)}" if len(found) > 1 else ""


def batches_of_each(batches: Mapping[str, int]) -> str:
    """ "batches of 4 (cross_entropy), 8 (supcon)"; "batches of 8" where all are equal."""
    found = _of_each({method: str(n) for method, n in batches.items()})
    return f"batches of {', '.join(found) if len(found) > 1 else next(iter(batches.values()))}"


def epochs_of_each(epochs: Mapping[str, int]) -> str:
    """ "10 epochs (supcon-cassava), 20 epochs (ce-cassava)"; nothing where all are equal."""
    found = _of_each({name: plural(n, "epoch") for name, n in epochs.items()})
    return ", ".join(found) if len(found) > 1 else ""


def _of_each(texts: Mapping[str, str]) -> list[str]:
    """ "38 images (cross_entropy)", "68 images (supcon, simclr)": what methods share, with them."""
    methods: dict[str, list[str]] = {}
    for method, text in texts.items():
        methods.setdefault(text, []).append(method)
    return [f"{text} ({', '.join(names)})" for text, names in methods.items()]
