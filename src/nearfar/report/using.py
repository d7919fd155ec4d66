"""Which run to use, and the two lines that use it: on the command line, and in Python."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.report.formats import plural, quantity
from nearfar.report.groups import Findings
from nearfar.run_folder.records import Results


@dataclass(frozen=True)
class Use:
    """A run worth using."""

    why: str  # a sentence
    predict: str  # to be typed
    load: str  # Python


def best_on_validation(runs: Sequence[Results]) -> int | None:
    """Which of the runs has the classifier that is best on validation, of equals the first; None
    where none is known. Test has no say: what is chosen by it would be too good there.
    """
    best, score = None, -1.0
    for at, run in enumerate(runs):
        found = run.predicted_by.validation if run.complete and run.predicted_by else None
        if found is not None and found > score:
            best, score = at, found
    return best


def using(found: Findings) -> Use | None:
    """None where no run has a classifier that was measured on validation, or they were made on
    different data.
    """
    runs = [(group.label, run) for group in found.groups for run in group.runs]
    which = best_on_validation([run.results for _, run in runs])
    if which is None or not found.same_data:
        return None
    label, run = runs[which]
    who, folder = f"{label}, seed {run.results.seed}", str(run.path)
    chosen = f", the best of {len(runs)} runs on validation" if len(runs) > 1 else ""
    return Use(
        f"{who}{chosen}: its {_right(run.results)}.",
        f"nearfar predict {shlex.quote(folder)} NEW_IMAGES/ --out predictions.csv",
        f"import nearfar; model = nearfar.load({folder!r})",
    )


def _right(results: Results) -> str:
    """ "linear probe gets 90.4 % of 274 validation images and 91.2 % of 205 test images right"."""
    by, data = results.predicted_by, results.data
    if by is None:
        return "classifier is not known"
    shares = [(by.validation, data.n_val, "validation image"), (by.test, data.n_test, "test image")]
    told = [
        f"{quantity(share, 'fraction')} of {plural(n, name)}"
        for share, n, name in shares
        if share is not None
    ]
    return f"{by.title} gets {' and '.join(told)} right"
