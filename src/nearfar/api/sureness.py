"""`--sure`: which images a run's classifier decides, and which are left to a person."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.core.errors import RunError, UserError
from nearfar.evaluate.accuracy import wilson
from nearfar.evaluate.sureness import HeldOut, Reference, smallest_threshold
from nearfar.run_folder import names


@dataclass(frozen=True)
class Sureness:
    """An image is decided where its class has at least the probability `threshold` and it is not
    unlike the training images. `threshold` None: nothing is.
    """

    wanted: float  # accuracy of the decided validation images, at least
    threshold: float | None
    reference: Reference

    def decides(self, row: dict[str, Any]) -> bool:
        """Whether it decides one of the predictions."""
        enough = self.threshold is not None and row["probability"] >= self.threshold
        return enough and not row["unlike"]

    def as_json(self) -> dict[str, Any]:
        """What it came from: its shares of validation, by which it was chosen, and of test."""
        return {
            "wanted": self.wanted,
            "threshold": self.threshold,
            "validation": self._share(self.reference.val),
            "test": self._share(self.reference.test),
        }

    def _share(self, of: HeldOut) -> dict[str, Any]:
        """How many of these labeled images it decides; how many of those are right, with the 95 %
        interval.
        """
        decided = of.distance <= self.reference.farthest
        decided &= of.probability >= (float("inf") if self.threshold is None else self.threshold)
        n, right = int(decided.sum()), int(of.right[decided].sum())
        accuracy, interval = (right / n, list(wilson(right, n))) if n else (None, None)
        return {"n": len(of), "decided": n, "accuracy": accuracy, "interval": interval}


def refuse_share(wanted: float) -> None:
    """UserError: no share."""
    if not 0 < wanted <= 1:
        meant = f" (did you mean {wanted / 100:g}?)" if 1 < wanted <= 100 else ""
        raise UserError(f"--sure: want a share above 0 and at most 1, got {wanted:g}{meant}")


def sureness(run: Path, reference: Reference | None, wanted: float) -> Sureness:
    """By the validation images of the run. RunError: the run has none to go by."""
    if reference is None:
        raise RunError(
            f"--sure: {run} has no {names.REFERENCE}, as runs of older versions and without labeled"
            f" validation images have none; write it by: nearfar probe {run}"
        )
    val = reference.val
    like = val.distance <= reference.farthest
    threshold = smallest_threshold(val.probability[like], val.right[like], wanted)
    return Sureness(wanted, threshold, reference)
