"""From samples to batches of views on the device: the same batch for every number of ranks."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from nearfar.core.types import Batch
from nearfar.data.sampler import Sampling, epoch_batches
from nearfar.data.samples import Samples


@dataclass(frozen=True)
class Batches:
    """The batches of a run. Labels are handed out only `with_labels`; otherwise all are -1."""

    samples: Samples
    pool: Int64[Tensor, " sample"]  # rows of `samples` that take part
    batch_size: int  # samples a step, over all ranks
    steps_per_epoch: int
    epochs: int
    seed: int
    sampling: Sampling
    with_labels: bool
    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0."""
        labels = self.samples.labels
        order = epoch_batches(
            self.pool,
            labels[self.pool],
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            sampling=self.sampling,
            steps=self.steps_per_epoch,
            rank=self.rank,
            world_size=self.world_size,
            shards=None if (shards := self.samples.shards()) is None else shards[self.pool.numpy()],
        )
        for step, (index, draw) in enumerate(self.samples.ahead(order)):
            at = (epoch * self.steps_per_epoch + step) / self.total_steps
            yield self._batch(index, draw, labels[index], epoch, at)

    def _batch(
        self, index: Tensor, draw: Tensor, labels: Tensor, epoch: int, progress: float
    ) -> Batch:
        views = self.samples.views(index, draw, seed=self.seed, epoch=epoch)
        index, draw = index.to(self.device), draw.to(self.device)
        shown = labels if self.with_labels else torch.full_like(labels, -1)
        return Batch(views, shown.to(self.device), index, draw, self.seed, epoch, progress)
