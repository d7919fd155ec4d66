"""`nearfar check`: what is wrong with the data before training, or with a run after it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nearfar.api.check_data import check_data, look_at
from nearfar.api.check_run import Checked, check_run
from nearfar.api.check_seen import without_seen
from nearfar.api.near_sheet import as_json, near_pairs, write_near_sheet
from nearfar.api.request import Data
from nearfar.api.view_sheet import choose_policy, write_check_sheet
from nearfar.core.errors import DataError, UserError
from nearfar.core.progress import Progress
from nearfar.run_folder import names
from nearfar.run_folder.choosing import is_run


@dataclass(frozen=True)
class Looked:
    """What was found in data: code, severity and text of each finding. `sheet`: where the views
    that were asked for stand; `refused`: why they could not be drawn. `near`: pairs of images that
    are nearly equal, and where some are shown, or why not.
    """

    findings: list[dict[str, Any]]
    near: list[dict[str, Any]]
    near_sheet: Path | UserError | None = None
    views: str | None = None
    sheet: Path | None = None
    refused: DataError | None = None

    @property
    def ill(self) -> bool:
        """Whether there is more than notes."""
        return any(finding["severity"] != "note" for finding in self.findings)

    def lines(self) -> list[str]:
        found = [f"{finding['severity']:8} {finding['text']}" for finding in self.findings]
        found += [] if self.near_sheet is None else [f"pairs: {self.near_sheet}"]
        return found if self.sheet is None else [*found, f"views: {self.sheet}"]

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"findings": self.findings}
        if self.near:
            sheet = self.near_sheet
            found["near_copies"] = self.near
            found["pairs"] = str(sheet) if isinstance(sheet, Path) else None
        if self.views is not None:
            found["views"] = str(self.sheet) if self.sheet is not None else None
        return found


def check(
    data: Data,
    *,
    views: str | None = None,
    group_by: str | None = None,
    against: Data | None = None,
    quiet: bool = False,
) -> Looked | Checked:
    """Of a run folder its verdicts (with `group_by` accuracy without the test images that have one
    of their group in training, too), of anything else its findings with a sheet of near copies and,
    for `views` (a policy), a sheet of views in the current folder. `group_by`: what nearfar's cut
    is to keep together (see data.group_by). `against`: data among which copies and near copies are
    looked for, too. UserError: nothing to look at, or no such policy.
    """
    progress = Progress(quiet=quiet)
    if isinstance(data, str | Path) and is_run(data):
        if views is not None:
            raise UserError(
                f"--views: {data} is a run, and its views stand in {names.VIEWS}; leave it out, or"
                " give data"
            )
        if against is not None:
            raise UserError(f"--against: {data} is a run; leave it out, or give the run's data")
        checked = check_run(data)
        if group_by is None:
            return checked
        return replace(checked, without_seen=without_seen(data, group_by, progress))
    policy = choose_policy(views) if views is not None else None
    seen = look_at(data, progress, group_by, against)
    pairs = near_pairs(seen)
    found = Looked(
        check_data(seen), as_json(seen, pairs), write_near_sheet(seen, pairs) if pairs else None
    )
    if policy is None:
        return found
    try:
        return replace(found, views=views, sheet=write_check_sheet(data, policy, progress))
    except DataError as error:  # what was found is shown all the same
        return replace(found, views=views, refused=error)
