"""What the doctor's verdicts on runs mean for whoever compares them, and what to try next."""

from collections.abc import Collection, Sequence

from nearfar.report.formats import spoken_list
from nearfar.report.groups import Findings, Group
from nearfar.run_folder.comparison import TableEntry
from nearfar.run_folder.records import GIVEN, LOST_EPOCHS, STILL_FALLS, UNTRAINED, Results, Verdict

# with one of these a number says nothing of the method, and how it reads in a sentence
UNLEARNED = {
    "undertrained": "hardly learned",
    "at_chance": "learned nothing",
    "not_moving": "hardly learned",
    "assignment_stuck": "learned nothing",
    "no_positives": "hardly learned",
    "pairs_never_meet": "learned something else than its task",
    "collapsed": "collapsed",
    "diverged": "diverged",
}
OWN_RATES = "In a comparison --tune finds each method a rate of its own."
FEWEST_SEEDS = 3  # whose spread says something of noise


def unlearned(runs: Sequence[Results]) -> Verdict | None:
    """The first verdict on one of a method's runs by which it cannot be compared."""
    found = [verdict for run in runs for verdict in run.verdicts if verdict.code in UNLEARNED]
    return found[0] if found else None


def unlearned_methods(found: Findings) -> dict[str, Verdict]:
    """By label those that cannot be compared."""
    verdicts = {group.label: unlearned(_results(group)) for group in found.groups}
    return {label: verdict for label, verdict in verdicts.items() if verdict is not None}


def instead(verdict: Verdict) -> str:
    """What its method "has" done instead of learning: "hardly learned"."""
    if verdict.text.startswith(STILL_FALLS):
        return "not finished learning"
    if verdict.text.startswith(LOST_EPOCHS):
        return "learned nothing in a large part of its epochs"
    return UNLEARNED[verdict.code]


def have(methods: Sequence[str], doing: str) -> str:
    """ "supcon has hardly learned", "supcon and simclr have hardly learned"."""
    return f"{spoken_list(list(methods))} {'has' if len(methods) == 1 else 'have'} {doing}"


def have_not_learned(verdicts: dict[str, Verdict]) -> str:
    """ "supcon and simclr have hardly learned and byol has collapsed"."""
    doing: dict[str, list[str]] = {}
    for label, verdict in verdicts.items():
        doing.setdefault(instead(verdict), []).append(label)
    return spoken_list([have(labels, what) for what, labels in doing.items()])


def advice_to(verdicts: dict[str, Verdict], *, compared: bool) -> str:
    """What those that cannot be compared are to try; each by its label, where that differs. A
    comparison has one rate for all that it trains, if that is typed.
    """
    advice: dict[str, list[str]] = {}
    for label, verdict in verdicts.items():
        if verdict.advice:
            advice.setdefault(verdict.advice, []).append(label)
    told = next(iter(advice), "") if len(advice) < 2 else " ".join(_told(advice))
    return f"{told} {OWN_RATES}" if compared and "optimizer.lr" in told else told


def _told(advice: dict[str, list[str]]) -> list[str]:
    return [f"{spoken_list(labels)}: {text}" for text, labels in advice.items()]


def advice_on(found: Findings) -> list[str]:
    """The doctor's own, with whom it concerns; something where no method improved on its start."""
    advice: dict[str, list[str]] = {}
    for group in found.groups:
        for verdict in (verdict for run in _results(group) for verdict in run.verdicts):
            labels = advice.setdefault(verdict.advice, []) if verdict.advice else []
            labels += [group.label] if group.label not in labels else []
    if advice:
        return _told(advice)
    if none_improved(found):
        return ["Try more epochs, or another learning rate (a third, three times it)."]
    return []


def none_improved(found: Findings, among: Collection[str] | None = None) -> TableEntry | None:
    """The best of what was trained, of all or `among` some, where that is no better than the
    encoder before training.
    """
    labels = [group.label for group in found.groups if group.trained]
    trained = found.ranked([name for name in labels if among is None or name in among])
    best, floor = found.judged(trained[0]) if trained else None, found.judged(UNTRAINED)
    return best if best and floor and found.gain(best, floor) <= 0 else None


def next_steps(found: Findings) -> list[str]:
    """What to try next: advice; where there is none, what would make the numbers surer; else how to
    use them.
    """
    ranked = found.ranked([group.label for group in found.groups])
    if (advice := advice_on(found)) or not found.judged(ranked[0]):
        return advice
    if len(ranked) == 1:
        against = "supcon" if ranked[0] == "cross_entropy" else "cross_entropy"
        return [
            "The doctor found nothing wrong. Whether another method does better: nearfar compare"
            f" DATA --methods {against},{ranked[0]}{_same_start(found)}"
        ]
    needed = [
        pair.seeds_needed
        for pair in found.comparisons
        if {pair.a, pair.b} == set(ranked[:2]) and pair.seeds_needed is not None
    ]
    if needed:
        about = "" if needed[0] == FEWEST_SEEDS else "about "
        return [
            f"The doctor found nothing wrong. To tell {ranked[0]} from {ranked[1]} it takes {about}"
            f"{needed[0]} seeds: --seeds {needed[0]}"
        ]
    return ["The doctor found nothing wrong. How to use the best run stands above, under “Use it”."]


def _same_start(found: Findings) -> str:
    return ", with the same --encoder and weights" if found.start == GIVEN else ""


def _results(group: Group) -> list[Results]:
    return [run.results for run in group.runs]
