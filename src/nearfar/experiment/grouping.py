"""What is said of images that belong together: copies, near copies, what paths name."""

from collections.abc import Sequence

import numpy as np

from nearfar.core.progress import Progress
from nearfar.data.groups import NEAR
from nearfar.data.images import ImageData
from nearfar.data.listing import Listing
from nearfar.data.store import load
from nearfar.data.tables import group_column
from nearfar.evaluate.accuracy import UNSEEN
from nearfar.experiment.labeling import images_of
from nearfar.experiment.setup import Setup
from nearfar.report.formats import plural, quantity
from nearfar.run_folder.records import Measurement


def load_images(listing: Listing, setup: Setup, progress: Progress) -> ImageData:
    """The images of a decided run, cut around their groups. The plan goes on with what is known of
    those only now.
    """
    asked = setup.config.data
    data = load(
        listing,
        setup.center,
        strict=asked.strict,
        group_by=asked.group_by,
        streamed=asked.stream,
        progress=progress,
    )
    for line in grouping_lines(data, listing, setup):
        progress.say(f"  {line}")
    return data


def grouping_lines(data: ImageData, listing: Listing, setup: Setup) -> list[str]:
    """The cut around groups, and warnings where it leaves a split empty, or where a given test
    split was seen in training.
    """
    wanted = [split for split in ("val", "test") if split not in listing.given_splits]
    empty = [split for split in wanted if not (data.splits == split).any()]
    lines = []
    if large := _large(data):
        if len(empty) < len(wanted):
            lines.append(_cut_line(data, _grouped_by(setup)))
        if empty and len(data.class_names):
            lines.append(
                f"warning    no images for {' and '.join(empty)}, so nothing is measured there:"
                f" {plural(large, 'set')} of images kept together would have to be torn apart"
            )
    seen = seen_lines(images_of(setup, data), setup)
    return [*lines, *(f"warning    {text}; measured with and without them" for text in seen)]


def seen_lines(data: ImageData, setup: Setup) -> list[str]:
    """How many test images were seen in training; nothing where none was."""
    if not (seen := n_test_seen(data, setup)):
        return []
    what = {None: "copies of them", NEAR: "copies or near copies of them"}.get(
        by := _grouped_by(setup), f"others of their group ({by})"
    )
    test = plural(len(data.split("test")), "test image")
    return [f"{seen:,} of {test} {'was' if seen == 1 else 'were'} seen in training: it has {what}"]


def n_test_seen(data: ImageData, setup: Setup) -> int:
    seen = data.seen(setup.training_splits)
    return int(seen[data.split("test").numpy()].sum())


def without_seen(measurements: Sequence[Measurement]) -> list[str]:
    """What accuracy is without the test images that were seen in training, by each classifier."""
    last = {m.name: m for m in measurements if m.selection == "last"}
    return [
        f"{m.title}: {quantity(left.number, m.unit)} on the {plural(left.n or 0, 'test image')}"
        f" that training did not see, {quantity(m.number, m.unit)} on all {m.n:,}"
        for name, m in last.items()
        if (left := last.get(f"{name}{UNSEEN}")) is not None
    ]


def _grouped_by(setup: Setup) -> str | None:
    """What holds images together, beside their being equal: data.group_by, or a table's column."""
    by = (group_column(setup.source), setup.config.data.group_by)
    return " and ".join(filter(None, by)) or None


def _large(data: ImageData) -> int:
    """Groups of two or more images."""
    if data.groups is None:
        return 0
    return int((np.unique(data.groups, return_counts=True)[1] > 1).sum())


def _cut_line(data: ImageData, by: str | None) -> str:
    what = {None: "equal images", NEAR: "equal or nearly equal images"}.get(by, f"images by {by}")
    sides = ", ".join(
        f"{count:,} {split}"
        for split in ("train", "val", "test")
        if (count := int((data.splits == split).sum()))
    )
    many = plural(_large(data), f"set of {what}", f"sets of {what}")
    title = "copies" if by is None else "groups"
    return f"{title}     {many}, none on two sides of the cut: {sides}"
