"""`nearfar check RUN`: the doctor's verdicts on a run folder, whole, interrupted or stopped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.core.errors import RunError
from nearfar.evaluate.doctor import Verdict, healthy_line, judge
from nearfar.experiment import folder as files
from nearfar.experiment.watch import facts_of, read_rows, read_stopped


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
        raise RunError(f"{folder} holds a comparison; check one of its runs, such as {inside[0].parent}")
    return False


def check_run(path: str | Path) -> Checked:
    """Judges what stands in the folder. RunError: a file is damaged."""
    folder = Path(path).expanduser()
    rows = read_rows(folder)
    facts = facts_of(files.read_toml(folder / files.RUN_TOML), _width(folder), read_stopped(folder))
    return Checked(judge(rows, facts), healthy_line(rows, facts))


def _width(folder: Path) -> int | None:
    path = folder / files.ENCODER_JSON
    width = files.read_json(path).get("width") if path.exists() else None
    return width if isinstance(width, int) else None
