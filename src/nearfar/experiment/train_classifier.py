"""The classifier stage: after pretraining the projector is dropped, and a head is trained on the
encoder with the labeled training images alone.

A frozen encoder's features are taken once, of images as they are evaluated; views of a policy, made
anew each epoch, are there for the asking, and for an encoder that learns on. (mlp on a frozen conv4
of supcon, rate .01: with features 97.9 %, with views 93.1, on digits; 58.4 and 56.6 on five kinds
of flowers at 64 px. 10 to 12 epochs, 1 to 3 seeds.) Everything random comes from streams of the
stage's own, so that it changes nothing else of a run, and it goes on after the last complete epoch.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from nearfar.core.errors import DivergedError, RunError
from nearfar.core.randomness import seeded, stream_seed
from nearfar.core.types import DataFacts
from nearfar.data.sampler import Sampling
from nearfar.data.samples import EvaluationView, FeatureSamples, Samples
from nearfar.evaluate.classifier import Classifier, Trained, classifier_of
from nearfar.evaluate.features import Features, extract, spread
from nearfar.evaluate.logistic import fit_probe
from nearfar.experiment.best_epoch import JUDGED, BestEpoch
from nearfar.experiment.evaluation import Evaluation
from nearfar.experiment.optimizing import optimizer_of
from nearfar.experiment.setup import SELECTION_BANK, ClassifierSetup, Setup
from nearfar.nn.encoders import Encoder
from nearfar.nn.heads import classifier_head
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters, load_checkpoint, save_checkpoint
from nearfar.training.classifier_stage import ClassifierStage, nothing_left
from nearfar.training.failures import what_to_try
from nearfar.training.loop import fit
from nearfar.training.observers import Audience, Row
from nearfar.training.optimizers import RATE_SCALE, parameter_groups
from nearfar.views.kinds import Policy
from nearfar.views.making import ViewPlan


@dataclass(frozen=True)
class _Stage:
    """What is decided of the stage, and the run that it belongs to."""

    run: Evaluation
    chosen: ClassifierSetup
    seed: int
    fabric: Fabric
    folder: RunFolder


def train_classifier(
    run: Evaluation, chosen: ClassifierSetup, encoder: Encoder, fabric: Fabric, folder: RunFolder
) -> Trained:
    """Trains the head, and a copy of the encoder where that is fine-tuned; `encoder` itself stays
    as it is.

    What it returns is of the epoch that is best on validation (a start from the linear probe is
    one), of the last where there is no validation. Writes classifier.jsonl by epoch, and what it
    goes on from under checkpoint/. DivergedError: a number is not finite.
    """
    seed = stream_seed(run.setup.seed, "classifier stage")
    stage = _Stage(run, chosen, seed, fabric, folder)
    samples, model, origin = _begin(stage, encoder)
    optimizer = _optimizer(stage, model)
    batches = _batches(stage, samples)
    kept: nn.Module = model if model.finetuned else model.head
    counters = Counters()
    if folder.classifier_checkpoint.exists():
        counters = load_checkpoint(folder.classifier_checkpoint, kept, optimizer)
    folder.keep_classifier_metrics_until(counters.epoch)
    judge, best = _Judge(stage, model, encoder), BestEpoch(kept, counters, folder)
    if counters.epoch == 0 and chosen.init == "probe":
        best.see(judge.row())
    pace = chosen.pace

    def after_epoch(row: Row) -> None:
        if not all(bool(torch.isfinite(tensor).all()) for tensor in kept.state_dict().values()):
            raise DivergedError(
                f"training stopped after epoch {counters.epoch} of the classifier stage: weights"
                f" are not finite. {what_to_try(row['lr'], pace.lr_key)}"
            )
        judged = judge.row()
        best.see(judged)
        row = {
            "epoch": counters.epoch,
            **{name: row[name] for name in ("loss", "accuracy", "lr")},
            **judged,
        }
        folder.append_classifier_metrics(row)
        if folder.writes:
            save_checkpoint(folder.classifier_checkpoint, kept, optimizer, counters)

    how = "finetuned" if chosen.finetuned else "frozen"
    title = f"classifier ({chosen.kind}, encoder {how}), seed {run.setup.seed}"
    if not run.progress.has_bars and counters.epoch < chosen.epochs:
        run.progress.say(f"  {title}")
    with run.progress.bar(batches.total_steps - counters.step, title) as bar:
        fit(fabric, model, optimizer, batches, pace, counters, Audience(bar, after_epoch))
    best.restore()
    return _finish(stage, model, counters, origin)


def _begin(stage: _Stage, encoder: Encoder) -> tuple[Samples, ClassifierStage, str]:
    """What is shown, and what learns: features and a head alone, or images and a copy of the
    encoder with a head. And in words what the head starts from.
    """
    run, device, chosen = stage.run, stage.fabric.device, stage.chosen
    pool, policy = _labeled(run.samples, "train"), chosen.policy
    from_probe = chosen.init == "probe"
    few = spread(pool, SELECTION_BANK) if chosen.standardize else pool[:0]
    seen = pool if policy is None or from_probe else few
    with run.progress.bar(len(seen), "features for the classifier") as bar:
        x = extract(encoder, run.samples, seen, bar)
    samples: Samples
    if policy is None:
        samples = _features(run.samples, pool, x, device)
        start = nothing_left(samples.rows[:1])
    else:
        samples = replace(run.samples, plan=_plan(policy, run.view, encoder))
        start = copy.deepcopy(encoder)
    model = _model(stage, start, samples.facts(), x)
    origin = _start_from_probe(run, model, encoder, pool, x) if from_probe else "a random start"
    return samples, model.to(device), origin


def _start_from_probe(
    run: Evaluation, model: ClassifierStage, encoder: Encoder, pool: Tensor, x: NDArray[np.float32]
) -> str:
    """The linear probe of `encoder`, whose representations of the pool are `x`."""
    samples = run.samples
    rows = _labeled(samples, "val")
    train, val = (
        Features(part, samples.labels[of].numpy(), of.numpy())
        for part, of in ((x, pool), (extract(encoder, samples, rows), rows))
    )
    probe = fit_probe(train, val, run.n_classes)
    start = probe.classifier
    model.start_from(torch.from_numpy(start.weight), torch.from_numpy(start.bias))
    return (
        f"the linear probe (weight decay {probe.weight_decay:g} chosen on {len(val)} validation"
        " images)"
    )


def _labeled(samples: Samples, split: str) -> Tensor:
    rows = samples.split(split)
    return rows[samples.labels[rows] >= 0]


def _features(
    samples: Samples, pool: Tensor, x: NDArray[np.float32], device: torch.device
) -> FeatureSamples:
    """The features `x` of the samples of the pool."""
    return FeatureSamples(
        name=samples.name,
        rows=torch.from_numpy(x).to(device),
        labels=samples.labels[pool],
        splits=np.full(len(pool), "train"),
        class_names=samples.class_names,
    )


def _plan(policy: Policy, view: EvaluationView, encoder: Encoder) -> ViewPlan:
    """One view of each image."""
    last = encoder.memory_format == torch.channels_last
    return ViewPlan(policy, 1, view.size, view.mean, view.std, channels_last=last)


def _model(
    stage: _Stage, encoder: Encoder, facts: DataFacts, x: NDArray[np.float32]
) -> ClassifierStage:
    """A head on `encoder`, standardized, where that is wanted, by training images `x` as the
    pretrained encoder represents them.
    """
    chosen = stage.chosen
    mean, scale = np.zeros(encoder.width), np.ones(encoder.width)
    if chosen.standardize:
        mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64) + 1e-6
    with seeded(stream_seed(stage.seed, "head initialisation")):
        head = classifier_head(
            chosen.kind,
            encoder.width,
            facts.n_classes,
            hidden_dim=chosen.hidden_dim,
            dropout=chosen.dropout,
        )
    return ClassifierStage(
        encoder,
        facts,
        head,
        mean=torch.from_numpy(mean).float(),
        scale=torch.from_numpy(scale).float(),
        finetuned=chosen.finetuned,
    )


def _optimizer(stage: _Stage, model: ClassifierStage) -> torch.optim.Optimizer:
    chosen = stage.chosen
    all_decay = chosen.optimizer.decay_norms_and_biases
    groups = parameter_groups(model.head, decay_norms_and_biases=all_decay)
    if chosen.encoder_lr is not None:
        scale = chosen.encoder_lr / chosen.pace.lr
        of_encoder = parameter_groups(model.encoder, decay_norms_and_biases=all_decay)
        groups += [{**group, RATE_SCALE: scale} for group in of_encoder]
    return optimizer_of(chosen.optimizer, groups)


def _batches(stage: _Stage, samples: Samples) -> Batches:
    """All labeled training samples."""
    chosen, fabric = stage.chosen, stage.fabric
    return Batches(
        samples=samples,
        pool=_labeled(samples, "train"),
        batch_size=chosen.batch_size,
        steps_per_epoch=chosen.steps_per_epoch,
        epochs=chosen.epochs,
        seed=stage.seed,
        sampling=_sampling(stage.run.setup),
        with_labels=True,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )


def _sampling(setup: Setup) -> Sampling:
    """The run's; groups, which are for pairs, are balanced classes to a classifier."""
    return Sampling("balanced") if setup.sampling.per_class is not None else setup.sampling


class _Judge:
    """Accuracy on at most 5,000 validation images after each epoch: by it the epoch is chosen."""

    def __init__(self, stage: _Stage, model: ClassifierStage, pretrained: Encoder) -> None:
        self.samples, self.model = stage.run.samples, model
        rows = _labeled(self.samples, "val")
        self.rows = spread(rows, SELECTION_BANK) if len(rows) else rows
        self.labels = self.samples.labels[self.rows].numpy()
        self.x = None if model.finetuned else extract(pretrained, self.samples, self.rows)

    def row(self) -> Row:
        if not len(self.rows):
            return {}
        x = self.x
        if x is None:
            x = extract(self.model.encoder, self.samples, self.rows)
        predicted = _classifier(self.model).predict(x)
        return {JUDGED: float((predicted == self.labels).mean())}


def _classifier(model: ClassifierStage) -> Classifier:
    arrays = {name: tensor.numpy() for name, tensor in model.folded().items()}
    return classifier_of(arrays, model.encoder.width, len(arrays["bias"]))


def _finish(stage: _Stage, model: ClassifierStage, counters: Counters, origin: str) -> Trained:
    chosen = stage.chosen
    n = len(_labeled(stage.run.samples, "train"))
    encoder = f"a fine-tuned copy (rate {chosen.encoder_lr:g})" if model.finetuned else "frozen"
    mlp = f"mlp ({chosen.hidden_dim} hidden, dropout {chosen.dropout:g})"
    shape = "linear" if chosen.kind == "linear" else mlp
    view = "features" if chosen.policy is None else f"one view ({chosen.policy_name})"
    standardized = "standardized" if chosen.standardize else "not standardized"
    rate = f"{chosen.optimizer.name} at rate {chosen.pace.lr:g} ({chosen.pace.schedule.decay})"
    protocol = (
        f"{shape} classifier on the last encoder, {encoder}; {chosen.epochs} epochs over {n}"
        f" labeled training images, {view} of each image, {standardized}, from {origin}, {rate},"
        f" weight decay {chosen.optimizer.weight_decay:g}; {_chosen_epoch(stage, counters)}"
    )
    own = model.encoder if model.finetuned else None
    return Trained(_classifier(model), own, protocol, counters.train_seconds)


def _chosen_epoch(stage: _Stage, counters: Counters) -> str:
    if counters.best_value < 0:
        return "nothing chosen on validation"
    n = min(len(_labeled(stage.run.samples, "val")), SELECTION_BANK)
    how, epochs = f"chosen on {n} validation images", stage.chosen.epochs
    if not counters.best_epoch:
        return f"the start {how}, before all {epochs} epochs"
    return f"epoch {counters.best_epoch} of {epochs} {how}"


def read_classifier(
    folder: RunFolder, width: int, n_classes: int
) -> tuple[Classifier, bool] | None:
    """What classifier.safetensors holds, and whether it goes with a fine-tuned encoder; None
    without the file.

    RunError: cut short, or not of this run.
    """
    if not folder.has(names.CLASSIFIER):
        return None
    tensors, header = folder.read_tensors(names.CLASSIFIER), folder.read_header(names.CLASSIFIER)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    try:
        classifier = classifier_of(arrays, width, n_classes)
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{folder.path / names.CLASSIFIER} does not fit this run: {error}; train again with"
            " --force"
        ) from error
    return classifier, header.get("encoder") == "finetuned"
