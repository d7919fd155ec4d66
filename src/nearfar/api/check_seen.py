"""`nearfar check RUN --group-by near|REGEX`: how accuracy changes without the test images that have
another of their group in training.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import UserError
from nearfar.core.progress import Progress
from nearfar.data.groups import NEAR, has_one_in
from nearfar.data.labels import LabelDraw
from nearfar.data.looking import groups_by, look
from nearfar.data.sources import open_source
from nearfar.report.formats import percent, plural
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder


@dataclass(frozen=True)
class WithoutSeen:
    """Of the test images in embeddings.npz, by the classifier that serves for predictions."""

    group_by: str
    test: int
    seen: int
    accuracy: float
    accuracy_without: float | None  # None: all were seen

    def line(self) -> str:
        what = "a copy or near copy" if self.group_by == NEAR else f"others of {self.group_by}"
        have = "has" if self.seen == 1 else "have"
        head = f"{self.seen:,} of {plural(self.test, 'test image')} {have} {what} in training"
        of_all = f"{percent(self.accuracy)} % of all are predicted right"
        if not self.seen or self.accuracy_without is None:
            return f"{head}; {of_all}"
        return f"{head}; {of_all}, without them {percent(self.accuracy_without)} %"

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def without_seen(path: str | Path, group_by: str, progress: Progress) -> WithoutSeen:
    """Looks at the run's data again. UserError: they, or its predictions, are not there."""
    folder = RunFolder(Path(path).expanduser())
    section = folder.read_config()["data"]
    if section["source"] == "<Dataset>":
        raise UserError(f"--group-by: {path} was trained on a Dataset from Python; check its files")
    if not (folder.has(names.RESULTS) and folder.has(names.EMBEDDINGS)):
        raise UserError(f"--group-by: {path} has no test predictions; finish it with --resume")
    rows, results = folder.read_embeddings(), folder.read_results()
    known = (rows["split"] == "test") & (rows["labels"] >= 0) & (rows["predictions"] >= 0)
    if not known.any():
        raise UserError(f"--group-by: {path} has no test images with labels and predictions")
    seen = look(open_source(section["source"]), progress, group_by)
    listing = seen.listing.cut_around(
        groups_by(seen.listing, seen.copies, seen.near, section.get("group_by"))
    )
    takes_unlabeled = (results.train.images or 0) > results.data.n_train
    training = ["train", "unlabeled"] if takes_unlabeled else ["train"]
    draw = LabelDraw.asked(section, results.seed)
    given = draw.of(listing.labels, listing.splits, listing.paths, len(listing.class_names))
    shown = has_one_in(seen.groups, given.splits, training)
    of_test = {listing.paths[row] for row in np.flatnonzero(shown & (listing.splits == "test"))}
    right = rows["predictions"][known] == rows["labels"][known]
    left_out = np.isin(rows["paths"][known], list(of_test))
    return WithoutSeen(
        group_by,
        test=len(right),
        seen=int(left_out.sum()),
        accuracy=float(right.mean()),
        accuracy_without=None if left_out.all() else float(right[~left_out].mean()),
    )
