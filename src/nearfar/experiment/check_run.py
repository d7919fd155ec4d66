"""`nearfar check RUN`: the doctor's verdicts on a run folder, whole, interrupted or stopped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.core.errors import RunError
from nearfar.evaluate.case import Verdict
from nearfar.evaluate.doctor import healthy_line, judge
from nearfar.experiment import folder as files
from nearfar.experiment.watch import facts_of, read_rows, read_stopped
from nearfar.methods import METHODS, method_class


@dataclass(frozen=True)
class Checked:
    """`healthy` is the line to say where there is no verdict."""

    verdicts: list[Verdict]
    healthy: str

    def as_json(self) -> dict[str, Any]:
        return {"verdicts": [verdict.as_json() for verdict in self.verdicts]}


def is_run(path: str | Path) -> bool:
    """Whether it is a run folder. RunError: it is a comparison's."""
    folder = Path(path).expanduser()
    if (folder / files.RUN_TOML).is_file():
        return True
    if inside := sorted(folder.glob(f"*/seed*/{files.RUN_TOML}")):
        raise RunError(
            f"{folder} holds a comparison; check one of its runs, such as {inside[0].parent}"
        )
    return False


def check_run(path: str | Path) -> Checked:
    """Judges what stands in the folder. RunError: a file is damaged."""
    folder = Path(path).expanduser()
    rows = read_rows(folder)
    sections = files.read_toml(folder / files.RUN_TOML)
    labeled = _labeled(folder, str(sections.get("method", {}).get("name", "")))
    facts = facts_of(sections, _width(folder), read_stopped(folder), labeled=labeled)
    return Checked(judge(rows, facts), healthy_line(rows, facts))


def _width(folder: Path) -> int | None:
    path = folder / files.ENCODER_JSON
    width = files.read_json(path).get("width") if path.exists() else None
    return width if isinstance(width, int) else None


def _labeled(folder: Path, method: str) -> bool:
    """Whether the method learns from labels. One of the user's own is not imported: results.json
    says it, if there.
    """
    if method in METHODS:
        return method_class(method).needs_labels
    path = folder / files.RESULTS
    train = files.read_json(path).get("train") if path.exists() else None
    return not isinstance(train, dict) or train.get("needs_labels") is not False
