"""An encoder filled from tensors that another program has saved: under other names, in a larger
network, beside heads and optimizers.

Where the encoder's tensors stand is found by their names and shapes: what stands before all of them
("state_dict.module.encoder_q.", "teacher.backbone.") is whatever the program wrapped its network
into. No program is known here by name but for two habits: SupContrast calls a ResNet's downsample
"shortcut", and lightly's examples number the parts of a network.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.layers.patch_embed import resample_patch_embed
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from nearfar.core.errors import UserError
from nearfar.nn.building import path_of
from nearfar.nn.checkpoints import read_checkpoint
from nearfar.nn.encoders import Encoder

LEAST = 0.5  # of an encoder's numbers that have to be found
# of equal networks in one file DINO publishes its teacher, all others the one that learned by
# gradients
_FIRST, _LAST = "teacher", ("student", "momentum", "target", "encoder_k")


class Loaded(NamedTuple):
    """What of a file and an encoder did not meet."""

    left: tuple[str, ...] = ()  # of the encoder, as they were: an edited stem, and what is missing
    dropped: tuple[str, ...] = ()  # of the file: its classifier
    unused: tuple[str, ...] = ()  # of the file, in the network that was taken: all else
    resampled: tuple[str, ...] = ()  # positions and patches of a transformer for another size


def load_weights(encoder: Encoder, path: Path) -> Loaded:
    """`fill` from a file. UserError too: it cannot be read."""
    return fill(encoder, read_checkpoint(path), str(path))


def fill(encoder: Encoder, tensors: Mapping[str, Tensor], where: str) -> Loaded:
    """The encoder with these tensors' values; `where` names them in messages.

    Classifier weights are left out. UserError, and the encoder as it was: tensors of another shape,
    layers that the encoder has not, or less than half of its numbers found.
    """
    net, own = encoder.net, encoder.net.state_dict()
    before, names = _network_in(net, tensors)
    taken = {
        name: _fitted(net, name, tensors[full], own[name].shape) for name, full in names.items()
    }
    used = set(names.values())
    others = [full for full in tensors if full.startswith(before) and full not in used]
    dropped = [full for full in others if _is_classifier(net, full[len(before) :])]
    unused = [full for full in others if full not in dropped]
    edited = {f"{path_of(edit)}.weight" for edit in encoder.stem}
    _refuse_misfit(encoder, taken, [full[len(before) :] for full in unused], edited, where)
    fitting = {name: t for name, t in taken.items() if t.shape == own[name].shape}
    net.load_state_dict(fitting, strict=False)
    return Loaded(
        left=tuple(sorted(name for name in own if _counts(name) and name not in fitting)),
        dropped=tuple(dropped),
        unused=tuple(unused),
        resampled=tuple(name for name in fitting if fitting[name] is not tensors[names[name]]),
    )


def _refuse_misfit(
    encoder: Encoder,
    taken: Mapping[str, Tensor],
    unused: Sequence[str],
    edited: Container[str],
    where: str,
) -> None:
    """UserError: what was taken has another shape (but where nearfar `edited` the stem), what was
    not belongs to a layer that the encoder has too, or there is too little.
    """
    own = encoder.net.state_dict()
    wanted = {name: own[name].numel() for name in own if _counts(name) and name not in edited}
    missing = [name for name in wanted if name not in taken]
    wrong = [name for name in wanted if name in taken and taken[name].shape != own[name].shape]
    layers = {name.partition(".")[0] for name, _ in encoder.net.named_parameters()}
    unknown = [name for name in unused if name.partition(".")[0] in layers]
    lost = sum(wanted[name] for name in (*missing, *wrong))
    share = 1 - lost / sum(wanted.values())
    if not wrong and not unknown and share >= LEAST:
        return
    faults = [
        f"{len(missing)} missing",
        f"{len(wrong)} of another shape",
        f"{len(unknown)} unknown",
    ]
    raise UserError(
        f"encoder.weights: {where} does not fit {encoder.architecture}: {', '.join(faults)} (the"
        f" first: {[*missing, *wrong, *unknown][0]}), {100 * share:.0f} % of its numbers are there"
        f"{_how(wrong, taken, own)}; name the network that it was saved from"
    )


def _counts(name: str) -> bool:
    """Old files have no counters of batches, and nothing depends on them."""
    return not name.endswith("num_batches_tracked")


def _network_in(net: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, str]]:
    """What stands before the names of the network that fits best, and of each of its tensors that
    is there, the whole name.
    """
    own = net.state_dict()
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for full in tensors:
        for before, rest in _splits(full):
            if (name := _own_name(net, own, rest)) is not None:
                found[before].setdefault(name, full)

    def fit(before: str) -> tuple[int, int, int]:
        names = found[before]
        same = [name for name, full in names.items() if tensors[full].shape == own[name].shape]
        words = before.split(".")
        is_first = _FIRST in words
        is_last = any(_is_copy(word) for word in words)
        return sum(own[name].numel() for name in same), is_first - is_last, -len(before)

    best = max(found, key=fit, default="")
    return best, found[best]


def _is_copy(word: str) -> bool:
    """Whether a part of a name says that what it holds follows another network."""
    return any(part in word for part in _LAST) or "ema" in word.split("_")


def _splits(full: str) -> Iterator[tuple[str, str]]:
    """A name cut at its start and behind each of its dots."""
    at = 0
    while True:
        yield full[:at], full[at:]
        at = full.find(".", at) + 1
        if not at:
            return


def _own_name(net: nn.Module, own: Mapping[str, Tensor], name: str) -> str | None:
    """What the network calls a tensor of that name; None: nothing."""
    if name in own:
        return name
    name = name.replace(".shortcut.", ".downsample.")
    if name in own:
        return name
    number, _, rest = name.partition(".")
    parts = [part for part, _ in net.named_children()]
    if number.isdecimal() and int(number) < len(parts):
        named = f"{parts[int(number)]}.{rest}"
        return named if named in own else None
    return None


def _fitted(net: nn.Module, name: str, tensor: Tensor, wanted: torch.Size) -> Tensor:
    """Positions and patches of a transformer, resampled for its size where that is another."""
    fitted = tensor
    if tensor.shape == wanted or tensor.ndim != len(wanted):
        return tensor
    if name == "patch_embed.proj.weight" and tensor.shape[:2] == wanted[:2]:
        fitted = resample_patch_embed(tensor.float(), list(wanted[2:]))
    elif name == "pos_embed" and tensor.ndim == 3 and tensor.shape[2] == wanted[2]:
        transformer: Any = net
        grid = getattr(transformer.patch_embed, "grid_size", None)
        if grid is None:  # not of one token a patch
            return tensor
        more = wanted[1] - grid[0] * grid[1]  # tokens that are no patches
        if round((tensor.shape[1] - more) ** 0.5) ** 2 == tensor.shape[1] - more:
            fitted = resample_abs_pos_embed(tensor.float(), grid, num_prefix_tokens=more)
    return fitted


def _is_classifier(net: nn.Module, name: str) -> bool:
    stated: Any = getattr(net, "default_cfg", {}).get("classifier") or ()
    return any(
        name.startswith(f"{part}.") for part in ([stated] if isinstance(stated, str) else stated)
    )


def _how(misfit: list[str], taken: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The first tensor of another shape, in words; of another number of channels, where the rest
    fits.
    """
    if not misfit:
        return ""
    theirs, ours = taken[misfit[0]].shape, own[misfit[0]].shape
    shapes = f", {misfit[0]} is {'x'.join(map(str, theirs))} there, {'x'.join(map(str, ours))} here"
    channels = len(misfit) == 1 and len(theirs) == len(ours) == 4 and theirs[1] != ours[1]
    return f"{shapes}: it was trained on images of {theirs[1]} channel(s)" if channels else shapes
