"""The doctor: from the rows of metrics.jsonl to verdicts in plain words; an empty list is a healthy
run.

Pure numbers, no torch: what the names in a row mean stands in `nearfar.training.monitors`. A row
that lacks a name, as those of older runs do, is judged by what it has. When a row may be judged
stands in `nearfar.evaluate.case`.

Thresholds come from planted illnesses and healthy runs (digits and CIFAR-10; conv4, two linear
layers, ResNet-18):
- A collapsed projection had a spread of .003 to .08, a stuck supcon .04 to .07, a healthy one at
  least .15.
- Losses that could not learn ended within .1 % of chance or above; the slowest healthy one was .5 %
  below at step 60.
- Where positives were not where the loss looked, their squared distance was .82 to .98 of that of
  random pairs, and the
  loss 50 to 80 % below chance; healthy contrastive runs were at .71 before the loss was 10 % below,
  and fell.
- The effective rank of BYOL under Adam at .2 was 5 of 64, of healthy runs 11 and more.
"""

import math
from collections.abc import Iterator, Sequence

from nearfar.evaluate.case import Case, Facts, Row, at_chance, epoch_of, verdict
from nearfar.evaluate.learning import undertrained, worse_than_start
from nearfar.run_folder.records import Severity, Verdict

ONE_POINT = 0.1  # spread of projections: that of random pairs with a cosine of .99
# of a representation: rank below the one and ONE_POINT, or spread below the other
FLAT_RANK, FLAT_SPREAD = 3.0, 0.03
LOW_RANK, LOW_RANK_WIDTH = 6.0, 32
NEAR_CHANCE, WELL_BELOW = 0.01, 0.2  # of the chance level, below it
AS_FAR_AS_RANDOM = 0.75
MANY_ALONE, NEARLY_ALL_ALONE = 0.5, 0.9
RISEN = 2.0


def judge(rows: Sequence[Row], facts: Facts) -> list[Verdict]:
    """Verdicts on a run, whole or as far as it has come; the gravest first. One illness has one
    verdict.
    """
    case = Case(rows, facts)
    if ended := list(_ended(case)):
        return ended
    found = list(_without_positives(case))
    if case.settled:
        stuck = [*_collapsed(case)] or [*_at_chance(case)]
        found += stuck or [*_pairs_never_meet(case), *_low_rank(case), *_not_moving(case)]
    found += [] if found else undertrained(case)
    found += [] if found else worse_than_start(case)
    return sorted(found, key=lambda one: one.severity)


def healthy_line(rows: Sequence[Row], facts: Facts) -> str:
    """The numbers of a run without a verdict, in one line."""
    if not rows:
        return "nothing to judge: no epoch is complete"
    last = rows[-1]
    chance = f" (chance {last['chance']:.3f})" if "chance" in last else ""
    of = f" of {facts.width}" if facts.width else ""
    parts = {
        "loss": f"loss {{:.3f}}{chance}",
        "effective_rank": f"effective rank {{:.1f}}{of}",
        "feature_std": "spread {:.2f}",
        "alignment": "alignment {:.2f}",
        "uniformity": "uniformity {:.2f}",
        "queue_age": "queue {:.1f} steps old",
    }
    numbers = ", ".join(text.format(last[name]) for name, text in parts.items() if name in last)
    how = "healthy" if Case(rows, facts).settled else "nothing ill in so few steps"
    return f"{how}: {numbers} after epoch {epoch_of(last)}"


def _ended(case: Case) -> Iterator[Verdict]:
    if (stopped := case.facts.stopped) is not None:
        yield verdict(stopped.code, "ill", stopped.epoch, f"{stopped.code}: {stopped.text}")
        return
    losses = {epoch_of(row): row["loss"] for row in case.rows if "loss" in row}
    for epoch, loss in losses.items():
        if not math.isfinite(loss):
            text = f"diverged: the loss is {loss} since epoch {epoch}"
            yield verdict("diverged", "ill", epoch, text, f"Try {case.lower_rate()}.")
            return
    if not losses:
        return
    start = next(iter(losses.values()))
    limit = RISEN * max(start, case.rows[0].get("chance", 0.0), 0.0) + 1
    if since := case.since(lambda row: row.get("loss", 0.0) > limit):
        text = (
            f"diverged: the loss rose from {start:.3f} in epoch {min(losses)} to"
            f" {case.last['loss']:.3f} (above {limit:.3g} since epoch {since})"
        )
        advice = (
            f"Try {case.lower_rate()}, --set train.gradient_clip=1, or a longer"
            " schedule.warmup_epochs."
        )
        yield verdict("diverged", "ill", since, text, advice)


def _without_positives(case: Case) -> Iterator[Verdict]:
    whole = case.facts.rows_a_step
    if not case.rows or not whole:
        return

    def share(row: Row) -> float:
        return row.get("anchors_without_positive", 0.0) / whole

    if since := case.since(lambda row: share(row) > MANY_ALONE):
        alone = share(case.last)
        text = (
            f"no positives: {alone:.0%} of a batch's rows have no other row of their class since"
            f" epoch {since} and teach nothing"
        )
        advice = (
            "Try --set views.count=2, a larger train.batch_size, or --set data.sampling=balanced."
        )
        severity: Severity = "ill" if alone > NEARLY_ALL_ALONE else "watch"
        yield verdict("no_positives", severity, since, text, advice)


def _learns(row: Row) -> bool:
    """Whether the loss is below its chance level; False where no level is known."""
    return "chance" in row and row["loss"] < (1 - NEAR_CHANCE) * row["chance"]


def _collapsed(case: Case) -> Iterator[Verdict]:
    def flat(row: Row) -> bool:
        spread, rank = row.get("feature_std", 1.0), row.get("effective_rank", math.inf)
        return not _learns(row) and (
            spread < FLAT_SPREAD or (spread < ONE_POINT and rank < FLAT_RANK)
        )

    def one_point(row: Row) -> bool:
        return not _learns(row) and row.get("projection_std", 1.0) < ONE_POINT

    last = case.last
    if since := case.throughout(flat):
        of = f" of {case.facts.width}" if case.facts.width else ""
        rank = (
            f"effective rank {last['effective_rank']:.1f}{of}, " if "effective_rank" in last else ""
        )
        what = (
            f"{rank}spread {last['feature_std']:.2g} where 1 is even: every image has the same"
            " representation"
        )
    elif since := case.throughout(one_point):
        cosine = f", mean cosine {last['cosine_random']:.4f}" if "cosine_random" in last else ""
        spread = last["projection_std"]
        what = f"all projections are one point (spread {spread:.2g} where 1 is even{cosine})"
    else:
        return
    if "chance" in last:
        why = f"the loss is {last['loss']:.3f} at a chance level of {last['chance']:.3f}"
        remedy = (
            f"{case.lower_rate()}, a longer schedule.warmup_epochs, or a normalized representation"
        )
    else:
        why = f"the loss {last['loss']:.3g} is that of a network that says the same of everything"
        remedy = (
            f"{case.lower_rate()}, a target momentum nearer 1 (.996), a larger batch; a method"
            " without negatives needs its predictor and its stopped gradient"
        )
    text = f"collapsed: {what}, since epoch {since}; {why}"
    yield verdict("collapsed", "ill", since, text, f"Try {remedy}.")


def _at_chance(case: Case) -> Iterator[Verdict]:
    if not (since := case.throughout(at_chance)):
        return
    loss, chance = case.last["loss"], case.last["chance"]
    prototypes = case.last.get("prototypes")
    if prototypes:
        text = (
            f"assignment stuck: the loss has stayed at ln {prototypes:.0f}, that of prototypes"
            f" which are all alike, since epoch {since} ({loss:.3f})"
        )
        advice = (
            "Try fewer prototypes, a sharper assignment (a smaller epsilon or target temperature),"
            f" prototypes frozen for longer, or {case.lower_rate()}."
        )
        yield verdict("assignment_stuck", "ill", since, text, advice)
        return
    level = f"{chance:.3f}, its chance level"
    text = f"at chance: the loss has been no better than {level}, since epoch {since} ({loss:.3f})"
    if case.moves():
        text += "; nothing of the task is learned"
        advice = f"Try a third of the learning rate, or three times it{_now(case)}"
    else:
        text += ", and nothing in the network moves"
        advice = f"Try {case.higher_rate(10)}"
    advice += ", and look at the views: nearfar check DATA --views POLICY."
    yield verdict("at_chance", "ill", since, text, advice)


def _now(case: Case) -> str:
    return f" (it was {case.facts.lr:.3g})" if case.facts.lr is not None else ""


def _distance(row: Row) -> float:
    """The mean squared distance of positive pairs, of that of random pairs; 0 where it is not
    known.
    """
    if "cosine_positive" not in row or "cosine_random" not in row or row["cosine_random"] >= 1:
        return 0.0
    return (1 - row["cosine_positive"]) / (1 - row["cosine_random"])


def _pairs_never_meet(case: Case) -> Iterator[Verdict]:
    """A contrastive loss that is d below its chance level needs positives nearer than random pairs
    by t d in cosine (Jensen), t the temperature; where that is known, less than half of it is asked
    for too.
    """

    def never(row: Row) -> bool:
        if "projection_std" not in row or "chance" not in row:
            return False
        below = row["chance"] - row["loss"]
        gap = row.get("cosine_positive", 1.0) - row.get("cosine_random", 0.0)
        needed = 0.5 * (case.facts.temperature or math.inf) * below
        return (
            below > WELL_BELOW * row["chance"]
            and _distance(row) > AS_FAR_AS_RANDOM
            and gap < needed
        )

    if since := case.throughout(never):
        last = case.last
        text = (
            f"pairs never meet: the loss falls ({last['loss']:.3f}, chance {last['chance']:.3f}),"
            " but two views of an image are hardly nearer than two images (cosine"
            f" {last['cosine_positive']:.2f} against {last['cosine_random']:.2f}), since epoch"
            f" {since}: the positives are not where the loss looks"
        )
        advice = "Check which rows it takes for an anchor's partners, and that no row is its own."
        yield verdict("pairs_never_meet", "ill", since, text, advice)


def _low_rank(case: Case) -> Iterator[Verdict]:
    """Of methods that learn without labels by comparing projections: labels may ask for as few as
    their classes.
    """
    ranks = [row.get("effective_rank", math.inf) for row in case.settled]
    projected = "projection_std" in case.last
    if case.facts.labeled or not projected or (case.facts.width or 0) < LOW_RANK_WIDTH:
        return
    if sum(ranks) / len(ranks) < LOW_RANK:
        since = case.since(lambda row: row.get("effective_rank", math.inf) < LOW_RANK) or epoch_of(
            case.settled[0]
        )
        text = (
            f"partly collapsed: the representation fills {ranks[-1]:.1f} of its {case.facts.width}"
            f" dimensions (effective rank) since epoch {since}"
        )
        advice = f"Try {case.lower_rate()}, stronger views, or a larger batch."
        yield verdict("partial_collapse", "watch", since, text, advice)


def _not_moving(case: Case) -> Iterator[Verdict]:
    if not case.moves():
        first, last = case.rows[0], case.last
        ranks = f"{first['effective_rank']:.1f} and {last['effective_rank']:.1f}"
        text = (
            f"not moving: loss {first['loss']:.3f} in epoch {epoch_of(first)} and"
            f" {last['loss']:.3f} in epoch {epoch_of(last)}, effective rank {ranks}: the network"
            " hardly changes"
        )
        advice = f"Try {case.higher_rate(10)}."
        yield verdict("not_moving", "watch", epoch_of(first), text, advice)
