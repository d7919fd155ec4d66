"""The doctor beside a run: reads its rows as they come, says each verdict once, and remembers why a
run stopped.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, final

from nearfar.core.errors import DivergedError, RunError
from nearfar.core.progress import Progress
from nearfar.evaluate.case import Facts, Row
from nearfar.evaluate.doctor import judge
from nearfar.experiment.setup import Setup
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Measurement, Stopped, Verdict


@final
class Watch:
    """`verdicts` are those on the run as far as it has come."""

    def __init__(self, folder: RunFolder, setup: Setup, width: int, progress: Progress) -> None:
        self.folder = folder
        self.progress = progress
        sections = setup.config.sections()
        self.known = known_of(sections, width, None, labeled=setup.method.needs_labels)
        self.rows: list[Row] = []
        self.verdicts: list[Verdict] = []
        self.told: set[str] = set()

    def begin(self) -> None:
        """Takes up the rows that stand in the folder; the reason of an earlier stop is
        forgotten.
        """
        self.folder.remove(names.STOPPED)
        self.rows = [row.numbers for row in self.folder.read_metrics()]
        self._judge()

    def see(self, row: Row) -> None:
        self.rows.append(row)
        self._judge()

    def measured(self, start: Measurement | None, end: Measurement | None) -> None:
        """Judges once more, by what the run is judged by before training and after it."""
        self.known = replace(self.known, start=start, end=end)
        self._judge()

    def stopped(self, error: BaseException) -> None:
        """Writes down why training could not go on; on a full disk that is lost."""
        if not self.rows:  # it had not begun to look
            with suppress(RunError):
                self.rows = [row.numbers for row in self.folder.read_metrics()]
        epoch = int(self.rows[-1]["epoch"]) + 1 if self.rows else 1
        code = "diverged" if isinstance(error, DivergedError) else "stopped"
        why = Stopped(code=code, epoch=epoch, text=str(error) or type(error).__name__)
        with suppress(OSError):
            self.folder.write_stopped(why)
        self.verdicts = judge(self.rows, replace(self.known, stopped=why))

    def _judge(self) -> None:
        self.verdicts = judge(self.rows, self.known)
        for verdict in self.verdicts:
            if verdict.code not in self.told:
                self.told.add(verdict.code)
                self.progress.say(f"  doctor, epoch {self.rows[-1]['epoch']:.0f}: {verdict.text}")


def known_of(
    sections: Mapping[str, Mapping[str, Any]],
    width: int | None,
    stopped: Stopped | None,
    *,
    labeled: bool,
) -> Facts:
    """What the judge is told of a run: its configuration as it stands in run.toml, whether it
    learns from labels.
    """
    method, encoder = sections.get("method", {}), sections.get("encoder", {})
    batch = sections.get("train", {}).get("batch_size")
    views = sections.get("views", {}).get("count")
    policy = sections.get("views", {}).get("policy")
    return Facts(
        str(method.get("name", "")),
        labeled=labeled,
        width=width,
        rows_a_step=batch * views if batch and views else None,
        lr=sections.get("optimizer", {}).get("lr"),
        temperature=method.get("temperature"),
        warmup_epochs=sections.get("schedule", {}).get("warmup_epochs", 0.0),
        stopped=stopped,
        epochs=sections.get("train", {}).get("epochs"),
        policy=policy if isinstance(policy, str) else None,
        pretrained=bool(encoder.get("pretrained") or encoder.get("weights")),
    )
