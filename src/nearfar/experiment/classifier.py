"""The classifier stage: after pretraining the projector is dropped, and a head is trained on the
encoder with the labeled training images alone.

A frozen encoder's features are taken once, of images as they are evaluated; views of a policy, made
anew each epoch, are there for the asking, and for an encoder that learns on. (mlp on a frozen conv4
of supcon, rate .01: with features 97.9 %, with views 93.1, on digits; 58.4 and 56.6 on five kinds
of flowers at 64 px. 10 to 12 epochs, 1 to 3 seeds.) Everything random comes from streams of the
stage's own, so that it changes nothing else of a run, and it goes on after the last complete epoch.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from nearfar.config.models import AS_EVALUATED
from nearfar.core.errors import DivergedError, RunError
from nearfar.core.randomness import seeded, stream_seed
from nearfar.evaluate.classifier import Classifier, Trained, classifier_of
from nearfar.evaluate.features import extract
from nearfar.experiment import folder as files
from nearfar.experiment.evaluation import SELECTION_BANK, Stage, spread
from nearfar.experiment.plan import classifier_batch, classifier_steps
from nearfar.nn.encoders import Encoder
from nearfar.nn.heads import classifier_head
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters, load_checkpoint, save_checkpoint
from nearfar.training.classifier import ClassifierStage
from nearfar.training.loop import Pace, Row, fit, what_to_try
from nearfar.training.optimizers import RATE_SCALE
from nearfar.training.schedules import Schedule
from nearfar.views.making import ViewPlan
from nearfar.views.reading import read_policy

LR_KEY = "classifier.lr"


def train_classifier(stage: Stage, encoder: Encoder, fabric: Fabric, out: Path) -> Trained:
    """Trains the head, and a copy of the encoder where that is fine-tuned; `encoder` itself stays
    as it is.

    Writes classifier.safetensors (and first encoder_finetuned.safetensors), classifier.jsonl by
    epoch, and checkpoint/classifier.pt, from which it goes on where there is one. DivergedError: a
    number is not finite.
    """
    config, chosen = stage.config, stage.config.classifier
    assert chosen.epochs is not None
    assert chosen.lr is not None
    seed = stream_seed(config.train.seed, "classifier stage")
    pool = _labeled(stage, "train")
    of_features = chosen.policy == AS_EVALUATED
    seen = pool if of_features else spread(pool, SELECTION_BANK)
    with stage.progress.bar(len(seen), "features for the classifier") as bar:
        x = extract(encoder, stage.data, seen, stage.view, bar)
    model = _model(stage, encoder, x, seed, of_features=of_features).to(fabric.device)
    optimizer = _optimizer(stage, model)
    batches = _batches(stage, encoder, pool, fabric, seed, x if of_features else None)
    kept: nn.Module = model if model.finetuned else model.head
    counters, path = Counters(), out / files.CLASSIFIER_CHECKPOINT
    if path.exists():
        counters = load_checkpoint(path, kept, optimizer)
    files.keep_rows_until(out / files.CLASSIFIER_METRICS, counters.epoch)
    judge = _Judge(stage, model)

    def after_epoch(row: Row) -> None:
        if not all(bool(torch.isfinite(tensor).all()) for tensor in kept.state_dict().values()):
            raise DivergedError(
                f"training stopped after epoch {counters.epoch} of the classifier stage: weights"
                f" are not finite. {what_to_try(row['lr'], LR_KEY)}"
            )
        row = {
            "epoch": counters.epoch,
            **{name: row[name] for name in ("loss", "accuracy", "lr")},
            **judge.row(),
        }
        files.append_metrics(out / files.CLASSIFIER_METRICS, row)
        save_checkpoint(path, kept, optimizer, counters)

    title = f"classifier ({chosen.kind}, encoder {chosen.encoder}), seed {config.train.seed}"
    if not stage.progress.has_bars and counters.epoch < chosen.epochs:
        stage.progress.say(f"  {title}")
    with stage.progress.bar(batches.total_steps - counters.step, title) as bar:
        pace = Pace(chosen.lr, 0.0, Schedule("cosine"), None, lr_key=LR_KEY)
        fit(
            fabric,
            model,
            optimizer,
            batches,
            pace,
            counters=counters,
            bar=bar,
            after_epoch=after_epoch,
        )
    return _finish(stage, model, counters, len(pool), out)


def _labeled(stage: Stage, split: str) -> Tensor:
    rows = stage.data.split(split)
    return rows[torch.as_tensor(stage.data.labels)[rows] >= 0]


def _model(
    stage: Stage, encoder: Encoder, x: NDArray[np.float32], seed: int, *, of_features: bool
) -> ClassifierStage:
    """Head on a copy of the encoder; standardized by training images `x` as the pretrained encoder
    represents them.
    """
    chosen = stage.config.classifier
    assert chosen.kind is not None
    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64) + 1e-6
    with seeded(stream_seed(seed, "head initialisation")):
        head = classifier_head(
            chosen.kind,
            encoder.width,
            stage.n_classes,
            hidden_dim=chosen.hidden_dim or 1,  # an mlp's are set; a linear one has neither
            dropout=chosen.dropout or 0.0,
        )
    return ClassifierStage(
        copy.deepcopy(encoder),
        stage.data.facts(stage.view.size),
        head,
        mean=torch.from_numpy(mean).float(),
        scale=torch.from_numpy(scale).float(),
        finetuned=chosen.encoder == "finetuned",
        of_features=of_features,
    )


def _optimizer(stage: Stage, model: ClassifierStage) -> torch.optim.Optimizer:
    chosen = stage.config.classifier
    assert chosen.lr is not None
    groups: list[dict[str, Any]] = [{"params": model.head.parameters()}]
    if model.finetuned:
        assert chosen.encoder_lr is not None
        groups.append(
            {"params": model.encoder.parameters(), RATE_SCALE: chosen.encoder_lr / chosen.lr}
        )
    return torch.optim.AdamW(groups, lr=chosen.lr, weight_decay=chosen.weight_decay)


def _batches(
    stage: Stage,
    encoder: Encoder,
    pool: Tensor,
    fabric: Fabric,
    seed: int,
    x: NDArray[np.float32] | None,
) -> Batches:
    """Of views, or of the features `x` of the pool."""
    config, view, features = stage.config, stage.view, None
    chosen = config.classifier
    assert chosen.policy is not None
    assert chosen.epochs is not None
    if x is not None:
        features = torch.zeros(len(stage.data), x.shape[1], device=fabric.device)
        features[pool.to(fabric.device)] = torch.from_numpy(x).to(fabric.device)
    policy = read_policy("basic" if x is not None else chosen.policy)
    channels_last = encoder.memory_format == torch.channels_last
    return Batches(
        data=stage.data,
        pool=pool,
        plan=ViewPlan(policy, 1, view.size, view.mean, view.std, channels_last=channels_last),
        batch_size=classifier_batch(config, len(pool)),
        steps_per_epoch=classifier_steps(config, len(pool)),
        epochs=chosen.epochs,
        seed=seed,
        balanced=config.data.balanced,
        with_labels=True,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        features=features,
    )


class _Judge:
    """Accuracy on at most 5,000 validation images after each epoch: shown, and nothing chosen by
    it.
    """

    def __init__(self, stage: Stage, model: ClassifierStage) -> None:
        self.stage, self.model = stage, model
        rows = _labeled(stage, "val")
        self.rows = spread(rows, SELECTION_BANK) if len(rows) else rows
        self.labels = torch.as_tensor(stage.data.labels)[self.rows].numpy()
        self.x = None if model.finetuned else self._features()

    def _features(self) -> NDArray[np.float32]:
        return extract(self.model.encoder, self.stage.data, self.rows, self.stage.view)

    def row(self) -> Row:
        if not len(self.rows):
            return {}
        x = self._features() if self.x is None else self.x
        predicted = _classifier(self.stage, self.model).predict(x)
        return {"classifier.top1.val": float((predicted == self.labels).mean())}


def _classifier(stage: Stage, model: ClassifierStage) -> Classifier:
    arrays = {name: tensor.numpy() for name, tensor in model.folded().items()}
    return classifier_of(arrays, model.encoder.width, stage.n_classes)


def _finish(stage: Stage, model: ClassifierStage, counters: Counters, n: int, out: Path) -> Trained:
    chosen = stage.config.classifier
    if model.finetuned:
        files.write_tensors(out / files.ENCODER_FINETUNED, model.encoder.net.state_dict())
    # one key: safetensors writes several in any order
    about: dict[str, str] = {"encoder": chosen.encoder}
    files.write_tensors(out / files.CLASSIFIER, model.folded(), about)
    encoder = f"a fine-tuned copy (rate {chosen.encoder_lr:g})" if model.finetuned else "frozen"
    shape = (
        "linear"
        if chosen.kind == "linear"
        else f"mlp ({chosen.hidden_dim} hidden, dropout {chosen.dropout:g})"
    )
    shown = (
        "features of each image"
        if model.of_features
        else f"one view ({chosen.policy}) of each image"
    )
    protocol = (
        f"{shape} classifier on the last encoder, {encoder}; {chosen.epochs} epochs over {n}"
        f" labeled training images, {shown}, AdamW at rate {chosen.lr:g}; nothing chosen on"
        " validation"
    )
    own = model.encoder if model.finetuned else None
    return Trained(_classifier(stage, model), own, protocol, counters.train_seconds)


def read_classifier(run: Path, width: int, n_classes: int) -> tuple[Classifier, bool] | None:
    """What classifier.safetensors holds, and whether it goes with a fine-tuned encoder; None
    without the file.

    RunError: cut short, or not of this run.
    """
    path = run / files.CLASSIFIER
    if not path.exists():
        return None
    tensors, about = files.read_tensors(path), files.read_about(path)
    try:
        classifier = classifier_of(
            {name: tensor.numpy() for name, tensor in tensors.items()}, width, n_classes
        )
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{path} does not fit this run: {error}; train again with --force"
        ) from error
    return classifier, about.get("encoder") == "finetuned"
