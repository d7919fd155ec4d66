"""What the ranks train: each method for three steps under DDP, and the same on one rank with the
whole batch.

BatchNorm is replaced by one that sees all ranks' rows (torch's own refuses a CPU), but where a
method keeps it, or its pairs, within blocks of samples: there a block is what a rank has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from nearfar.core.ranks import Group, all_sum
from nearfar.core.types import Batch, DataFacts
from nearfar.methods import METHODS, method_class
from nearfar.methods.base import Method
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder
from nearfar.views.making import ViewPlan
from nearfar.views.policies import named_policy

STEPS, CLASSES = 3, 3
SIDES = (8, 16, 32, 64)  # px; the first that a method can use, and whose smallest views conv4 can
SHARES = {False: (5, 3), True: (4, 4)}  # samples a rank, uneven or even
BLOCK = 4
# of each step its loss, its chance level and its whole gradient
Steps = list[tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Case:
    """`own_norms`: parts whose BatchNorm sees a block of samples and no more, as it should; a rank
    has one block.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    own_norms: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, int]:
        return SHARES[bool(self.own_norms)]


CASES = {
    **{name: Case(name) for name in METHODS},
    "relational": Case("relational", {"block_size": BLOCK}, ("relation",)),
    "swav, with a queue": Case("swav", {"queue_size": 16, "queue_from": 0.0}),
    "moco, BatchNorm in groups": Case(
        "moco", {"batch_norm_group": BLOCK}, ("encoder", "projector", "target")
    ),
    "supcon_moco, BatchNorm in groups": Case(
        "supcon_moco", {"batch_norm_group": BLOCK}, ("encoder", "projector", "target")
    ),
}


class NormOverRanks(nn.Module):
    """BatchNorm in training mode, without running statistics, over the rows of all ranks."""

    def __init__(self, norm: _BatchNorm, group: Group) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.group = norm.weight, norm.bias, norm.eps, group

    def forward(self, x: Tensor) -> Tensor:
        over = [at for at in range(x.ndim) if at != 1]
        rows = torch.tensor(x.numel() / x.shape[1], dtype=x.dtype)
        count = all_sum(rows, self.group)
        centered = x - all_sum(x.sum(dim=over, keepdim=True), self.group) / count
        variance = all_sum(centered.square().sum(dim=over, keepdim=True), self.group) / count
        out = centered * (variance + self.eps).rsqrt()
        if self.weight is None:
            return out
        shape = [-1 if at == 1 else 1 for at in range(x.ndim)]
        return out * self.weight.view(shape) + self.bias.view(shape)


def _replace_norms(module: nn.Module, group: Group, kept: tuple[str, ...] = ()) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, NormOverRanks(child, group))
        elif name not in kept:
            _replace_norms(child, group)


@cache
def facts_and_plan(name: str) -> tuple[DataFacts, ViewPlan]:
    kind = method_class(name)
    for side in SIDES:
        facts = DataFacts("toy", side, tuple("abc"), (14, 14, 12), 40)
        plan = ViewPlan(
            named_policy(kind.default_views), kind.default_count, side, (0.5,) * 3, (0.25,) * 3
        )
        if kind.why_not(facts) is None and min(group.size for group in plan.groups) >= SIDES[0]:
            return facts, plan
    raise AssertionError(f"{name} cannot use views of {SIDES} px")


def made(case: Case, group: Group) -> Method:
    kind = method_class(case.method)
    facts, _ = facts_and_plan(case.method)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = Encoder(
            conv4().double(),
            example=torch.zeros(1, 3, facts.side, facts.side),
            architecture="conv4",
        )
        method = kind(encoder, kind.Config(**case.settings), facts).double()
    _replace_norms(method, group, case.own_norms)
    method.group = group
    return method


def batch_of(case: Case, step: int, part: slice) -> Batch:
    """Noise in the shapes that the method's default policy gives, of all samples or a rank's part
    of them.
    """
    kind, samples = method_class(case.method), sum(case.sizes)
    _, plan = facts_and_plan(case.method)
    source = torch.Generator().manual_seed(step)
    views = tuple(
        torch.randn(
            group.views, samples, 3, group.size, group.size, generator=source, dtype=torch.float64
        )[:, part]
        for group in plan.groups
    )
    labels = torch.randint(0, CLASSES, (samples,), generator=source)
    labels[:2] = torch.arange(2)
    index = torch.arange(samples) + samples * step
    shown = labels if kind.needs_labels else torch.full_like(labels, -1)
    draw = torch.zeros_like(index)
    return Batch(views, shown[part], index[part], draw[part], 0, 0, 0.5)


def trained(
    case: Case, method: Method, wrapped: nn.Module, part: slice
) -> tuple[Steps, dict[str, Tensor]]:
    """What each step gives, and the state after them, without statistics of norms."""
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    steps = []
    for step in range(STEPS):
        batch = batch_of(case, step, part)
        result = wrapped(batch)
        optimizer.zero_grad()
        result.loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])
        steps.append((result.loss.detach(), result.logs.get("chance", torch.zeros(())), gradient))
        method.after_backward(batch.progress)
        optimizer.step()
        method.after_step(result.remember, batch.progress)
    state = {
        key: value
        for key, value in method.state_dict().items()
        if "running_" not in key and "tracked" not in key
    }
    return steps, state


def alone() -> dict[str, tuple[Steps, dict[str, Tensor]]]:
    return {
        name: trained(case, method := made(case, None), method, slice(None))
        for name, case in CASES.items()
    }


def _rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    results = {}
    for name, case in CASES.items():
        method = made(case, dist.group.WORLD)
        part = slice(sum(case.sizes[:rank]), sum(case.sizes[: rank + 1]))
        results[name] = trained(case, method, DistributedDataParallel(method), part)
    torch.save(results, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()


def together(folder: Path) -> list[dict[str, tuple[Steps, dict[str, Tensor]]]]:
    """Every case on two ranks, in processes that are started once; a list by rank."""
    mp.spawn(_rank, args=(2, str(folder)), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
