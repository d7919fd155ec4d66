"""Whether a run that has ended has learned enough to be compared: verdicts on its end, for the
doctor.

Thresholds come from healthy runs (digits, flowers5, CIFAR-10; conv4) and from supcon on a thousand
photographs of household objects, ten points behind cross-entropy after 40 epochs:
- That one had come 6 % of the way from its chance level to its floor, in other batches 7 %; on
  flowers5, level with cross-entropy, 15 %; on CIFAR-10 (10 epochs, 15 points above untrained) 16 %;
  healthy runs on digits 35 % and more after 8 epochs.
- In the last fifth of its epochs no healthy run made more than 19 % of what it gained in all: that
  with a queue still filling, the others up to 12 %.
- A supcon that lay at its chance level in 16 of 40 epochs ended 16 points below its other seeds.
"""

from collections.abc import Iterator

from nearfar.evaluate.case import Case, at_chance, epoch_of, verdict
from nearfar.run_folder.records import LOST_EPOCHS, STILL_FALLS, Measurement, Verdict

HARDLY = 0.1  # of the way from the chance level of a loss to its floor
LOST = 0.25  # of the epochs, at the chance level
STEEP, LAST, FEWEST_EPOCHS = 0.25, 0.2, 5  # of all that was gained, in the last part of the epochs
WEAK_VIEWS = ("basic", "digits", "none")


def undertrained(case: Case) -> Iterator[Verdict]:
    """The loss is nearly where it began, was there for long, or still falls as fast as ever."""
    if case.ended and "loss" in case.last:
        found = [*_hardly(case)] or [*_lost_epochs(case)] or [*_still_falls(case)]
        for text, ways in found:
            yield verdict("undertrained", "watch", epoch_of(case.last), text, _try(ways))


def _hardly(case: Case) -> Iterator[tuple[str, list[str]]]:
    row = case.last
    if "chance" not in row or "floor" not in row:
        return
    way, come = row["chance"] - row["floor"], row["chance"] - row["loss"]
    if come < HARDLY * way:
        text = (
            f"undertrained: {_after(case)} the loss, {row['loss']:.3f}, has come"
            f" {max(come / way, 0):.0%} of the way from its chance level ({row['chance']:.3f})"
            f" to the least there is ({row['floor']:.3f})"
        )
        yield text, [case.more_epochs(4), *_weaker_views(case), case.higher_rate(3)]


def _lost_epochs(case: Case) -> Iterator[tuple[str, list[str]]]:
    lost = [epoch_of(row) for row in case.rows if "loss" in row and at_chance(row)]
    if len(case.rows) >= FEWEST_EPOCHS and len(lost) >= LOST * len(case.rows):
        text = (
            f"{LOST_EPOCHS} in {len(lost)} of {len(case.rows)} epochs, between {lost[0]} and"
            f" {lost[-1]}, and taught nothing there"
        )
        warmup = "a longer warm-up (schedule.warmup_epochs)"
        yield text, [case.lower_rate(3), warmup, case.more_epochs(2)]


def _still_falls(case: Case) -> Iterator[tuple[str, list[str]]]:
    losses = [row["loss"] for row in case.rows if "loss" in row]
    last = max(1, round(LAST * len(losses)))
    gained = max(losses[0], case.last.get("chance", losses[0])) - losses[-1]
    if len(losses) >= FEWEST_EPOCHS and losses[-1 - last] - losses[-1] > STEEP * gained > 0:
        share = (losses[-1 - last] - losses[-1]) / gained
        text = (
            f"{STILL_FALLS}: {share:.0%} of all that it fell {_after(case)} it fell in the last"
            f" {last} ({losses[-1 - last]:.3f} to {losses[-1]:.3f})"
        )
        yield text, [case.more_epochs(2)]


def _after(case: Case) -> str:
    epoch = epoch_of(case.last)
    return f"after {epoch} epoch{'s' if epoch > 1 else ''}"


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
