"""`nearfar check`: what is wrong with the data before training, or with a run after it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.api.check_data import check_data
from nearfar.api.check_run import Checked, check_run
from nearfar.api.request import Data
from nearfar.api.view_sheet import choose_policy, write_check_sheet
from nearfar.core.errors import DataError, UserError
from nearfar.core.progress import Progress
from nearfar.run_folder import names
from nearfar.run_folder.choosing import is_run


@dataclass(frozen=True)
class Looked:
    """What was found in data: code, severity and text of each finding. `sheet`: where the views
    that were asked for stand; `refused`: why they could not be drawn.
    """

    findings: list[dict[str, Any]]
    views: str | None = None
    sheet: Path | None = None
    refused: DataError | None = None

    @property
    def ill(self) -> bool:
        """Whether there is more than notes."""
        return any(finding["severity"] != "note" for finding in self.findings)

    def lines(self) -> list[str]:
        found = [f"{finding['severity']:8} {finding['text']}" for finding in self.findings]
        return found if self.sheet is None else [*found, f"views: {self.sheet}"]

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"findings": self.findings}
        if self.views is not None:
            found["views"] = str(self.sheet) if self.sheet is not None else None
        return found


def check(
    data: Data, *, views: str | None = None, group_by: str | None = None, quiet: bool = False
) -> Looked | Checked:
    """Of a run folder its verdicts, of anything else its findings and, with `views` (a policy), a
    sheet of views in the current folder. `group_by`: what nearfar's cut is to keep together (see
    data.group_by). UserError: nothing to look at, or no such policy.
    """
    progress = Progress(quiet=quiet)
    if isinstance(data, str | Path) and is_run(data):
        if views is not None:
            raise UserError(
                f"--views: {data} is a run, and its views stand in {names.VIEWS}; leave it out, or"
                " give data"
            )
        return check_run(data)
    policy = choose_policy(views) if views is not None else None
    findings = check_data(data, progress, group_by)
    if policy is None:
        return Looked(findings)
    try:
        return Looked(findings, views, write_check_sheet(data, policy, progress))
    except DataError as error:  # what was found is shown all the same
        return Looked(findings, views, refused=error)
