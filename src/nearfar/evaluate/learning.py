"""Whether a run that has ended has learned enough to be compared: verdicts on its end, for the
doctor.

Thresholds come from healthy runs (digits, flowers5, CIFAR-10; conv4) and from supcon on a thousand
photographs of household objects, ten points behind cross-entropy after 40 epochs:
- That one had come 6 % of the way from its chance level to its floor, in other batches 7 %; on
  flowers5, level with cross-entropy, 15 %; on CIFAR-10 (10 epochs, 15 points above untrained) 16 %;
  healthy runs on digits 35 % and more after 8 epochs.
- In the last fifth of its epochs no healthy run made more than 19 % of what it gained in all: that
  with a queue still filling, the others up to 12 %.
"""

from collections.abc import Iterator

from nearfar.evaluate.case import Case, epoch_of, verdict
from nearfar.run_folder.records import STILL_FALLS, Measurement, Verdict

HARDLY = 0.1  # of the way from the chance level of a loss to its floor
STEEP, LAST, FEWEST_EPOCHS = 0.25, 0.2, 5  # of all that was gained, in the last part of the epochs
WEAK_VIEWS = ("basic", "digits", "none")


def undertrained(case: Case) -> Iterator[Verdict]:
    """The loss is nearly where it began, or still falls as fast as ever."""
    if not case.ended or "loss" not in case.last:
        return
    row, epoch = case.last, epoch_of(case.last)
    after = f"after {epoch} epoch{'s' if epoch > 1 else ''}"
    if "chance" in row and "floor" in row:
        way, come = row["chance"] - row["floor"], row["chance"] - row["loss"]
        if come < HARDLY * way:
            text = (
                f"undertrained: {after} the loss, {row['loss']:.3f}, has come"
                f" {max(come / way, 0):.0%} of the way from its chance level ({row['chance']:.3f})"
                f" to the least there is ({row['floor']:.3f})"
            )
            ways = [case.more_epochs(4), *_weaker_views(case), case.higher_rate(3)]
            yield verdict("undertrained", "watch", epoch, text, _try(ways))
            return
    losses = [row["loss"] for row in case.rows if "loss" in row]
    last = max(1, round(LAST * len(losses)))
    gained = max(losses[0], row.get("chance", losses[0])) - losses[-1]
    if len(losses) >= FEWEST_EPOCHS and losses[-1 - last] - losses[-1] > STEEP * gained > 0:
        share = (losses[-1 - last] - losses[-1]) / gained
        text = (
            f"{STILL_FALLS}: {share:.0%} of all that it fell"
            f" {after} it fell in the last {last} ({losses[-1 - last]:.3f} to {losses[-1]:.3f})"
        )
        yield verdict("undertrained", "watch", epoch, text, _try([case.more_epochs(2)]))


def worse_than_start(case: Case) -> Iterator[Verdict]:
    """The encoder after training is measured below the one before it, by more than the interval of
    the measurement.
    """
    start, end = case.facts.start, case.facts.end
    if not case.rows or start is None or end is None or not _below(end, start):
        return
    what = "the given weights" if case.facts.pretrained else "the encoder before training"
    text = (
        f"worse than its start: {end.title} {_said(end)} (95 % interval {_interval(end)}) after"
        f" training, {_said(start)} with {what}"
    )
    ways = [case.lower_rate(), case.more_epochs(2)]
    if case.facts.pretrained:
        ways.append("the given weights as they are (--method frozen)")
    else:
        ways += [*_weaker_views(case), "another method"]
    yield verdict("worse_than_start", "ill", epoch_of(case.last), text, _try(ways))


def _below(end: Measurement, start: Measurement) -> bool:
    if end.interval is None or start.number is None or end.better is None:
        return False
    low, high = end.interval
    return low > start.number if end.better == "lower" else high < start.number


def _said(m: Measurement) -> str:
    number = m.number or 0.0
    return f"{100 * number:.1f} %" if m.unit == "fraction" else f"{number:.3g}"


def _interval(m: Measurement) -> str:
    scale = 100 if m.unit == "fraction" else 1
    return " to ".join(f"{scale * end:.3g}" for end in m.interval or ())


def _weaker_views(case: Case) -> list[str]:
    """Of a network that begins from nothing; from given weights stronger ones are better."""
    policy = case.facts.policy
    weak = policy is None or policy in WEAK_VIEWS or case.facts.pretrained
    return [] if weak else ["weaker views (--set views.policy=basic)"]


def _try(ways: list[str]) -> str:
    return f"Try {', '.join(ways[:-1])}{' or ' if len(ways) > 1 else ''}{ways[-1]}."
