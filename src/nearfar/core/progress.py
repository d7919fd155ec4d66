"""What a person sees while nearfar works: plans, notes and bars, all on stderr; bars only on a
terminal.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


@final
class Bar:
    """One bar in progress. `advance` takes the text that stands behind it."""

    def __init__(self, bar: "RichProgress | None" = None) -> None:
        self._bar = bar

    def advance(self, n: int = 1, text: str = "") -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=n, text=text)

    def retitle(self, title: str) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=title)


@final
class Progress:
    """`say` prints a line, `bar` shows a bar with the time left. `quiet` silences both."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    @property
    def has_bars(self) -> bool:
        return not self.quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, total: int, title: str) -> Iterator[Bar]:
        """A bar over `total` pieces of work; where stderr is no terminal, only what `say`
        prints.
        """
        if not self.has_bars:
            yield Bar()
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[text]}"),
        )
        with RichProgress(*columns, console=Console(stderr=True)) as bar:
            bar.add_task(title, total=total, text="")
            yield Bar(bar)
