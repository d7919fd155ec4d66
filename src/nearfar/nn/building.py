"""Encoders by name, with the small-image stem, new or with the weights that timm publishes."""

import copy
import functools
import logging
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.config.encoder import ARGUMENTS
from nearfar.core.errors import UserError
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder
from nearfar.nn.small_resnets import BLOCKS, small_resnet

SMALL_STEM_UP_TO_PX = 40
FEWEST_PATCHES = 7  # on a side: of a transformer with a small stem
Stem = Literal["auto", "own", "small"]
OWN: Mapping[str, Callable[[], nn.Sequential]] = MappingProxyType(
    {
        "conv4": conv4,
        **{name: functools.partial(small_resnet, blocks) for name, blocks in BLOCKS.items()},
    }
)


def encoder_names() -> list[str]:
    """nearfar's own networks, then every one that timm knows."""
    return [*OWN, *timm.list_models()]


def only_builds(argument: str) -> bool:
    """Whether an argument of `timm.create_model` says what to build, and not what to load."""
    return not argument.startswith("pretrained") and argument not in (
        "checkpoint_path",
        "cache_dir",
    )


def build_encoder(
    name: str,
    *,
    example: Float[Tensor, "row channel side side"],
    stem: Stem = "auto",
    pretrained: bool = False,
    create: Mapping[str, Any] = MappingProxyType({}),
) -> Encoder:
    """The encoder of that name for images like `example`; `create` are arguments of timm's for it.
    UserError: no weights to be had, or a size it cannot take.

    Images of at most 40 px get a stem that keeps their resolution: the first convolution becomes
    3x3 with stride 1, a max-pool behind it goes (the usual CIFAR stem of ResNets); a transformer
    cuts smaller patches. `stem` = "own" or "small" decides otherwise.
    """
    size = example.shape[-1]
    try:
        if name in OWN:
            return Encoder(OWN[name](), example=example, architecture=name, built_by="nearfar")
        small = stem == "small" or (stem == "auto" and size <= SMALL_STEM_UP_TO_PX)
        patches = _small_patches(name, size) if small and "patch_size" not in create else {}
        net, create = _timm_net(name, size, pretrained, {**patches, **create})
        edits = _small_stem(net) if small else ()
        if stem == "small" and not edits and not patches:
            raise UserError(
                f"encoder.stem: {name} has no stem that could be made small; leave it at auto"
            )
        return Encoder(
            net, example=example, architecture=name, built_by="timm", create=create, stem=edits
        )
    except ValueError as error:
        raise UserError(f"encoder.name: {error}") from error


def own_encoder(module: nn.Module, example: Float[Tensor, "row ..."]) -> Encoder:
    """A copy of the user's own module as an encoder. UserError: it does not fit the example."""
    try:
        return Encoder(copy.deepcopy(module), example=example, architecture=type(module).__name__)
    except ValueError as error:
        raise UserError(f"encoder: {error}") from error


def _timm_net(
    name: str, size: int, pretrained: bool, asked: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    fixed = timm.get_pretrained_cfg(name)
    create = dict(asked)
    if fixed is not None and fixed.fixed_input_size and tuple(fixed.input_size)[1:] != (size, size):
        create["img_size"] = size
    # its retries would drown the one message
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        net = timm.create_model(name, pretrained=pretrained, **{"num_classes": 0, **create})
        return net, create
    except TypeError as error:
        foreign = [
            key for key, timms in ARGUMENTS.items() if timms in asked and timms in str(error)
        ]
        if not foreign:
            raise ValueError(f"{name} cannot be built for {size} px: {error}") from error
        raise UserError(f"encoder.{foreign[0]}: {name} has none to be set; leave it out") from error
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        if not pretrained:
            raise ValueError(f"{name} cannot be built for {size} px: {error}") from error
        raise UserError(
            f"encoder.pretrained: no weights of {name} could be had from the hub"
            f" ({_first_line(error)}); without a connection give a file instead: --set"
            ' encoder.weights=FILE.safetensors (made where there is one: python -c "import timm;'
            " from safetensors.torch import save_file;"
            f" save_file(timm.create_model('{name}', pretrained=True).state_dict(),"
            " 'FILE.safetensors')\")"
        ) from error


def _small_patches(name: str, size: int) -> dict[str, int]:
    """As timm's argument the largest power of two that divides the size and leaves 7 x 7 patches;
    nothing where the network cuts no patches, or leaves as many by itself.
    """
    stated = timm.get_pretrained_cfg(name)
    if stated is None or not stated.fixed_input_size:  # as of all that have positions
        return {}
    with torch.device("meta"):  # shapes are enough
        own = getattr(getattr(timm.create_model(name), "patch_embed", None), "patch_size", None)
    patch = own[0] if isinstance(own, tuple) else own
    if not isinstance(patch, int) or size // patch >= FEWEST_PATCHES:
        return {}
    sides = [side for side in (2, 4, 8) if size % side == 0 and size // side >= FEWEST_PATCHES]
    return {"patch_size": max(sides, default=1)}


def _small_stem(net: nn.Module) -> tuple[str, ...]:
    """Edits the stem in place and returns each edit as the assignment that repeats it."""
    path, old = _first_convolution(net)
    if old is None or old.stride[0] > 2 or old.stride[0] == 1:
        return ()  # patches are no stem to edit, and stride 1 needs no edit
    if tuple(old.kernel_size) == tuple(old.stride):
        return ()  # small patches
    keeps_bias = old.bias is not None
    new = nn.Conv2d(old.in_channels, old.out_channels, 3, stride=1, padding=1, bias=keeps_bias)
    if tuple(old.kernel_size) == (3, 3):  # the same taps at every pixel: given weights stay
        new.load_state_dict(old.state_dict())
    else:
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    net.set_submodule(path, new)
    edits = [
        f"{in_python(path)} = nn.Conv2d({old.in_channels}, {old.out_channels}, 3, stride=1,"
        f" padding=1, bias={keeps_bias})"
    ]
    if isinstance(getattr(net, "maxpool", None), nn.MaxPool2d):
        net.maxpool = nn.Identity()
        edits.append("maxpool = nn.Identity()")
    return tuple(edits)


def _first_convolution(net: nn.Module) -> tuple[str, nn.Conv2d | None]:
    """As timm states it, and its path."""
    first: Any = getattr(net, "default_cfg", {}).get("first_conv") or ""
    path = first[0] if isinstance(first, tuple | list) else first
    try:
        found = net.get_submodule(path) if path else None
    except AttributeError:
        found = None
    return path, found if isinstance(found, nn.Conv2d) else None


def has_small_stem(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether weights for the network of that name, under names that may have others before them,
    have a first convolution of 3x3 where the network's own is larger.
    """
    if name in OWN or not timm.is_model(name):
        return False
    with torch.device("meta"):  # shapes are enough
        path, own = _first_convolution(timm.create_model(name))
    if own is None or max(own.kernel_size) <= 3:
        return False
    ends = (f".{path}.weight", f"{path}.weight")
    found = [t for full, t in tensors.items() if full == ends[1] or full.endswith(ends[0])]
    return any(tuple(tensor.shape[2:]) == (3, 3) for tensor in found)


def in_python(path: str) -> str:
    """`conv1.0`, the path of a module, as Python reads it: `conv1[0]`."""
    return re.sub(r"\.(\d+)", r"[\1]", path)


def path_of(edit: str) -> str:
    """The path of the module that an edit of the stem assigns."""
    return re.sub(r"\[(\d+)\]", r".\1", edit.partition(" = ")[0])


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200]
