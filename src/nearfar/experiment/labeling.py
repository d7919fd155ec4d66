"""The labels that a run is given: each seed draws its own, so that several seeds tell what the luck
of a draw is worth, and all methods of a comparison have the same.
"""

from nearfar.config.models import RunConfig
from nearfar.core.types import DataFacts
from nearfar.data.images import ImageData
from nearfar.data.labels import LabelDraw, with_labels
from nearfar.experiment.setup import Setup


def label_draw(config: RunConfig) -> LabelDraw:
    """What is asked for, by the run's seed."""
    return LabelDraw.asked(config.data.model_dump(), config.train.seed)


def images_of(setup: Setup, images: ImageData) -> ImageData:
    """`images` with the labels that this run is given."""
    return with_labels(images, label_draw(setup.config))


def facts_of(setup: Setup, images: ImageData) -> DataFacts:
    """What this run knows of the images that could be read."""
    return images_of(setup, images).facts(setup.size)


def selection_line(facts: DataFacts) -> str | None:
    """That what is chosen on validation is chosen by more labels than there would be, where most
    are withheld.
    """
    labeled = sum(facts.val_counts)
    if not facts.n_withheld or labeled <= facts.n_train:
        return None
    return (
        f"all {labeled:,} validation images keep their labels, and training has {facts.n_train:,}:"
        " epoch, probe and classifier are chosen better than with so few labels in all (see"
        " docs/few-labels.md)"
    )
