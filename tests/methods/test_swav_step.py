"""SwAV's step is that of its authors' main_swav.py, written down plainly."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.types import Batch, DataFacts
from nearfar.methods.swav import SwAV
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder

SAMPLES, STEPS, TEMPERATURE, EPSILON, ROUNDS = 8, 6, 0.1, 0.05, 3
FROZEN_STEPS = 2


def distributed_sinkhorn(out: Tensor) -> Tensor:
    q = torch.exp(out / EPSILON).t()
    b, k = q.shape[1], q.shape[0]
    q = q / torch.sum(q)
    for _ in range(ROUNDS):
        q = q / torch.sum(q, dim=1, keepdim=True) / k
        q = q / torch.sum(q, dim=0, keepdim=True) / b
    return (q * b).t()


class Theirs(nn.Module):
    """resnet50.py's model and main_swav.py's loop, without its queue."""

    def __init__(self, method: SwAV) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(method.encoder.net)
        self.projection_head = copy.deepcopy(method.projector)
        self.prototypes = nn.Linear(
            method.prototypes.weight.shape[1], len(method.prototypes), bias=False
        ).double()
        self.prototypes.weight.data.copy_(method.prototypes.weight.data)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)

    def iteration(self, groups: tuple[Tensor, ...], iteration: int) -> float:
        with torch.no_grad():
            w = F.normalize(self.prototypes.weight.data.clone(), dim=1, p=2)
            self.prototypes.weight.copy_(w)
        # crops of one resolution together, and the head on all of them
        embedding = torch.cat([self.backbone(group.flatten(0, 1)) for group in groups])
        output = self.prototypes(F.normalize(self.projection_head(embedding), dim=1, p=2))
        crops, loss = sum(map(len, groups)), torch.zeros(()).double()
        for crop_id in range(len(groups[0])):
            with torch.no_grad():
                q = distributed_sinkhorn(output[SAMPLES * crop_id : SAMPLES * (crop_id + 1)])
            subloss = torch.zeros(()).double()
            for v in np.delete(np.arange(crops), crop_id):
                x = output[SAMPLES * v : SAMPLES * (v + 1)] / TEMPERATURE
                subloss = subloss - torch.mean(torch.sum(q * F.log_softmax(x, dim=1), dim=1))
            loss = loss + subloss / (crops - 1)
        loss = loss / len(groups[0])
        self.optimizer.zero_grad()
        loss.backward()
        if iteration < FROZEN_STEPS:
            self.prototypes.weight.grad = None
        self.optimizer.step()
        return float(loss.detach())


@pytest.mark.parametrize("small_views", [0, 2])
def test_losses_gradients_and_weights_are_those_of_the_authors_loop(small_views):
    torch.manual_seed(0)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")
    config = SwAV.Config(prototypes=10, hidden_dim=20, frozen_until=FROZEN_STEPS / STEPS)
    facts = DataFacts("toy", 8, (), (), 0, n_unlabeled=48)
    method = SwAV(encoder, config, facts).double()
    method.prototypes.renormalize()  # their lengths were 1 in float32
    theirs = Theirs(method)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)
    source = torch.Generator().manual_seed(1)
    index = torch.arange(SAMPLES)
    for step in range(STEPS):
        views = [torch.randn(2, SAMPLES, 3, 12, 12, generator=source, dtype=torch.float64)]
        if small_views:
            views.append(
                torch.randn(small_views, SAMPLES, 3, 8, 8, generator=source, dtype=torch.float64)
            )
        progress = step / STEPS
        result = method(
            Batch(tuple(views), -torch.ones_like(index), index, 0 * index, step, 0, progress)
        )
        optimizer.zero_grad()
        result.loss.backward()
        method.after_backward(progress)
        expected = theirs.iteration(tuple(views), step)
        assert abs(float(result.loss.detach()) - expected) <= 1e-9
        # gradients are still there: both optimizers read and kept them
        pairs = [
            (method.encoder.net, theirs.backbone),
            (method.projector, theirs.projection_head),
            (method.prototypes, theirs.prototypes),
        ]
        for mine, other in pairs:
            for a, b in zip(mine.parameters(), other.parameters(), strict=True):
                assert (a.grad is None) == (b.grad is None)
                assert a.grad is None or float((a.grad - b.grad).abs().max()) <= 1e-9
        optimizer.step()
        method.after_step(result.remember, progress)
    moved = F.normalize(theirs.prototypes.weight.detach(), dim=1)
    assert float((method.prototypes.weight.detach() - moved).abs().max()) <= 1e-9
