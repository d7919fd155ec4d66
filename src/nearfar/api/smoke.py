"""`--smoke`: a run that only shows that everything works."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from nearfar.config.loading import Sections, merge

LARGEST_BATCH, LARGEST_SIZE_PX = 8, 64


def smoked(sections: Sections, given: Collection[str]) -> Sections:
    """The sections of a run that only shows that everything works: two steps an epoch, one epoch a
    stage, batches of at most 8, views of at most 64 px.

    Prototypes are as few as such a batch, so that a few images are enough for them. Weights that a
    recipe would have downloaded are left out, unless the user has typed that they are wanted.
    """
    train, data, encoder, method = (
        sections.get(name, {}) for name in ("train", "data", "encoder", "method")
    )
    changes: list[tuple[str, str, Any]] = [
        ("train", "epochs", 1),
        ("train", "steps_per_epoch", 2),
        ("train", "batch_size", _at_most(LARGEST_BATCH, train.get("batch_size"))),
        ("schedule", "warmup_epochs", 0),
    ]
    if sections.get("classifier", {}).get("kind") is not None:
        largest = _at_most(LARGEST_BATCH, sections["classifier"].get("batch_size"))
        changes += [("classifier", "epochs", 1), ("classifier", "batch_size", largest)]
    if "size" in data or encoder.get("pretrained") or _is_file(encoder.get("weights")):
        changes.append(("data", "size", _at_most(LARGEST_SIZE_PX, data.get("size"))))
    if "prototypes" in method:
        changes.append(("method", "prototypes", _at_most(LARGEST_BATCH, method["prototypes"])))
    if without_weights(sections, given):
        changes.append(("encoder", "pretrained", False))
    return merge(sections, changes)


def without_weights(sections: Sections, given: Collection[str]) -> bool:
    """Whether published weights are wanted by a recipe alone."""
    wanted = bool(sections.get("encoder", {}).get("pretrained"))
    return wanted and "encoder.pretrained" not in given


def _is_file(weights: object) -> bool:
    """Whether views would be as large as the network's own: a run or a folder says its size."""
    return weights is not None and not Path(str(weights)).expanduser().is_dir()


def _at_most(most: int, asked: object) -> object:
    """What is no number stays, to be refused as such."""
    return min(asked, most) if isinstance(asked, int) else most if asked is None else asked
