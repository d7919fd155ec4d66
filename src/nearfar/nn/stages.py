"""The stages of a network: which of its parameters stand in each, keeping the first of them as they
are, and computing them twice to save memory.
"""

from typing import Any

from timm.models import group_parameters
from torch import nn

from nearfar.core.errors import UserError
from nearfar.nn.encoders import Encoder


def stages(encoder: Encoder) -> list[list[str]]:
    """Names of the network's parameters by stage, from the input on; the first is the stem. Of a
    transformer each block is one. UserError: nothing is known of the network.
    """
    net: Any = encoder.net
    if encoder.built_by == "nearfar":
        return _own_stages(net)
    if not hasattr(net, "group_matcher"):
        raise UserError(
            f"encoder.frozen: no stages are known of {encoder.architecture}; leave it out"
        )
    return list(group_parameters(net, net.group_matcher(coarse=True)).values())


def freeze(encoder: Encoder, count: int) -> None:
    """The first stages keep their weights and are in evaluation mode, whatever the others are.
    UserError: there are no so many.
    """
    found = stages(encoder)
    if count > len(found):
        raise UserError(
            f"encoder.frozen: want at most {len(found)}, the stages of {encoder.architecture}; got"
            f" {count}"
        )
    kept = {name for stage in found[:count] for name in stage}
    for name, parameter in encoder.net.named_parameters():
        if name in kept:
            parameter.requires_grad_(False)
    encoder.frozen = tuple(module for module in encoder.net.modules() if _is_frozen(module))
    encoder.train(encoder.training)


def freeze_batch_norm(encoder: Encoder) -> None:
    """Its BatchNorm keeps its running statistics and normalizes by them in training too; scale and
    shift learn as before. One that has no statistics goes on normalizing by its batch.
    """
    kept = [norm for norm in encoder.batch_norms if norm.running_mean is not None]
    encoder.frozen += tuple(norm for norm in kept if norm not in encoder.frozen)
    encoder.train(encoder.training)


def recompute_blocks(encoder: Encoder) -> None:
    """In the backward pass the activations of its blocks are computed again. UserError: it cannot,
    or has BatchNorm, whose running statistics would move twice.
    """
    if encoder.normalizes_by_batch:
        raise UserError(
            "encoder.gradient_checkpointing: want a network without BatchNorm that learns, and"
            f" {encoder.architecture} has it; train.micro_batch_size saves memory there, and with"
            " given weights encoder.frozen_batch_norm=true lets this go"
        )
    net: Any = encoder.net
    try:
        net.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:  # how timm says that it cannot
        raise UserError(
            f"encoder.gradient_checkpointing: {encoder.architecture} does not offer it; leave it"
            " out"
        ) from error


def _own_stages(net: nn.Sequential) -> list[list[str]]:
    """A stage begins where a convolution does, or several layers that stand together."""
    found: list[list[str]] = []
    for name, layer in net.named_children():
        names = [f"{name}.{own}" for own, _ in layer.named_parameters()]
        if isinstance(layer, nn.Conv2d | nn.Sequential):
            found.append(names)
        elif names:
            found[-1] += names
    return found


def _is_frozen(module: nn.Module) -> bool:
    own = list(module.parameters())
    return bool(own) and not any(parameter.requires_grad for parameter in own)
