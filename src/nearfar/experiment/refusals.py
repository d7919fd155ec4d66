"""What a run cannot be made of: DataErrors that say what was wanted, what came and what to do."""

from nearfar.config.models import RunConfig
from nearfar.core.errors import ConfigError, DataError
from nearfar.core.types import DataFacts
from nearfar.data.pairs import share_with_pairs
from nearfar.data.sampler import Sampling
from nearfar.experiment.setup import sampling_of
from nearfar.methods.base import Method

FEWEST_WITH_PAIRS = 0.1  # of a run's batches


def refuse_unfit(
    name: str, method: type[Method], facts: DataFacts, source: str, *, by_class: bool
) -> None:
    """DataError where the method, or batches composed by class, cannot work with these data."""
    if (reason := method.why_not(facts)) is not None:
        raise DataError(f"{name} {reason}")
    if facts.n_train + facts.n_unlabeled == 0:
        raise DataError(f"{source}: want images to train on, got none (only val and test)")
    if by_class and (reason := why_not_by_class(method, facts)) is not None:
        raise DataError(f"data.sampling: {name} {reason}; leave data.sampling out")
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


def why_not_by_class(method: type[Method], facts: DataFacts) -> str | None:
    """Why batches cannot be composed by class, or would show labels to a method without need: the
    rest of a sentence that begins with its name. None: they can, or nothing is trained.
    """
    if not method.Config.trains:
        return None
    if facts.n_classes == 0:
        return f"wants classes for it, and {facts.name} has no labels"
    if not method.needs_labels:
        return "learns without labels, and batches composed by class would show it some"
    if method.takes_unlabeled and facts.n_unlabeled:
        return (
            f"wants a class for each image, and would train on {facts.n_unlabeled:,} images without"
            " one (move those away to have it)"
        )
    return None


def refuse_batches(
    config: RunConfig, method: type[Method], facts: DataFacts, *, batch_size: int, views: int
) -> None:
    """ConfigError where settings of the method do not fit its batches; DataError where hardly any
    of them would hold a pair for the loss. Both say what helps.
    """
    unlabeled = facts.n_unlabeled if method.takes_unlabeled else 0
    images, sampling = facts.n_train + unlabeled, sampling_of(config)
    if problems := config.method.misfits(images, batch_size, views):
        raise ConfigError(problems)
    refuse_groups(config, facts, batch_size)
    needs = method.batch_needs(config.method, views)

    def share(size: int, sampling: Sampling) -> float:
        return share_with_pairs(
            needs, facts.class_counts, unlabeled=unlabeled, batch_size=size, sampling=sampling
        )

    if (found := share(batch_size, sampling)) >= FEWEST_WITH_PAIRS:
        return
    ways = []
    if not sampling.by_class and why_not_by_class(method, facts) is None:
        enough_so = share(batch_size, Sampling("balanced")) >= FEWEST_WITH_PAIRS
        ways += ["data.sampling=balanced"] * enough_so
    sizes = [2**k for k in range(images.bit_length()) if batch_size < 2**k <= images]
    sizes = [size for size in sizes if sampling.misfit(size, _present(facts)) is None]
    enough = (size for size in sizes if share(size, sampling) >= FEWEST_WITH_PAIRS)
    if (size := next(enough, None)) is not None:
        ways.append(f"train.batch_size={size}")
    if views == 1 and not method.batch_needs(config.method, 2).equals and needs.equals:
        ways.append("views.count=2")
    raise DataError(
        f"{config.method_name} learns from batches that hold {needs}, which {found:.1%} of the"
        f" batches of {batch_size} would; try --set"
        f" {', or '.join(ways) or 'another method.name'}"
    )


def refuse_groups(config: RunConfig, facts: DataFacts, batch_size: int) -> None:
    """ConfigError: a batch cannot be of whole groups of data.per_class."""
    misfit = sampling_of(config).misfit(batch_size, _present(facts))
    if misfit is not None and config.method.trains:
        raise ConfigError([f"train.batch_size: {misfit}"])


def _present(facts: DataFacts) -> int:
    """Classes with labeled training images."""
    return sum(count > 0 for count in facts.class_counts)


def refuse_labels_missing(config: RunConfig, facts: DataFacts, *, online_probe: bool) -> None:
    """DataError where the classifier stage, the online probe or experiments on labels have none."""
    data = config.data
    for key in ("labels_per_class", "label_fraction", "label_noise"):
        if getattr(data, key) is not None and (n := facts.n_classes) < 1 + (key == "label_noise"):
            wanted = "labels of at least 2 classes" if key == "label_noise" else "labels"
            got = f"1 class ({facts.class_names[0]})" if n else "none"
            raise DataError(f"data.{key}: wants {wanted}, and {facts.name} has {got}; leave it out")
    if config.classifier.kind is not None and sum(count > 0 for count in facts.class_counts) < 2:
        got = f"1 ({facts.class_names[0]})" if facts.n_classes else "none"
        raise DataError(
            "classifier.kind: wants labeled training images of at least 2 classes, and"
            f" {facts.name} has {got}; leave the classifier out (--set classifier.kind=none), or"
            " give labels (folders of classes)"
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
