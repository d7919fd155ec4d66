"""`--smoke`: a run that only shows that everything works."""

from collections.abc import Collection
from typing import Any

from nearfar.config.loading import Sections, merge
from nearfar.experiment.choices import SMOKE_BATCH, SMOKE_SIZE_PX
from nearfar.methods import FROZEN


def smoked(sections: Sections, given: Collection[str]) -> Sections:
    """The sections of a run that only shows that everything works: two steps an epoch, one epoch a
    stage, and what is asked for no larger than batches of 8 and views of 64 px (no default is:
    `choices.choose_size`).

    Prototypes are as few as such a batch, so that a few images are enough for them. Weights that a
    recipe would have downloaded are left out, unless the user has typed that they are wanted.
    """
    changes: list[tuple[str, str, Any]] = [
        ("train", "epochs", 1),
        ("train", "steps_per_epoch", 2),
        ("schedule", "warmup_epochs", 0),
    ]
    if sections.get("classifier", {}).get("kind") is not None:
        changes.append(("classifier", "epochs", 1))
    largest = {
        ("train", "batch_size"): SMOKE_BATCH,
        ("classifier", "batch_size"): SMOKE_BATCH,
        ("method", "prototypes"): SMOKE_BATCH,
        ("data", "size"): SMOKE_SIZE_PX,
    }
    for (section, key), most in largest.items():
        asked = sections.get(section, {}).get(key)
        if isinstance(asked, int):  # what is no number stays, to be refused as such
            changes.append((section, key, min(asked, most)))
    if without_weights(sections, given):
        changes.append(("encoder", "pretrained", False))
    return merge(sections, changes)


def without_weights(sections: Sections, given: Collection[str]) -> bool:
    """Whether published weights are wanted by a recipe alone, for training from them."""
    wanted = bool(sections.get("encoder", {}).get("pretrained"))
    measured = sections.get("method", {}).get("name") == FROZEN
    return wanted and not measured and not {"encoder.pretrained", "encoder.weights"} & {*given}
