"""The doctor beside a run: reads its rows as they come, says each verdict once, and remembers why a
run stopped.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

from nearfar.core.errors import DivergedError, RunError, TrainingStoppedError
from nearfar.core.progress import Progress
from nearfar.evaluate.case import Facts, Row, Stopped, Verdict
from nearfar.evaluate.doctor import judge
from nearfar.experiment import folder as files
from nearfar.methods import method_class


@final
class Watch:
    """`verdicts` are those on the run as far as it has come."""

    def __init__(
        self, out: Path, sections: Mapping[str, Mapping[str, Any]], width: int, progress: Progress
    ) -> None:
        self.out = out
        self.progress = progress
        labeled = method_class(str(sections["method"]["name"])).needs_labels
        self.facts = facts_of(sections, width, None, labeled=labeled)
        self.rows: list[Row] = []
        self.verdicts: list[Verdict] = []
        self.told: set[str] = set()

    def begin(self) -> None:
        """Takes up the rows that stand in the folder; the reason of an earlier stop is
        forgotten.
        """
        (self.out / files.STOPPED).unlink(missing_ok=True)
        self.rows = read_rows(self.out)
        self._judge()

    def see(self, row: Row) -> None:
        self.rows.append(row)
        self._judge()

    def stopped(self, error: TrainingStoppedError) -> None:
        """Writes down why training could not go on; on a full disk that is lost."""
        code = "diverged" if isinstance(error, DivergedError) else "stopped"
        epoch = int(self.rows[-1]["epoch"]) + 1 if self.rows else 1
        why = Stopped(code, epoch, str(error))
        with suppress(OSError):
            files.write_json(self.out / files.STOPPED, asdict(why))
        self.verdicts = judge(self.rows, Facts(self.facts.method, stopped=why))

    def _judge(self) -> None:
        self.verdicts = judge(self.rows, self.facts)
        for verdict in self.verdicts:
            if verdict.code not in self.told:
                self.told.add(verdict.code)
                self.progress.say(f"  doctor, epoch {self.rows[-1]['epoch']:.0f}: {verdict.text}")


def facts_of(
    sections: Mapping[str, Mapping[str, Any]],
    width: int | None,
    stopped: Stopped | None,
    *,
    labeled: bool,
) -> Facts:
    """What the judge is told of a run: its configuration as it stands in run.toml, whether it
    learns from labels.
    """
    method = sections.get("method", {})
    name = str(method.get("name", ""))
    batch, views = (
        sections.get("train", {}).get("batch_size"),
        sections.get("views", {}).get("count"),
    )
    return Facts(
        name,
        labeled=labeled,
        width=width,
        rows_a_step=batch * views if batch and views else None,
        lr=sections.get("optimizer", {}).get("lr"),
        temperature=method.get("temperature"),
        warmup_epochs=sections.get("schedule", {}).get("warmup_epochs", 0.0),
        stopped=stopped,
    )


def read_rows(run: Path) -> list[Row]:
    """The rows of metrics.jsonl. RunError: a line is damaged; a last one that is cut short is
    passed over.
    """
    path = run / files.METRICS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({name: float(value) for name, value in row.items() if value is not None})
            rows[-1]["epoch"]
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            if number < len(lines):
                raise RunError(
                    f"{path}: line {number} is damaged ({error}); train again with --force"
                ) from error
            return [row for row in rows if "epoch" in row]
    return rows


def read_stopped(run: Path) -> Stopped | None:
    """Why training stopped. RunError: the file is damaged."""
    path = run / files.STOPPED
    if not path.exists():
        return None
    content = files.read_json(path)
    try:
        return Stopped(str(content["code"]), int(content["epoch"]), str(content["text"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}); train again with --force") from error
