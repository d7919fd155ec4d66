"""The one error tree. A message says what was wanted, what came, where, and what to do next.

NearfarError
├── UserError               exit 2: the user's input
│   ├── ConfigError         a list of problems, each with its path
│   ├── DataError           a source that cannot be read or does not fit
│   └── RunError            a run folder that exists, is incomplete or cannot be written
├── TrainingStoppedError    exit 3: training could not go on; what is complete stays
│   └── DivergedError       a loss, gradient or weight is no finite number
├── OwnMethodError          exit 1: an unforeseen error while a method of the user's own is trained
├── NotFiniteError          a ValueError of the losses: rows that are NaN, infinite or overflow
└── NothingToCompareError   a ValueError of the losses and methods: a batch that holds no pair to
                            learn from
"""

from collections.abc import Sequence
from typing import ClassVar


class NearfarError(Exception):
    """Anything that nearfar itself reports."""

    exit_code: ClassVar[int] = 1


class UserError(NearfarError):
    """The input has to change before this can work."""

    exit_code: ClassVar[int] = 2


class ConfigError(UserError):
    """Every problem of a configuration at once: `where`, then one line a problem."""

    def __init__(self, problems: Sequence[str], where: str = "configuration") -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        super().__init__("\n  ".join([f"{where}: {count}", *self.problems]))


class DataError(UserError):
    """A source that cannot be read, or whose facts do not fit what was asked."""


class RunError(UserError):
    """A run folder that already exists, is incomplete, or cannot be written."""


class TrainingStoppedError(NearfarError):
    """NaN, out of memory, disk full: the last complete checkpoint stays."""

    exit_code: ClassVar[int] = 3


class DivergedError(TrainingStoppedError):
    """A loss, a gradient or a weight is no finite number."""


class OwnMethodError(NearfarError):
    """What nearfar did not foresee, raised from it; a method of the user's own is the first place
    to look.
    """


class NotFiniteError(NearfarError, ValueError):
    """A loss was given rows that are no finite numbers; the training loop makes a DivergedError of
    it.
    """


class NothingToCompareError(NearfarError, ValueError):
    """A batch without a pair that the loss could learn from; the training loop makes a
    TrainingStoppedError of it.
    """
