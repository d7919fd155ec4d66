"""`nearfar check RUN`: the doctor's verdicts on a run folder, whole, interrupted or stopped."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nearfar.api.check_seen import WithoutSeen
from nearfar.evaluate.doctor import healthy_line, judge
from nearfar.experiment.watch import known_of
from nearfar.methods import FROZEN, METHODS, method_class
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Verdict


@dataclass(frozen=True)
class Checked:
    """`healthy` is the line to say where there is no verdict."""

    verdicts: list[Verdict]
    healthy: str
    without_seen: WithoutSeen | None = None  # where that was asked for

    @property
    def ill(self) -> bool:
        return bool(self.verdicts)

    def lines(self) -> list[str]:
        said = [verdict.text for verdict in self.verdicts] or [self.healthy]
        return said if self.without_seen is None else [*said, self.without_seen.line()]

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"verdicts": [verdict.as_json() for verdict in self.verdicts]}
        if self.without_seen is not None:
            found["without_seen"] = self.without_seen.as_json()
        return found


def check_run(path: str | Path) -> Checked:
    """Judges what stands in the folder. RunError: a file is damaged."""
    folder = RunFolder(Path(path).expanduser())
    rows = [row.numbers for row in folder.read_metrics()]
    sections = folder.read_config()
    method = str(sections.get("method", {}).get("name", ""))
    if method == FROZEN and not folder.has(names.STOPPED):
        return Checked([], "nothing was trained, so there is nothing to judge")
    labeled = _labeled(folder, method)
    width = folder.read_encoder_file().width if folder.has(folder.encoder_config) else None
    known = known_of(sections, width, folder.read_stopped(), labeled=labeled)
    if folder.has(names.RESULTS):
        start, end = folder.read_results().judged
        known = replace(known, start=start, end=end)
    return Checked(judge(rows, known), healthy_line(rows, known))


def _labeled(folder: RunFolder, method: str) -> bool:
    """Whether the method learns from labels. One of the user's own is not imported: results.json
    says it, if there.
    """
    if method in METHODS:
        return method_class(method).needs_labels
    if not folder.has(names.RESULTS):
        return True
    return folder.read_results().train.needs_labels is not False
