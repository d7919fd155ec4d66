"""Encoders by name, with the small-image stem, and from weights that a file or the hub holds."""

import copy
import logging
import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import timm
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nearfar.core.errors import UserError
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder
from nearfar.run_folder.records import Interpolation

SMALL_STEM_UP_TO_PX = 40
# what torch.load was seen to raise for files with bytes changed or cut off, beside UnpicklingError
DAMAGED = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AssertionError,
    AttributeError,
    TypeError,
    struct.error,
)
Stem = Literal["auto", "own", "small"]


def encoder_names() -> list[str]:
    """conv4, then every network that timm knows."""
    return ["conv4", *timm.list_models()]


def build_encoder(
    name: str,
    *,
    example: Float[Tensor, "row channel side side"],
    stem: Stem = "auto",
    pretrained: bool = False,
) -> Encoder:
    """The encoder of that name for images like `example`. UserError: no weights to be had, or a
    size it cannot take.

    Images of at most 40 px get a stem that keeps their resolution: the first convolution becomes
    3x3 with stride 1, a max-pool behind it goes (the usual CIFAR stem of ResNets). `stem` = "own"
    or "small" decides otherwise. Networks whose first layer cuts patches keep it.
    """
    size = example.shape[-1]
    try:
        if name == "conv4":
            return Encoder(conv4(), example=example, architecture="conv4", library="nearfar")
        small = stem == "small" or (stem == "auto" and size <= SMALL_STEM_UP_TO_PX)
        net, create = _timm_net(name, size, pretrained)
        edits = _small_stem(net) if small else ()
        if stem == "small" and not edits:
            raise UserError(
                f"encoder.stem: {name} has no stem that could be made small; leave it at auto"
            )
        return Encoder(
            net, example=example, architecture=name, library="timm", create=create, stem=edits
        )
    except ValueError as error:
        raise UserError(f"encoder.name: {error}") from error


def own_encoder(module: nn.Module, example: Float[Tensor, "row ..."]) -> Encoder:
    """A copy of the user's own module as an encoder. UserError: it does not fit the example."""
    try:
        return Encoder(copy.deepcopy(module), example=example, architecture=type(module).__name__)
    except ValueError as error:
        raise UserError(f"encoder: {error}") from error


def _timm_net(name: str, size: int, pretrained: bool) -> tuple[nn.Module, dict[str, Any]]:
    fixed = timm.get_pretrained_cfg(name)
    create: dict[str, Any] = {}
    if fixed is not None and fixed.fixed_input_size and tuple(fixed.input_size)[1:] != (size, size):
        create["img_size"] = size
    # its retries would drown the one message
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **create), create
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


class Published(NamedTuple):
    """How the weights that timm publishes for a network were trained and evaluated."""

    size: int  # side of the images, px
    crop: float  # how much of the centered square, as a fraction of its side
    interpolation: Interpolation
    mean: tuple[float, ...]  # of each channel, in [0, 1]
    std: tuple[float, ...]


def published(name: str) -> Published | None:
    """None where timm knows of no weights of that name."""
    stated = timm.get_pretrained_cfg(name)
    if stated is None or not stated.has_weights:
        return None
    return Published(
        size=int(stated.input_size[-1]),
        crop=min(1.0, stated.crop_pct),
        interpolation="bicubic" if stated.interpolation == "bicubic" else "bilinear",
        mean=tuple(stated.mean),
        std=tuple(stated.std),
    )


def _small_stem(net: nn.Module) -> tuple[str, ...]:
    """Edits the stem in place and returns each edit as the assignment that repeats it."""
    first: Any = getattr(net, "default_cfg", {}).get("first_conv") or ""
    path = first[0] if isinstance(first, tuple | list) else first
    try:
        old = net.get_submodule(path) if path else None
    except AttributeError:
        old = None
    if not isinstance(old, nn.Conv2d) or old.stride[0] > 2 or old.stride[0] == 1:
        return ()  # patches are no stem to edit, and stride 1 needs no edit
    keeps_bias = old.bias is not None
    new = nn.Conv2d(old.in_channels, old.out_channels, 3, stride=1, padding=1, bias=keeps_bias)
    if tuple(old.kernel_size) == (3, 3):  # the same taps at every pixel: given weights stay
        new.load_state_dict(old.state_dict())
    else:
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    net.set_submodule(path, new)
    edits = [
        f"{path} = nn.Conv2d({old.in_channels}, {old.out_channels}, 3, stride=1, padding=1,"
        f" bias={keeps_bias})"
    ]
    if isinstance(getattr(net, "maxpool", None), nn.MaxPool2d):
        net.maxpool = nn.Identity()
        edits.append("maxpool = nn.Identity()")
    return tuple(edits)


class Loaded(NamedTuple):
    """What of a file and an encoder did not meet."""

    left: tuple[str, ...]  # of the encoder, as they were: an edited stem
    dropped: tuple[str, ...]  # of the file: its classifier


def load_weights(encoder: Encoder, path: Path) -> Loaded:
    """Fills the encoder from a file.

    Reads safetensors, or anything that `torch.load(weights_only=True)` reads: no code of the file
    runs. Classifier weights in the file are ignored. UserError: unreadable, or a file of another
    network.
    """
    state = _read_state(path)
    own = encoder.net.state_dict()
    stem = {edit.split(" = ")[0] + ".weight" for edit in encoder.stem}
    left = tuple(
        sorted(k for k in own if k in stem and k in state and state[k].shape != own[k].shape)
    )
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    misfit = [k for k in own if k in state and state[k].shape != own[k].shape and k not in left]
    dropped = tuple(k for k in state if k not in own and _is_classifier(encoder.net, k))
    surplus = [k for k in state if k not in own and k not in dropped]
    if missing or misfit or surplus:
        faults = [
            f"{len(missing)} missing",
            f"{len(misfit)} of another shape",
            f"{len(surplus)} unknown",
        ]
        raise UserError(
            f"encoder.weights: {path} does not fit {encoder.architecture}: {', '.join(faults)} (the"
            f" first: {(missing + misfit + surplus)[0]}){_how(misfit, state, own)}; name the"
            " network that it was saved from"
        )
    encoder.net.load_state_dict(
        {k: state[k] for k in own if k in state and k not in left}, strict=False
    )
    return Loaded(left, dropped)


def _how(misfit: list[str], state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The first tensor of another shape, in words; of another number of channels, where the rest
    fits.
    """
    if not misfit:
        return ""
    theirs, ours = state[misfit[0]].shape, own[misfit[0]].shape
    shapes = f", {misfit[0]} is {'x'.join(map(str, theirs))} there, {'x'.join(map(str, ours))} here"
    channels = len(misfit) == 1 and len(theirs) == len(ours) == 4 and theirs[1] != ours[1]
    return f"{shapes}: it was trained on images of {theirs[1]} channel(s)" if channels else shapes


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # of another pickle protocol: it either loads or is refused below
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(
            f"encoder.weights: {path} cannot be read ({error.strerror or error})"
        ) from error
    except (SafetensorError, *DAMAGED) as error:
        raise UserError(
            f"encoder.weights: {path} holds no weights: {_first_line(error)}"
        ) from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"encoder.weights: {path} is damaged or holds more than weights, and is not opened; "
            "save it as .safetensors"
        ) from error
    if isinstance(loaded, dict) and loaded.keys() == {"state", "param_groups"}:
        raise UserError(
            f"encoder.weights: {path} is the state of an optimizer; give the file of the network"
        )
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"encoder.weights: {path} holds no state dict of tensors")
    return state


def _is_classifier(net: nn.Module, key: str) -> bool:
    names: Any = getattr(net, "default_cfg", {}).get("classifier") or ()
    return any(
        key.startswith(f"{name}.") for name in ([names] if isinstance(names, str) else names)
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200]
