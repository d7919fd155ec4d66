"""`nearfar check DATA`: what the data room finds, and which methods fit."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from nearfar.api.request import Data
from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.core.types import DataFacts
from nearfar.data.check import findings, in_order
from nearfar.data.findings import Finding
from nearfar.data.groups import cut_by_paths
from nearfar.data.looking import Seen, look
from nearfar.data.sources import open_source
from nearfar.experiment.advice import advise_weights
from nearfar.experiment.choices import default_size
from nearfar.experiment.refusals import refuse_unfit
from nearfar.methods import METHODS, method_class


def look_at(
    data: Data, progress: Progress, group_by: str | None = None, against: Data | None = None
) -> Seen:
    """One pass over the images of `data`, and of those they are compared with. UserError: no data
    to be had.
    """
    listing = cut_by_paths(open_source(data, progress), group_by)
    return look(listing, progress, group_by, None if against is None else open_source(against))


def check_data(seen: Seen) -> list[dict[str, Any]]:
    """Findings as code, severity and text, the methods that fit last.

    What `nearfar train` would refuse is an error, unless it is only the method that asks for other
    data.
    """
    listing = seen.listing
    facts = seen.facts(default_size(listing.side))
    found = [*_possible(findings(seen), facts, listing.source), *_fit(facts, listing.source)]
    if (advised := advise_weights(facts, listing.side)) is not None:
        found.append(Finding("weights_advised", "note", advised))
    return [asdict(finding) for finding in in_order(found)]


def _refusal(method: str, facts: DataFacts, source: str, *, by_class: bool = False) -> str | None:
    try:
        refuse_unfit(method, method_class(method), facts, source, by_class=by_class)
    except DataError as error:
        return str(error)
    return None


def _possible(found: list[Finding], facts: DataFacts, source: str) -> Iterator[Finding]:
    """Balanced batches are advised to methods that can have them."""
    takers = [name for name in METHODS if _refusal(name, facts, source, by_class=True) is None]
    for finding in found:
        if finding.code != "balanced_advised":
            yield finding
        elif takers:
            yield replace(finding, text=f"{finding.text} (for {', '.join(takers)})")


def _fit(facts: DataFacts, source: str) -> Iterator[Finding]:
    refusals = {name: _refusal(name, facts, source) for name in METHODS}
    unsuited = {
        name: reason
        for name in METHODS
        if (reason := method_class(name).why_not(facts)) is not None
    }
    for name, reason in unsuited.items():
        yield Finding("method_fits_not", "note", f"{name} {reason}")
    for text in dict.fromkeys(
        reason for name, reason in refusals.items() if reason and name not in unsuited
    ):
        yield Finding("refused", "error", text)
    fitting = [name for name, reason in refusals.items() if reason is None]
    yield Finding("methods_fit", "note", f"methods that fit: {', '.join(fitting) or 'none'}")
