"""What the ranks train: each method for three steps under DDP, and the same on one rank with the whole batch.

BatchNorm is replaced by one that sees all ranks' rows (torch's own refuses a CPU), but for the case of MoCo whose
point is BatchNorm in groups.
"""

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

STEPS, SIDE, CLASSES = 3, 8, 3
SHARES = {"uneven": (5, 3), "even": (4, 4)}  # samples a rank
GROUPED = "moco, BatchNorm in groups of samples"
CASES = {**dict.fromkeys(METHODS, "uneven"), GROUPED: "even"}
FACTS = DataFacts("toy", SIDE, tuple("abc"), (14, 14, 12), 40)
Steps = list[tuple[Tensor, Tensor]]  # of each step its loss and its whole gradient


class NormOverRanks(nn.Module):
    """BatchNorm in training mode, without running statistics, over the rows of all ranks."""

    def __init__(self, norm: _BatchNorm, group: Group) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.group = norm.weight, norm.bias, norm.eps, group

    def forward(self, x: Tensor) -> Tensor:
        over = [at for at in range(x.ndim) if at != 1]
        rows = torch.tensor(x.numel() / x.shape[1], dtype=x.dtype)
        count = all_sum(rows, self.group)
        centred = x - all_sum(x.sum(dim=over, keepdim=True), self.group) / count
        variance = all_sum(centred.square().sum(dim=over, keepdim=True), self.group) / count
        out = centred * (variance + self.eps).rsqrt()
        if self.weight is None:
            return out
        shape = [-1 if at == 1 else 1 for at in range(x.ndim)]
        return out * self.weight.view(shape) + self.bias.view(shape)


def _replace_norms(module: nn.Module, group: Group) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, NormOverRanks(child, group))
        else:
            _replace_norms(child, group)


def made(case: str, group: Group) -> Method:
    kind = method_class(case.partition(",")[0])
    settings: dict[str, Any] = {"batch_norm_group": 4} if case == GROUPED else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = Encoder(conv4().double(), size=SIDE, architecture="conv4")
        method = kind(encoder, kind.Config(**settings), FACTS).double()
    if case != GROUPED:
        _replace_norms(method, group)
    method.group = group
    return method


def batch_of(case: str, step: int, part: slice) -> Batch:
    kind = method_class(case.partition(",")[0])
    samples = sum(SHARES[CASES[case]])
    source = torch.Generator().manual_seed(step)
    views = torch.randn(kind.default_count, samples, 3, SIDE, SIDE, generator=source, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (samples,), generator=source)
    labels[:2] = torch.arange(2)
    index = torch.arange(samples) + samples * step
    shown = labels if kind.needs_labels else torch.full_like(labels, -1)
    draw = torch.zeros_like(index)
    return Batch((views[:, part],), shown[part], index[part], draw[part], 0, 0, 0.5)


def trained(case: str, method: Method, wrapped: nn.Module, part: slice) -> tuple[Steps, dict[str, Tensor]]:
    """Losses and gradients of the steps, and the state after them, without statistics of norms."""
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    steps = []
    for step in range(STEPS):
        batch = batch_of(case, step, part)
        result = wrapped(batch)
        optimizer.zero_grad()
        result.loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])
        steps.append((result.loss.detach(), gradient))
        method.after_backward(batch.progress)
        optimizer.step()
        method.after_step(result.remember, batch.progress)
    state = {key: value for key, value in method.state_dict().items() if "running_" not in key and "tracked" not in key}
    return steps, state


def alone() -> dict[str, tuple[Steps, dict[str, Tensor]]]:
    return {case: trained(case, method := made(case, None), method, slice(None)) for case in CASES}


def _rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    results = {}
    for case, shares in CASES.items():
        method = made(case, dist.group.WORLD)
        sizes = SHARES[shares]
        part = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        results[case] = trained(case, method, DistributedDataParallel(method), part)
    torch.save(results, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()


def together(folder: Path) -> list[dict[str, tuple[Steps, dict[str, Tensor]]]]:
    """Every case on two ranks, in processes that are started once; a list by rank."""
    mp.spawn(_rank, args=(2, str(folder)), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
