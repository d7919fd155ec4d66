"""What the ranks compute: one case a form of a loss, on a small projector under DDP, and the same
on one rank.

A case gets the projected rows z (V, B, D) of the samples it is given, and everything else of those
samples.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nearfar import losses
from nearfar.losses import tiled
from nearfar.losses.tiled import cpu

SIZES = {2: (5, 3), 4: (4, 1, 3, 2)}  # samples a rank, uneven
VIEWS, INPUT, WIDTH, CLASSES, QUEUE = 3, 7, 5, 3, 4
Case = Callable[["Samples", Any], Tensor]


class Samples:
    """Some samples of the whole batch: projected rows, labels by kind, scores, shared
    parameters.
    """

    def __init__(self, net: "Net", batch: dict[str, Tensor], part: slice) -> None:
        self.z = net.projector(batch["x"][:, part])
        self.net = net
        self.batch, self.part = batch, part

    def labels(self, kind: str) -> Tensor:
        return self.batch[kind][self.part]


class Net(nn.Module):
    """Parameters of which each case uses all: what it does not use is tied in with weight 0."""

    def __init__(self) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(3)
        self.projector = nn.Linear(INPUT, WIDTH).double()
        self.temperature = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor(-2.0, dtype=torch.float64))
        self.prototypes = nn.Parameter(
            torch.randn(CLASSES, WIDTH, dtype=torch.float64, generator=source)
        )
        self.projector.weight.data = torch.randn(
            WIDTH, INPUT, dtype=torch.float64, generator=source
        )
        self.projector.bias.data = torch.randn(WIDTH, dtype=torch.float64, generator=source)

    def forward(self, case: str, batch: dict[str, Tensor], part: slice, group: Any) -> Tensor:
        unused = 0 * (self.prototypes.sum() + self.projector.weight.sum())
        unused = unused + 0 * (self.temperature + self.bias)
        return CASES[case](Samples(self, batch, part), group) + unused


def make_batch(world: int) -> dict[str, Tensor]:
    """The whole batch. "mixed": labels of all kinds; "apart": each class lives on one rank;
    "lonely": with one view the first rank has no positive anywhere; "none": no labels.
    """
    sizes = SIZES[world]
    total = sum(sizes)
    source = torch.Generator().manual_seed(world)
    ranks = torch.repeat_interleave(torch.arange(world), torch.tensor(sizes))
    labels = torch.randint(0, CLASSES, (total,), generator=source)
    lonely = torch.where(ranks == 0, 100 + torch.arange(total), torch.arange(total) % 2)
    return {
        "x": torch.randn(VIEWS, total, INPUT, dtype=torch.float64, generator=source),
        "mixed": torch.where(torch.arange(total) % 4 == 1, -1, labels),
        "full": labels,
        "apart": ranks,
        "lonely": lonely,
        "none": torch.full((total,), -1),
        "queue": torch.randn(6, WIDTH, dtype=torch.float64, generator=source),
        "score queue": torch.randn(
            VIEWS, QUEUE * world, CLASSES, dtype=torch.float64, generator=source
        ),
    }


def _sup_con(kind: str, views: int = VIEWS, **options: Any) -> Case:
    return lambda s, group: losses.sup_con(
        s.z[:views], s.labels(kind), temperature=0.3, group=group, **options
    )


def _sup_con_with_queue(s: Samples, group: Any, **options: Any) -> Tensor:
    known = torch.arange(len(s.batch["queue"])) % CLASSES - 1
    return losses.sup_con(
        s.z,
        s.labels("mixed"),
        temperature=0.3,
        queue=s.batch["queue"],
        queue_labels=known,
        group=group,
        **options,
    )


def _info_nce(negatives: str, *, queue: bool) -> Case:
    def case(s: Samples, group: Any) -> Tensor:
        rows = s.batch["queue"] if queue else None
        return losses.info_nce(s.z, temperature=0.3, negatives=negatives, queue=rows, group=group)

    return case


def _triplet(**options: Any) -> Case:
    return lambda s, group: losses.triplet(s.z, s.labels("full"), group=group, **options)


def _n_pairs(form: str, **options: Any) -> Case:
    return lambda s, group: losses.n_pairs(
        s.z[:2] / 3, s.labels("mixed"), form=form, group=group, **options
    )


def _swapped(*, assigning_views: int | None = None, queue: bool = False) -> Case:
    def case(s: Samples, group: Any) -> Tensor:
        scores = (
            nn.functional.normalize(s.z, dim=-1)
            @ nn.functional.normalize(s.net.prototypes, dim=-1).T
        )
        rows = s.batch["score queue"][: assigning_views or VIEWS]
        if group is not None:  # each rank holds its own part of the queue
            rows = rows[:, QUEUE * dist.get_rank(group) : QUEUE * (dist.get_rank(group) + 1)]
        return losses.swapped_prediction(
            scores, assigning_views=assigning_views, queue=rows if queue else None, group=group
        )

    return case


def _relation(form: str) -> Case:
    def case(s: Samples, group: Any) -> Tensor:
        scores = torch.cat([(s.z[0] * s.z[1]).sum(-1), (s.z[0] - s.z[2]).sum(-1)])
        targets = torch.cat([torch.ones(s.z.shape[1]), torch.zeros(s.z.shape[1])]).double()
        return losses.relation(scores, targets, form=form, group=group)

    return case


def _nothing_to_learn_from(s: Samples, group: Any) -> Tensor:
    """One view without labels: every rank must refuse, none may wait for another."""
    try:
        losses.sup_con(s.z[:1], s.labels("none"), temperature=0.3, group=group)
    except ValueError:
        return s.z.sum() * 0 + 42
    return s.z.sum() * 0


def _spoilt_on_one_rank(s: Samples, group: Any) -> Tensor:
    """A NaN among the samples of the last rank alone: every rank must refuse."""
    spoilt = s.z.detach().clone()
    if group is None or dist.get_rank(group) == dist.get_world_size(group) - 1:
        spoilt[0, 0, 0] = torch.nan
    try:
        losses.sup_con(spoilt, s.labels("full"), temperature=0.3, group=group)
    except ValueError:
        return s.z.sum() * 0 + 42
    return s.z.sum() * 0


CASES: dict[str, Case] = {
    **{
        f"sup_con {form} {contrast} {denominator} cap={cap}": _sup_con(
            "mixed", form=form, contrast=contrast, denominator=denominator, positives_cap=cap
        )
        for form in ("outside", "inside")
        for contrast in ("all_views", "one_view")
        for denominator in ("all", "only_negatives", "one_positive")
        for cap in (None, VIEWS)
    },
    "sup_con, each class on one rank": _sup_con("apart"),
    "sup_con, one view, a rank without a positive": _sup_con("lonely", views=1),
    "sup_con inside, one view, a rank without a positive": _sup_con(
        "lonely", views=1, form="inside"
    ),
    "sup_con without labels": _sup_con("none"),
    "sup_con and a queue": _sup_con_with_queue,
    "sup_con and a queue, one view against the rest": lambda s, g: _sup_con_with_queue(
        s, g, contrast="one_view"
    ),
    "sup_con refuses on every rank": _nothing_to_learn_from,
    "sup_con refuses what is spoilt on one rank": _spoilt_on_one_rank,
    **{
        f"info_nce {negatives}{' and a queue' if queue else ''}": _info_nce(negatives, queue=queue)
        for negatives, queue in [
            ("all_rows", False),
            ("all_rows", True),
            ("other_view", False),
            ("other_view", True),
            ("queue", True),
        ]
    },
    **{
        f"sup_con learns its temperature, {denominator} cap={cap}": lambda s, g, d=denominator, c=cap: (
            losses.sup_con(
                s.z,
                s.labels("mixed"),
                temperature=s.net.temperature,
                denominator=d,
                positives_cap=c,
                group=g,
            )
        )
        for denominator in ("all", "one_positive")
        for cap in (None, VIEWS)
    },
    "sup_con learns its temperature, one view against the rest": lambda s, g: losses.sup_con(
        s.z, s.labels("mixed"), temperature=s.net.temperature, contrast="one_view", group=g
    ),
    **{
        f"info_nce learns its temperature, {negatives}": lambda s, g, n=negatives: losses.info_nce(
            s.z, temperature=s.net.temperature, negatives=n, queue=s.net.prototypes, group=g
        )
        for negatives in ("all_rows", "other_view", "queue")
    },
    "sigmoid learns temperature and bias": lambda s, g: losses.sigmoid(
        s.z, temperature=s.net.temperature, bias=s.net.bias, group=g
    ),
    "n_pairs pairs": _n_pairs("pairs", length_weight=0.1),
    "n_pairs soft_labels": _n_pairs("soft_labels"),
    "margin_contrastive": lambda s, g: losses.margin_contrastive(s.z, s.labels("mixed"), group=g),
    "triplet all": _triplet(mining="all"),
    "triplet all, distances not squared": _triplet(mining="all", squared=False),
    "triplet semi_hard": _triplet(mining="semi_hard", margin=0.5),
    "triplet hard": _triplet(mining="hard"),
    "triplet hard, soft margin": _triplet(mining="hard", margin=None),
    "triplet, one view, a rank without a positive": lambda s, g: losses.triplet(
        s.z[:1], s.labels("lonely"), mining="hard", group=g
    ),
    "negative_cosine": lambda s, g: losses.negative_cosine(s.z, s.z.flip(-1), group=g),
    "swapped_prediction": _swapped(),
    "swapped_prediction, multi-crop and a queue": _swapped(assigning_views=2, queue=True),
    "centered_prediction": lambda s, g: losses.centered_prediction(
        s.z @ s.net.prototypes.T,
        s.z[:2] @ s.net.prototypes.T,
        center=s.batch["queue"][0, :CLASSES],
        group=g,
    ),
    "redundancy": lambda s, g: losses.redundancy(s.z, group=g),
    "variance_covariance": lambda s, g: losses.variance_covariance(s.z / 9, group=g),
    "relation bce": _relation("bce"),
    "relation focal": _relation("focal"),
    "large_margin_softmax": lambda s, g: losses.large_margin_softmax(
        s.z, s.net.prototypes, s.labels("mixed"), margin=3, softness=0.5, group=g
    ),
    "alignment": lambda s, g: losses.alignment(s.z, exponent=1.5, group=g),
    "uniformity": lambda s, g: losses.uniformity(s.z, group=g),
    "counting": lambda s, g: losses.counting(s.z.relu(), s.z[None].abs() / 2, margin=20, group=g),
    "color_prediction": lambda s, g: losses.color_prediction(
        s.z.repeat(1, 1, 63)[..., :313],
        50 * s.z[..., :2].detach(),
        torch.arange(313) / 156.0,
        counted=(s.labels("full") > 0).expand(s.z.shape[:2]),
        group=g,
    ),
}
PATHS = {"dense": 10**9, "tiled": 0}  # the largest number of pairs that the dense form serves


def _set_path(path: str) -> None:
    tiled.DENSE_UP_TO = PATHS[path]
    cpu.SIDE_ON_CPU = 4


def gradients(net: nn.Module, loss: Tensor) -> list[Tensor]:
    net.zero_grad()
    loss.backward()
    return [parameter.grad.clone() for parameter in net.parameters()]


def alone(world: int) -> dict[str, tuple[Tensor, list[Tensor]]]:
    """Every case on one rank with the batch of all."""
    net, batch = Net(), make_batch(world)
    results = {}
    for path in PATHS:
        kept = tiled.DENSE_UP_TO, cpu.SIDE_ON_CPU
        _set_path(path)
        for name in CASES:
            loss = net(name, batch, slice(None), None)
            results[f"{path}: {name}"] = (loss.detach(), gradients(net, loss))
        tiled.DENSE_UP_TO, cpu.SIDE_ON_CPU = kept
    return results


def _rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    net = DistributedDataParallel(Net())
    batch, sizes = make_batch(world), SIZES[world]
    part = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    results = {}
    for path in PATHS:
        _set_path(path)
        for name in CASES:
            loss = net(name, batch, part, dist.group.WORLD)
            results[f"{path}: {name}"] = (loss.detach(), gradients(net, loss))
    torch.save(results, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()


def together(world: int, folder: Path) -> list[dict[str, tuple[Tensor, list[Tensor]]]]:
    """Every case on so many ranks, in processes that are started once; a list by rank."""
    mp.spawn(_rank, args=(world, str(folder)), nprocs=world)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(world)]
