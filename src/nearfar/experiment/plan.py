"""What a training command says before it works: at most six lines."""

from collections.abc import Mapping
from typing import Any

import torch

from nearfar.config.models import AS_EVALUATED, RunConfig
from nearfar.core.types import DataFacts
from nearfar.data.listing import Listing
from nearfar.data.store import store_bytes, store_side
from nearfar.experiment.evaluation import SELECTION_BANK
from nearfar.experiment.optimization import default_rate, starts_from_weights
from nearfar.methods import method_class
from nearfar.nn.encoders import Encoder
from nearfar.training.estimate import row_cost
from nearfar.views.reading import read_policy

FORWARD_SHARE = 1 / 3  # of a training step


def steps_per_epoch(config: RunConfig, pool: int) -> int:
    batch = config.train.batch_size
    assert batch is not None
    return config.train.steps_per_epoch or max(1, pool // batch)


def classifier_batch(config: RunConfig, pool: int) -> int:
    """Images a step of the classifier stage, of a pool of labeled ones."""
    assert config.train.batch_size is not None
    return min(config.train.batch_size, pool)


def classifier_steps(config: RunConfig, pool: int) -> int:
    """Steps an epoch of the classifier stage."""
    return config.train.steps_per_epoch or max(1, pool // classifier_batch(config, pool))


def selection_interval(config: RunConfig) -> int:
    """Every how many epochs kNN on validation is taken (and after the last); 0: never."""
    wanted = config.evaluate.selections
    return max(1, config.train.epochs // wanted) if wanted else 0


def plan_lines(
    config: RunConfig,
    listing: Listing,
    encoder: Encoder,
    pool: int,
    device: torch.device,
    where: str,
    *,
    lr_given: bool,
    runs: int = 1,
) -> list[str]:
    """Data, encoder, views, optimizer, estimate (of all `runs`), where it goes."""
    return [
        _data_line(config, listing),
        _encoder_line(config, encoder),
        (
            f"views      {_views(config)}; batch"
            f" {config.train.batch_size}{' balanced' if config.data.balanced else ''},"
            f" {steps_per_epoch(config, pool)} steps an epoch, {config.train.epochs} epochs, seed"
            f" {config.train.seed}"
        ),
        _optimizer_line(config, lr_given=lr_given),
        _estimate_line(config, listing, encoder, pool, device, runs),
        where,
    ]


def _data_line(config: RunConfig, listing: Listing) -> str:
    size = config.data.size
    assert size is not None
    facts = listing.facts(size)
    parts = [f"{facts.n_train:,} train", f"{facts.n_val:,} val", f"{facts.n_test:,} test"]
    if facts.n_unlabeled:
        parts.append(f"{facts.n_unlabeled:,} unlabeled")
    classes = f"{facts.n_classes} classes" if facts.n_classes else "no labels"
    side = store_side(listing, size)
    return (
        f"data       {facts.name}: {', '.join(parts)}; {classes}; stored at {side} px, shown at"
        f" {size} px"
    )


def _encoder_line(config: RunConfig, encoder: Encoder) -> str:
    million = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    stem = "small-image stem" if encoder.stem else "own stem"
    weights = (
        "hub's weights" if config.encoder.pretrained else config.encoder.weights or "new weights"
    )
    chunks = ""
    if encoder.micro_batch_size is not None:
        group = "; each chunk is a BatchNorm group" if encoder.has_batch_norm else ""
        chunks = f"; chunks of {encoder.micro_batch_size} rows{group}"
    return (
        f"encoder    {config.encoder.name} ({stem}, {weights}), width {encoder.width}, "
        f"{million:.3g} M parameters, {config.train.precision}{chunks}"
    )


def _optimizer_line(config: RunConfig, *, lr_given: bool) -> str:
    optimizer, schedule = config.optimizer, config.schedule
    assert optimizer.name is not None
    assert config.train.batch_size is not None
    rule = ""
    if not lr_given:
        _, where = default_rate(
            method_class(config.method_name), optimizer.name, config.train.batch_size
        )
        rule = f" ({where}{', a tenth on given weights' if starts_from_weights(config) else ''})"
    decayed = "" if optimizer.decay_norms_and_biases else ", none on norms and biases"
    return (
        f"optimizer  {optimizer.name}, lr {optimizer.lr:.4g}{rule}, weight decay"
        f" {optimizer.weight_decay:g}{decayed}; {schedule.decay} after {schedule.warmup_epochs:g}"
        f" warm-up epochs{_then(config)}"
    )


def _then(config: RunConfig) -> str:
    """The classifier stage, where there is one."""
    stage = config.classifier
    if stage.kind is None:
        return ""
    encoder = (
        "encoder frozen"
        if stage.encoder == "frozen"
        else f"encoder fine-tuned at lr {stage.encoder_lr:.3g}"
    )
    views = (
        f"{stage.epochs} epochs of"
        f" {'features' if stage.policy == AS_EVALUATED else f'{stage.policy} views'}"
    )
    return f"; then a classifier ({stage.kind}, {encoder}): {views}, lr {stage.lr:.3g}"


def _estimate_line(
    config: RunConfig,
    listing: Listing,
    encoder: Encoder,
    pool: int,
    device: torch.device,
    runs: int,
) -> str:
    size, batch = config.data.size, config.train.batch_size
    assert size is not None
    assert batch is not None
    cost = row_cost(encoder, device=device)
    rows = round(batch * views_a_sample(config))
    views = rows * steps_per_epoch(config, pool) * config.train.epochs
    facts = listing.facts(size)
    evaluated = images_evaluated(config, facts) * FORWARD_SHARE
    seconds = runs * (views + evaluated + _classifier_rows(config, facts)) * cost.seconds
    held = min(rows, config.train.micro_batch_size or rows)
    memory = (
        held * cost.saved_bytes
        + cost.weight_bytes
        + store_bytes(listing, store_side(listing, size))
    )
    return (
        f"estimate   about {duration(seconds)} of training, {memory / 2**30:.1f} GB beside the"
        " libraries' own"
    )


def _classifier_rows(config: RunConfig, facts: DataFacts) -> float:
    """What the classifier stage costs, in rows of a training step."""
    stage = config.classifier
    if stage.kind is None or stage.epochs is None:
        return 0.0
    judged = min(facts.n_val, SELECTION_BANK) * FORWARD_SHARE
    if stage.policy == AS_EVALUATED:
        return facts.n_train * FORWARD_SHARE + judged
    shown = classifier_steps(config, facts.n_train) * classifier_batch(config, facts.n_train)
    if stage.encoder == "frozen":
        return stage.epochs * shown * FORWARD_SHARE + judged
    return stage.epochs * (shown + judged) + facts.n_test * FORWARD_SHARE


def policy_name(policy: str | Mapping[str, Any]) -> str:
    """A named policy's name; `custom` for one that the configuration spells out, which stands in
    run.toml.
    """
    return policy if isinstance(policy, str) else "custom"


def _views(config: RunConfig) -> str:
    assert config.views.policy is not None
    assert config.views.count is not None
    assert config.data.size is not None
    described = read_policy(config.views.policy).describe(config.views.count, config.data.size)
    return f"{policy_name(config.views.policy)} x {described}"


def views_a_sample(config: RunConfig) -> float:
    """How many views of full size each image is shown in; smaller ones count by their pixels."""
    assert config.views.policy is not None
    assert config.views.count is not None
    assert config.data.size is not None
    return read_policy(config.views.policy).cost(config.views.count, config.data.size)


def images_evaluated(config: RunConfig, facts: DataFacts) -> int:
    """How many images a run's evaluations encode: three times all, and a few for each selection."""
    if not (facts.n_train and facts.n_val and facts.n_test):
        return 0
    every = selection_interval(config)
    selections = -(-config.train.epochs // every) if every else 0
    each = min(facts.n_train, SELECTION_BANK) + min(facts.n_val, SELECTION_BANK)
    return 3 * (facts.n_train + facts.n_val + facts.n_test) + selections * each


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h'."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
