"""docs/methods.md, from the classes: what each says of itself, what it is built of, what a step
costs.

Built for CIFAR-10 and ResNet-18. Costs are the products and convolutions of a step, forward and
backward, counted by torch; they do not depend on the machine.
"""

import inspect
import sys
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nearfar.config.keys import keys_of
from nearfar.config.models import Section
from nearfar.core.types import Batch, DataFacts
from nearfar.experiment.choices import FEW_IMAGES
from nearfar.methods import METHODS, method_class
from nearfar.methods.base import Method
from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.prototypes import Prototypes
from nearfar.nn.queue import Queue
from nearfar.nn.target import TargetNetwork
from nearfar.views.making import ViewPlan
from nearfar.views.policies import NEW_ON_FEW, default_policy, named_policy

SIZE, SAMPLES, CLASSES = 32, 4, 10
FACTS = DataFacts("cifar10", SIZE, tuple("0123456789"), (5000,) * CLASSES, 50_000)
NORMALIZED = {"all": "all views together", "views": "each view alone"}
HEAD = """# Methods

All methods of `nearfar methods`; this page is generated from the code. Pictures, widths and costs are those of ResNet-18
(its representation h has 512 dimensions) on CIFAR-10: 50,000 images of 32 px in 10 classes. The cost counts the
arithmetic (products and convolutions, forward and backward) of one training step, relative to a step of SimCLR on
equally many images. Which accuracy each method reaches, in which time and memory: [benchmarks.md](benchmarks.md#methods).
The learning rate is for 256 images per step, and is scaled in proportion to the batch size, or to its square root where
that is said. `frozen` is no method of learning: given weights (`--pretrained`, `encoder.weights`) are measured as they
are, a run in which nothing is trained. How far views are from those of the papers' own code, in numbers:
[views.md](views.md#deviations-from-the-papers-own-code). How to add a method of your own:
[your-own-method.md](your-own-method.md).

"""


def page() -> str:
    """The whole page."""
    return HEAD + _contents() + "\n" + "\n".join(_section(name) for name in METHODS)


def _contents() -> str:
    rows = [
        [
            f"[`{name}`](#{name})",
            "yes" if method_class(name).needs_labels else "no",
            _summary(name),
            f"{cost(name):.2f}",
        ]
        for name in METHODS
    ]
    return markdown_table(["method", "labels", "", "cost"], rows)


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """With its last line ended."""
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in [headings, *rows]]
    return "\n".join([lines[0], f"|{'---|' * len(headings)}", *lines[1:]]) + "\n"


def keys_table(section: str, model: type[Section]) -> str:
    """Key, default and meaning of each key of a section."""
    return markdown_table(
        ["key", "default", "meaning"],
        [[f"`{key.path}`", f"`{key.default}`", key.text] for key in keys_of(section, model)],
    )


def _summary(name: str) -> str:
    return method_class(name).Config.summary().partition(": ")[2]


def _section(name: str) -> str:
    kind = method_class(name)
    _, _, notes = (sys.modules[kind.__module__].__doc__ or "").strip().partition("\n\n")
    idea = " ".join((inspect.getdoc(kind.Config) or "").split())
    parts = [f"## {name}", idea, f"```text\n{picture(name)}\n```", _facts(name), notes]
    if kind.Config.model_fields:
        parts.append(keys_table("method", kind.Config).rstrip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(name: str) -> str:
    kind, optimizer = method_class(name), method_class(name).optimizer
    small = default_policy(kind.default_views, SIZE)
    policy, few = f"`{kind.default_views}`", f"new weights on fewer than {FEW_IMAGES:,} images"
    weaker = NEW_ON_FEW.get(kind.default_views, kind.default_views)
    if small == weaker != kind.default_views:
        policy += f" (up to 40 px, and {few}: `{small}`)"
    elif small != kind.default_views:
        policy += f" (up to 40 px `{small}`)"
    elif weaker != kind.default_views:
        policy += f" ({few}, over 40 px: `{weaker}`)"
    scaling = (
        " (scaled by the square root of the batch size)" if optimizer.scaling == "sqrt" else ""
    )
    scaling += ", constant" if optimizer.decay == "constant" else ""
    decay = (
        f"weight decay {optimizer.weight_decay:g}" if optimizer.weight_decay else "no weight decay"
    )
    spared = (
        ""
        if optimizer.decay_norms_and_biases or not optimizer.weight_decay
        else ", norms and biases without"
    )
    constant = f"; {', '.join(kind.constant_rate)} at a constant rate" if kind.constant_rate else ""
    return "\n".join(
        [
            f"- {kind.paper}",
            (
                f"- labels: {'needed' if kind.needs_labels else 'not used'}; views:"
                f" {kind.default_count} of each image by {policy}"
            ),
            (
                f"- optimizer: {optimizer.name}, learning rate {optimizer.lr_per_256:g}{scaling},"
                f" {decay}{spared}{constant}"
            ),
            f"- BatchNorm normalizes {NORMALIZED[kind.batch_norm_groups]}",
            f"- cost of a step: {cost(name):.2f} of SimCLR's",
        ]
    )


def picture(name: str) -> str:
    """A line from the views through the parts to the loss, and one for each thing that meets it
    there.
    """
    method = make(name)
    count = method_class(name).default_count
    views = f"{count} view{'s' if count > 1 else ''}"
    parts = {
        part: child
        for part, child in method.named_children()
        if not isinstance(child, (TargetNetwork, Queue))
    }
    del parts["encoder"]
    stages = [
        views,
        f"encoder{_looks(name, count, 'encoder')}",
        "h" if name != "colorization" else "its map",
    ]
    for part, child in parts.items():
        stages += [f"{part} {_widths(child)}", *(["z"] if part == "projector" else [])]
    lines = [" -> ".join(stages)]
    for child in method.children():
        if isinstance(child, TargetNetwork):
            copied = ", ".join(part for part, _ in child.named_children())
            looks = _looks(name, count, "target.encoder")
            lines.append(f"{views} -> target{looks}: a slow copy of {copied}, no gradient")
        if isinstance(child, Queue):
            lines.append(f"queue: {len(child):,} rows of earlier batches")
    if method_class(name).needs_labels:
        lines.append("labels")
    width = max(map(len, lines))
    ends = ["-> loss" if at == 0 else "--^" for at in range(len(lines))]
    return "\n".join(
        f"{line} {'-' * (width - len(line))}{end}" for line, end in zip(lines, ends, strict=True)
    )


def _looks(name: str, count: int, part: str) -> str:
    """What an encoder is given of each image, where that is not each view as it is."""
    seen = step(name).seen[part]
    if seen in ({SIZE: count}, {}):  # a map is taken from inside the network, past its front door
        return ""
    return f" ({' and '.join(f'{many:g} of {side} px' for side, many in sorted(seen.items()))})"


def _widths(part: nn.Module) -> str:
    if isinstance(part, Prototypes):
        return f"{part.weight.shape[1]}-{len(part)}"
    layers = [module for module in part.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    sizes = [tuple(layer.weight.shape[:2]) for layer in layers]
    return "-".join(str(size) for size in [sizes[0][1], *(out for out, _ in sizes)])


@cache
def make(name: str) -> Method:
    kind = method_class(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(
            build_encoder("resnet18", example=torch.zeros(1, 3, SIZE, SIZE)), kind.Config(), FACTS
        )


class Step(NamedTuple):
    operations: int
    # by each encoder: images of each side, for each image of the batch
    seen: dict[str, dict[int, float]]


def cost(name: str) -> float:
    """Operations of a step, relative to SimCLR's."""
    return step(name).operations / step("simclr").operations


@cache
def step(name: str) -> Step:
    method, kind = make(name), method_class(name)
    policy = named_policy(default_policy(kind.default_views, SIZE))
    plan = ViewPlan(policy, kind.default_count, SIZE, mean=FACTS.mean, std=FACTS.std)
    source = torch.Generator().manual_seed(0)
    views = tuple(
        torch.randn(group.views, SAMPLES, 3, group.size, group.size, generator=source)
        for group in plan.groups
    )
    index = torch.arange(SAMPLES)
    labels = index % 2 if kind.needs_labels else torch.full_like(index, -1)
    batch = Batch(views, labels, index, torch.zeros_like(index), 0, 0, 0.5)
    seen: dict[str, dict[int, float]] = {}
    nets = {
        part: module.net for part, module in method.named_modules() if isinstance(module, Encoder)
    }
    hooks = [
        net.register_forward_pre_hook(partial(_count, seen.setdefault(part, {})))
        for part, net in nets.items()
    ]
    with FlopCounterMode(display=False) as counted:
        loss: Tensor = method(batch).loss
        loss.backward()
    for hook in hooks:
        hook.remove()
    return Step(counted.get_total_flops(), seen)


def _count(seen: dict[int, float], _net: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    rows, side = inputs[0].shape[0], inputs[0].shape[-1]
    seen[side] = seen.get(side, 0) + rows / SAMPLES
