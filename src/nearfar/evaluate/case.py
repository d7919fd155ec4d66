"""A run before the doctor: its rows, what else is known of it, and which rows may be judged.

Pure numbers, no torch. Slow illnesses are judged after the warm-up, once 50 steps in 3 epochs (or
500 in fewer) have shown them, by every epoch of the latter half: no run of a few steps gets a
verdict.

Without an update the rank moved by .3 % between a run's halves (views differ), in the slowest
healthy run by 12 %.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import mean

from nearfar.run_folder.records import Measurement, Severity, Stopped, Verdict

Row = Mapping[str, float]

SETTLED_STEPS, SETTLED_EPOCHS, LONG_EPOCHS_STEPS = 50, 3, 500
UNMOVED = 0.01  # of a mean, between both halves of a run
AT_CHANCE = 0.002  # of the chance level, below it


@dataclass(frozen=True)
class Facts:
    """What is known of a run beside its rows; None where it is not."""

    method: str
    labeled: bool = True  # whether the method learns from labels
    width: int | None = None  # of the representation
    rows_a_step: int | None = None  # images times views
    lr: float | None = None
    temperature: float | None = None
    warmup_epochs: float = 0.0
    stopped: Stopped | None = None
    epochs: int | None = None  # that the run was planned to have
    policy: str | None = None  # of its views, where it has a name
    pretrained: bool = False  # whether it began from given weights
    start: Measurement | None = None  # what it is judged by, before training
    end: Measurement | None = None  # and after it


def verdict(
    code: str, severity: Severity, since_epoch: int, found: str, advice: str = ""
) -> Verdict:
    """`found` without a full stop, `advice` a sentence."""
    text = f"{found}. {advice}" if advice else found
    return Verdict(code=code, severity=severity, since_epoch=since_epoch, text=text, advice=advice)


class Case:
    """A run before the judge. `settled`: the rows by which slow illnesses are judged, [] while they
    are too few.
    """

    def __init__(self, rows: Sequence[Row], facts: Facts) -> None:
        self.rows = rows
        self.facts = facts
        warmed = [row for row in rows if epoch_of(row) > facts.warmup_epochs]
        enough = SETTLED_STEPS if len(warmed) >= SETTLED_EPOCHS else LONG_EPOCHS_STEPS
        shown = bool(warmed) and warmed[-1].get("step", 0) >= enough
        self.settled = (
            warmed[-max(min(SETTLED_EPOCHS, len(warmed)), len(warmed) // 2) :] if shown else []
        )

    @property
    def last(self) -> Row:
        return self.rows[-1]

    def since(self, ill: Callable[[Row], bool]) -> int:
        """The epoch since which every row is ill; 0 where the last is not."""
        suffix = list(takewhile(ill, reversed(self.rows)))
        return epoch_of(suffix[-1]) if suffix else 0

    def throughout(self, ill: Callable[[Row], bool]) -> int:
        """`since`, where all settled rows are ill; else 0."""
        return self.since(ill) if all(ill(row) for row in self.settled) else 0

    def moves(self) -> bool:
        """Whether the latter half differs by more than views do. A loss that rises says nothing: a
        queue fills.
        """
        for name in ("loss", "effective_rank", "feature_std"):
            values = [row[name] for row in self.rows if name in row]
            half = len(values) // 2
            if half < 2:
                return True
            change = mean(values[half:]) - mean(values[:half])
            if abs(change) > UNMOVED * abs(mean(values)) and not (name == "loss" and change > 0):
                return True
        return False

    @property
    def ended(self) -> bool:
        """Whether all epochs that were planned are there."""
        epochs = self.facts.epochs
        return epochs is not None and bool(self.rows) and epoch_of(self.last) >= epochs

    def more_epochs(self, times: int) -> str:
        return f"more epochs (--epochs {times * epoch_of(self.last)})"

    def higher_rate(self, times: int) -> str:
        lr = self.facts.lr
        what = "a higher learning rate"
        return f"{what} (--set optimizer.lr={times * lr:.2g}; it was {lr:.2g})" if lr else what

    def lower_rate(self, times: int = 10) -> str:
        lr = self.facts.lr
        what = "a lower learning rate"
        return f"{what} (--set optimizer.lr={lr / times:.2g})" if lr else what


def at_chance(row: Row) -> bool:
    """Whether the loss is no better than its chance level; False where no level is known."""
    return "chance" in row and row["loss"] >= (1 - AT_CHANCE) * row["chance"]


def epoch_of(row: Row) -> int:
    return int(row["epoch"])
