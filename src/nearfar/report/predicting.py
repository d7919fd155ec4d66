"""Which number one gets: the classifier that `nearfar predict` uses, and how often it is right."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean, stdev

from nearfar.report.formats import figure, plural, quantity, spoken_list
from nearfar.run_folder.comparison import Predicting
from nearfar.run_folder.records import PredictedBy, Results

MARK = "*"
MEANING = f"{MARK} what nearfar predict uses, the best on validation"


def predicting(method: str, runs: Sequence[Results]) -> Predicting | None:
    """By what a method's runs predict; None where no run has a classifier."""
    found = [run.predicted_by for run in runs if run.complete and run.predicted_by is not None]
    if not found:
        return None
    by = Counter(one.title for one in found)
    scores = [one.test for one in found if one.test is not None]
    average = mean(scores) if scores else None
    sd = stdev(scores) if len(scores) > 1 else None
    names = [title if len(by) == 1 else f"{title} ({plural(n, 'run')})" for title, n in by.items()]
    right = f", {quantity(average, 'fraction', sd)} on test" if scores else ""
    return Predicting(
        method=method,
        by=dict(by),
        mean=average,
        sd=sd,
        seeds=len(found),
        text=f"{method}: {spoken_list(names)}{right}",
    )


def chosen_line(by: PredictedBy) -> str:
    """Of one run: what predict uses, its accuracy on test, and what it was chosen from."""
    right = f", {quantity(by.test, 'fraction')} on test" if by.test is not None else ""
    line = f"{MARK} nearfar predict uses the {by.title}{right}"
    if len(by.candidates) < 2:
        return line
    known = [f"{one.title} {figure(one.validation, 'fraction')}" for one in by.candidates]
    return f"{line}; on validation, %: {', '.join(known)}"
