"""What a run is trained with: its images, its batches, its online probe."""

import torch
from lightning_fabric import Fabric

from nearfar.data.samples import EvaluationView, Samples
from nearfar.experiment.setup import Setup
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.training.batches import Batches
from nearfar.training.online_probe import OnlineProbe
from nearfar.views.making import ViewPlan


def make_online_probe(
    setup: Setup, samples: Samples, width: int, device: torch.device
) -> OnlineProbe | None:
    if not setup.online_probe:
        return None
    return OnlineProbe(samples.labels, width, len(samples.class_names), device)


def training_pool(samples: Samples, method: type[Method]) -> torch.Tensor:
    """The rows that a method trains on: train, and unlabeled ones where it can use them."""
    parts = (
        [samples.split("train"), samples.split("unlabeled")]
        if method.takes_unlabeled
        else [samples.split("train")]
    )
    return torch.cat(parts)


def make_view_plan(setup: Setup, view: EvaluationView, encoder: Encoder) -> ViewPlan:
    """The views that a run trains on, normalized as it is evaluated."""
    return ViewPlan(
        setup.views.policy,
        setup.views.count,
        view.size,
        view.mean,
        view.std,
        channels_last=encoder.memory_format == torch.channels_last,
    )


def make_batches(setup: Setup, samples: Samples, fabric: Fabric, method: Method) -> Batches:
    pool = training_pool(samples, type(method))
    return Batches(
        samples=samples,
        pool=pool,
        batch_size=setup.batch_size,
        steps_per_epoch=setup.steps_per_epoch,
        epochs=setup.epochs,
        seed=setup.seed,
        balanced=setup.config.data.balanced,
        with_labels=method.needs_labels,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
