"""Learning curves as plain SVG geometry: no script, so they print and need nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from nearfar.report import meanings
from nearfar.report.groups import Group
from nearfar.report.read import Run
from nearfar.run_folder.records import EpochMetrics

WIDTH, HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 30

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    at: float  # px
    text: str


@dataclass(frozen=True)
class Line:
    points: str  # as an SVG polyline wants them
    dots: tuple[Point, ...]  # px; only where a line would hide that there are few points
    title: str


@dataclass(frozen=True)
class Chart:
    label: str
    summary: str  # for those who do not see it
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    dashed: float | None  # px
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Curves:
    """Loss, validation kNN, the online probe, the classifier stage and the doctor's monitors of one
    method, seeds as thin lines.
    """

    label: str
    loss: Chart | None
    knn: Chart | None
    online_probe: Chart | None = None
    classifier: Chart | None = None
    monitors: tuple[tuple[str, str, Chart], ...] = ()  # with title and meaning

    @property
    def drawn(self) -> list[str]:
        """What of `meanings.CURVES` is to be seen."""
        found = [name for name in meanings.CURVES if getattr(self, name, None) is not None]
        dashed = self.loss is not None and self.loss.dashed is not None
        return [*found, *(["chance"] if dashed else [])]


_MONITORS: tuple[tuple[str, str, Callable[[EpochMetrics], float | None]], ...] = (
    (
        "Effective rank of the representation",
        meanings.EFFECTIVE_RANK,
        lambda epoch: epoch.effective_rank,
    ),
    ("Alignment", meanings.ALIGNMENT, lambda epoch: epoch.alignment),
    ("Uniformity", meanings.UNIFORMITY, lambda epoch: epoch.uniformity),
    ("Age of the queue", meanings.QUEUE_AGE, lambda epoch: epoch.queue_age),
)


def learning_curves(groups: Sequence[Group]) -> list[Curves]:
    """Loss on each method's own scale (losses do not compare); kNN on one scale for all."""
    knn = [value for group in groups for _, points in _series(group, _knn) for _, value in points]
    knn_range = _padded(knn) if knn else (0.0, 1.0)
    curves = []
    for group in groups:
        loss = _series(group, _loss)
        chance = next(
            (e.chance for run in group.runs for e in run.metrics if _finite(e.chance)), None
        )
        around = [y for _, points in loss for _, y in points] + (
            [chance] if chance is not None else []
        )
        accuracy = _series(group, _knn)
        xs = [x for _, points in loss + accuracy for x, _ in points]
        epochs = (min(xs), max(xs)) if xs else (0.0, 1.0)
        curves.append(
            Curves(
                group.label,
                _chart(f"loss of {group.label}", loss, _padded(around), epochs, dashed=chance)
                if loss
                else None,
                _chart(
                    f"validation kNN of {group.label}", accuracy, knn_range, epochs, percent=True
                )
                if accuracy
                else None,
                _online_probe(group, epochs),
                _classifier(group),
                tuple(_monitors(group, epochs)),
            )
        )
    return [c for c in curves if c.loss is not None or c.knn is not None]


def _online_probe(group: Group, epochs: Point) -> Chart | None:
    series = _series(group, lambda epoch: epoch.online_probe)
    if not series:
        return None
    values = [y for _, points in series for _, y in points]
    return _chart(
        f"online probe on training views of {group.label}",
        series,
        _padded(values),
        epochs,
        percent=True,
    )


def _classifier(group: Group) -> Chart | None:
    """Over the stage's own epochs."""
    series = _series(group, lambda epoch: epoch.classifier_val, lambda run: run.classifier)
    if not series:
        return None
    xs, values = zip(*(point for _, points in series for point in points), strict=True)
    label = f"validation accuracy of the classifier stage of {group.label}"
    return _chart(label, series, _padded(values), (min(xs), max(xs)), percent=True)


def _monitors(group: Group, epochs: Point) -> Iterator[tuple[str, str, Chart]]:
    for title, meaning, get in _MONITORS:
        if series := _series(group, get):
            values = [y for _, points in series for _, y in points]
            chart = _chart(f"{title}, {group.label}", series, _padded(values), epochs)
            yield title, meaning, chart


def _loss(epoch: EpochMetrics) -> float | None:
    return epoch.loss


def _knn(epoch: EpochMetrics) -> float | None:
    return epoch.knn_val


def _finite(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _series(
    group: Group,
    get: Callable[[EpochMetrics], float | None],
    rows: Callable[[Run], Sequence[EpochMetrics]] = lambda run: run.metrics,
) -> list[tuple[str, list[Point]]]:
    series = []
    for run in group.runs:
        points = [
            (float(e.epoch), v) for e in rows(run) if (v := get(e)) is not None and isfinite(v)
        ]
        if points:
            series.append((f"seed {run.results.seed}", points))
    return series


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or max(abs(high) * 0.05, 1e-6)
    return low - pad, high + pad


def _chart(
    label: str,
    series: Sequence[tuple[str, list[Point]]],
    y_range: tuple[float, float],
    x_range: tuple[float, float],
    *,
    dashed: float | None = None,
    percent: bool = False,
) -> Chart:
    first, last = x_range
    low, high = y_range

    def x_px(x: float) -> float:
        share = (x - first) / (last - first) if last > first else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y_px(y: float) -> float:
        return round(HEIGHT - _BOTTOM - (y - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)

    def text(y: float, step: float) -> str:
        digits = max(0, -floor(log10(step) + 1e-9))
        return f"{100 * y:.{max(0, digits - 2)}f} %" if percent else f"{y:.{digits}f}"

    lines = tuple(
        Line(
            " ".join(f"{x_px(x)},{y_px(y)}" for x, y in points),
            tuple((x_px(x), y_px(y)) for x, y in points) if len(points) <= 15 else (),
            f"{name}: {text(points[0][1], 0.001)} → {text(points[-1][1], 0.001)}",
        )
        for name, points in series
    )
    step = _step(low, high, 4)
    y_ticks = tuple(Tick(y_px(y), text(y, step)) for y in _multiples(low, high, step))
    x_step = max(1.0, _step(first, max(last, first + 1), 5))
    x_ticks = tuple(Tick(x_px(x), f"{x:.0f}") for x in _multiples(first, last, x_step))
    summary = f"{label}, by epoch; " + "; ".join(line.title for line in lines)
    if dashed is not None:
        summary += f"; chance level {dashed:.3f}"
    return Chart(
        label, summary, x_ticks, y_ticks, lines, y_px(dashed) if dashed is not None else None
    )


def _step(low: float, high: float, count: int) -> float:
    """The round step (1, 2 or 5 times a power of ten) that gives about `count` ticks."""
    rough = (high - low) / count
    power: float = 10.0 ** floor(log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)


def _multiples(low: float, high: float, step: float) -> list[float]:
    return [i * step for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]
