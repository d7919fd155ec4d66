"""What a run cannot be made of: DataErrors that say what was wanted, what came and what to do."""

from nearfar.config.models import RunConfig
from nearfar.core.errors import ConfigError, DataError
from nearfar.core.types import DataFacts
from nearfar.methods.base import Method


def refuse_unfit(
    name: str, method: type[Method], facts: DataFacts, source: str, *, balanced: bool
) -> None:
    """DataError where the method, or balanced batches, cannot work with these data."""
    if (reason := method.why_not(facts)) is not None:
        raise DataError(f"{name} {reason}")
    if facts.n_train + facts.n_unlabeled == 0:
        raise DataError(f"{source}: want images to train on, got none (only val and test)")
    if balanced and method.Config.trains:
        _refuse_balanced(name, method, facts)
    learnt = zip(facts.class_names, facts.class_counts, facts.val_counts, strict=True)
    alone = [name for name, train, val in learnt if train + val < 2]
    if alone and facts.n_classes > 1 and method.needs_labels:
        raise DataError(
            f"{source}: want at least 2 training images of each class, got fewer of"
            f" {', '.join(alone[:10])}{' ...' if len(alone) > 10 else ''}; add images or leave the"
            " class out"
        )


def refuse_nothing_given(config: RunConfig, *, own_module: bool) -> None:
    """ConfigError where nothing would be trained, and no weights are given to be measured. A module
    of the user's own has weights.
    """
    if config.method.trains or config.encoder.given or own_module:
        return
    raise ConfigError(
        [
            f"method.name: {config.method_name} measures given weights, and none are given; add"
            " --pretrained with --encoder NAME (a timm network), or --set encoder.weights=FILE;"
            " to train from new weights choose another --method"
        ]
    )


def _refuse_balanced(name: str, method: type[Method], facts: DataFacts) -> None:
    """DataError where batches cannot be composed by class, or where labels would so reach a method
    without need.
    """
    if facts.n_classes == 0:
        raise DataError(
            f"data.balanced: wants classes, and {facts.name} has no labels; leave data.balanced out"
        )
    if not method.needs_labels:
        raise DataError(
            f"data.balanced: {name} learns without labels, and batches composed by class would"
            " show it some; leave data.balanced out"
        )
    if method.takes_unlabeled and facts.n_unlabeled:
        raise DataError(
            f"data.balanced: wants a class for each image, and {name} would train on"
            f" {facts.n_unlabeled:,} images without one; leave data.balanced out, or the unlabeled"
            " images"
        )


def refuse_labels_missing(config: RunConfig, facts: DataFacts, *, online_probe: bool) -> None:
    """DataError where the classifier stage or the online probe have no labels to learn from."""
    if config.classifier.kind is not None and sum(count > 0 for count in facts.class_counts) < 2:
        got = f"1 ({facts.class_names[0]})" if facts.n_classes else "none"
        raise DataError(
            "classifier.kind: wants labeled training images of at least 2 classes, and"
            f" {facts.name} has {got}; leave the classifier out, or give labels (folders of"
            " classes)"
        )
    if config.classifier.init == "probe" and sum(facts.val_counts) == 0:
        raise DataError(
            "classifier.init: wants labeled validation images, by which the linear probe is chosen,"
            f" and {facts.name} has none; leave it out"
        )
    if online_probe and facts.n_train == 0:
        raise DataError(
            f"evaluate.online_probe: wants labels, and {facts.name} has none; leave it out"
        )


def refuse_batch(batch_size: int, images: int) -> None:
    """DataError: a batch of more images than there are."""
    if batch_size > images:
        raise DataError(
            f"train.batch_size: want at most {images} (the training images that can be read), got"
            f" {batch_size}"
        )
