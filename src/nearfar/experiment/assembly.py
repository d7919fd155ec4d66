"""What a run is trained with: its images, its batches, its online probe."""

import torch
from lightning_fabric import Fabric

from nearfar.data.samples import EvaluationView, Samples
from nearfar.experiment.setup import Setup
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


def training_pool(setup: Setup, samples: Samples) -> torch.Tensor:
    """The rows that a run trains on: train, and unlabeled ones where its method can use them."""
    parts = ["train", "unlabeled"] if setup.method.takes_unlabeled else ["train"]
    return torch.cat([samples.split(name) for name in parts])


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


def make_batches(setup: Setup, samples: Samples, fabric: Fabric) -> Batches:
    return Batches(
        samples=samples,
        pool=training_pool(setup, samples),
        batch_size=setup.batch_size,
        steps_per_epoch=setup.steps_per_epoch,
        epochs=setup.epochs,
        seed=setup.seed,
        sampling=setup.sampling,
        with_labels=setup.method.needs_labels,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
