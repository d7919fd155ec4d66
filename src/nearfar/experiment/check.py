"""`nearfar check DATA`: what the data room finds, and which methods fit."""

from dataclasses import asdict
from typing import Any

from nearfar.core.progress import Progress
from nearfar.data.check import Finding, check
from nearfar.data.sources import open_source
from nearfar.experiment.request import Data
from nearfar.experiment.settings import DEFAULT_SIZE_PX
from nearfar.methods import METHODS, method_class


def check_data(data: Data, progress: Progress) -> list[dict[str, Any]]:
    """Findings as code, severity and text, the methods that fit last. UserError: no data to be had."""
    listing = open_source(data)
    facts = listing.facts(min(DEFAULT_SIZE_PX, listing.side))
    reasons = {name: method_class(name).why_not(facts) for name in METHODS}
    fitting = [name for name, reason in reasons.items() if reason is None]
    findings = [
        *check(listing, progress),
        *(Finding("method_fits_not", "note", f"{name} {reason}") for name, reason in reasons.items() if reason),
        Finding("methods_fit", "note", f"methods that fit: {', '.join(fitting) or 'none'}"),
    ]
    return [asdict(finding) for finding in findings]
