"""BatchNorm's groups are those of a method's authors: their step, written down plainly, has the same
loss, gradients and running statistics.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.types import Batch, DataFacts
from nearfar.methods import METHODS, method_class
from nearfar.methods.base import Method
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder

SAMPLES = 12
VIEWS_ALONE = {"byol", "simsiam", "barlow_twins", "vicreg", "nnclr", "moco", "supcon_moco"}


def made(name: str, **settings: object) -> Method:
    torch.manual_seed(0)
    kind = method_class(name)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")
    facts = DataFacts("toy", 8, ("a", "b"), (24, 24), 48)
    return kind(encoder, kind.Config(**settings), facts).double()


def a_batch(views: int = 2) -> Batch:
    source = torch.Generator().manual_seed(1)
    shown = torch.randn(views, SAMPLES, 3, 8, 8, generator=source, dtype=torch.float64)
    # views that differ in their statistics, as crops and colors of two kinds do
    shown = shown * torch.linspace(0.5, 1.5, views)[:, None, None, None, None].double()
    shown += torch.arange(views)[:, None, None, None, None]
    index = torch.arange(SAMPLES)
    return Batch((shown,), index % 2, index, torch.zeros_like(index), 0, 0, 0.5)


# The authors' steps. Each has modules of its own and calls them once per view, in their order.


def byol(method: nn.Module, one: Tensor, other: Tensor) -> Tensor:
    """byol_experiment.py of deepmind-research: `loss_fn`, one view through all, then the other."""
    online: list[Tensor] = []
    known: list[Tensor] = []
    for view in (one, other):
        online.append(method.predictor(method.projector(method.encoder.net(view))))
        with torch.no_grad():
            known.append(method.target.projector(method.target.encoder.net(view)))

    def regression_loss(x: Tensor, y: Tensor) -> Tensor:
        x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
        return (x - y).square().sum(dim=-1)

    loss = regression_loss(online[0], known[1].detach())
    loss = loss + regression_loss(online[1], known[0].detach())
    return loss.mean()


def simsiam(method: nn.Module, one: Tensor, other: Tensor) -> Tensor:
    """simsiam/builder.py and main_simsiam.py."""
    z1 = method.projector(method.encoder.net(one))
    z2 = method.projector(method.encoder.net(other))
    p1, p2 = method.predictor(z1), method.predictor(z2)
    first = F.cosine_similarity(p1, z2.detach(), dim=1).mean()
    second = F.cosine_similarity(p2, z1.detach(), dim=1).mean()
    return -(first + second) * 0.5


def barlow_twins(method: nn.Module, one: Tensor, other: Tensor) -> Tensor:
    """main.py of barlowtwins; the loss times the scale of the setting."""
    z1 = method.projector(method.encoder.net(one))
    z2 = method.projector(method.encoder.net(other))
    norm = nn.BatchNorm1d(z1.shape[1], affine=False).double()
    c = norm(z1).T @ norm(z2) / len(one)
    on = (torch.diagonal(c) - 1).square().sum()
    off = c.square().sum() - torch.diagonal(c).square().sum()
    return 0.1 * (on + 0.0051 * off)


def vicreg(method: nn.Module, one: Tensor, other: Tensor) -> Tensor:
    """main_vicreg.py."""
    x = method.projector(method.encoder.net(one))
    y = method.projector(method.encoder.net(other))
    repr_loss = F.mse_loss(x, y)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    std_x, std_y = (torch.sqrt(each.var(dim=0) + 0.0001) for each in (x, y))
    std_loss = F.relu(1 - std_x).mean() / 2 + F.relu(1 - std_y).mean() / 2
    cov_x, cov_y = (each.T @ each / (len(one) - 1) for each in (x, y))

    def off(c: Tensor) -> Tensor:
        return (c - torch.diag(torch.diagonal(c))).square().sum() / x.shape[1]

    return 25 * repr_loss + 25 * std_loss + off(cov_x) + off(cov_y)


STEPS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "byol": byol,
    "simsiam": simsiam,
    "barlow_twins": barlow_twins,
    "vicreg": vicreg,
}


@pytest.mark.parametrize("name", list(STEPS))
def test_loss_gradients_and_running_statistics_are_those_of_the_authors_step(name):
    method = made(name, **({} if name == "simsiam" else {"hidden_dim": 20}))
    theirs, batch = copy.deepcopy(method), a_batch()
    loss = method(batch).loss
    loss.backward()
    expected = STEPS[name](theirs, *batch.views[0])
    expected.backward()
    assert abs(float(loss.detach()) - float(expected.detach())) <= 1e-9
    gradients = dict(theirs.named_parameters())
    largest = max(float(p.grad.abs().max()) for p in gradients.values() if p.grad is not None)
    assert largest > 1e-3
    for key, parameter in method.named_parameters():
        if parameter.grad is None:
            assert gradients[key].grad is None
        else:
            assert float((parameter.grad - gradients[key].grad).abs().max()) <= 1e-9 * largest, key
    buffers = dict(theirs.named_buffers())
    compared = [key for key in buffers if key.endswith(("running_mean", "running_var", "tracked"))]
    assert len(compared) >= 15  # of four norms in the encoder and one or more in the heads
    for key, buffer in method.named_buffers():
        assert float((buffer - buffers[key]).abs().max()) <= 1e-9, key
    assert int(buffers["encoder.net.1.num_batches_tracked"]) == 2


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_normalizes_what_it_declares(name):
    """Another second view changes the first view's representation, or leaves it as it was."""
    method, batch = made_at_its_size(name)
    before = method(batch).representation
    (views,) = batch.views
    if len(views) < 2:
        return
    changed = views.clone()
    changed[1] = changed[1].square().flip(dims=(0, 3))
    after = method(
        Batch((changed,), batch.labels, batch.index, batch.draw, 0, 0, 0.5)
    ).representation
    moved = not torch.allclose(before[0], after[0], atol=1e-9)
    assert moved == (name not in VIEWS_ALONE)
    assert (method.batch_norm_groups == "views") == (name in VIEWS_ALONE)


def made_at_its_size(name: str) -> tuple[Method, Batch]:
    kind = method_class(name)
    side = max(8, kind.smallest_view_px)
    torch.manual_seed(0)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, side, side), architecture="conv4")
    facts = DataFacts("toy", side, ("a", "b"), (24, 24), 48)
    source = torch.Generator().manual_seed(1)
    views = torch.rand(
        kind.default_count, SAMPLES, 3, side, side, generator=source, dtype=torch.float64
    )
    index = torch.arange(SAMPLES)
    labels = index % 2 if kind.needs_labels else torch.full_like(index, -1)
    batch = Batch((views,), labels, index, torch.zeros_like(index), 0, 0, 0.5)
    return kind(encoder, kind.Config(), facts).double(), batch
