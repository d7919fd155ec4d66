"""The encoder: any timm network, nearfar's own few, or the user's module; and the doors to it,
`encode_views` and `encode_maps`.

The encoder alone owns autocast, the memory format and the row chunks. What leaves it is at least
float32. Letters: V views, B samples, R rows of one call, E representation width.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

Precision = Literal["float32", "bf16"]
# What BatchNorm normalizes together: all views (in the encoder those of one side), or each alone.
BatchNormGroups = Literal["all", "views"]
_NARROW = 16  # channels


@final
class Encoder(nn.Module):
    """A network from samples to representations, `net`, whose `width` is probed, not guessed.

    `example` (1 or more rows): what it will be shown, such as the evaluation input of one sample.
    `architecture`, `built_by`, `create` and `stem` say how `net` was made: what a run keeps of it.
    Raises ValueError where `net` does not map R rows like the example to (R, E).
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        example: Float[Tensor, "row ..."],
        architecture: str,
        built_by: Literal["timm", "nearfar", "user"] = "user",
        create: dict[str, Any] | None = None,
        stem: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        order = fastest_format(net, example)
        self.memory_format: torch.memory_format | None = order  # None: rows stay as they come
        self.net = net.to(memory_format=order)
        self.architecture = architecture
        self.built_by = built_by  # of "user" nothing is known
        self.create = create or {}
        self.stem = stem
        self.example = example[:1].detach().cpu()
        self.precision: Precision = "float32"
        self.micro_batch_size: int | None = None
        self.origin = "new weights"  # what it starts from, in words
        self.left: tuple[str, ...] = ()  # its tensors that given weights have not
        self.unused: tuple[str, ...] = ()  # tensors of given weights that it has not
        self.frozen: tuple[nn.Module, ...] = ()  # parts that do not learn: see nn/stages.py
        self.width = self._width_of(self.example)

    def forward(self, rows: Float[Tensor, "row ..."]) -> Float[Tensor, "row embed"]:
        """The representation of each row, at least float32. Training goes by the encoder's
        precision; evaluation is in float32, so that what is measured is what a loaded encoder
        gives, on this machine and on others.
        """
        with self._autocast(rows):
            return _at_least_float32(self.net(self._laid_out(rows)))

    def train(self, mode: bool = True) -> "Encoder":
        """What is frozen stays in evaluation mode."""
        super().train(mode)
        self._keep_frozen()
        return self

    def in_format(self, order: torch.memory_format | None) -> "Encoder":
        """Itself, computing in another memory format from now on, to float32 rounding the same.
        None: torch's own for the weights, that of the rows for the rest, as any module would.
        """
        self.memory_format = order
        self.net.to(memory_format=order or torch.contiguous_format)
        return self

    def _laid_out(self, rows: Tensor) -> Tensor:
        order = self.memory_format
        return rows if order is None else rows.contiguous(memory_format=order)

    def _keep_frozen(self) -> None:
        for part in self.frozen:
            part.eval()

    def feature_map(
        self, rows: Float[Tensor, "row channel height width"]
    ) -> Float[Tensor, "row feature h w"]:
        """What stands before pooling. Raises ValueError where the network offers none."""
        rows, net = self._laid_out(rows), self.net
        with self._autocast(rows):
            if isinstance(net, nn.Sequential) and _ends_in_pooling(net):
                return _at_least_float32(net[:-2](rows))
            if not hasattr(net, "forward_features"):
                raise ValueError(
                    f"{self.architecture}: want a method forward_features for a feature map"
                )
            offering: Any = net
            features: Tensor = offering.forward_features(rows)
        if features.ndim != 4:
            raise ValueError(
                f"{self.architecture}: its features have shape {tuple(features.shape)}, no map"
            )
        return _at_least_float32(features)

    def pool(self, features: Float[Tensor, "row feature h w"]) -> Float[Tensor, "row embed"]:
        """The representations of rows with these feature maps."""
        net: Any = self.net
        with self._autocast(features):
            return _at_least_float32(
                net[-2:](features) if _ends_in_pooling(net) else net.forward_head(features)
            )

    def features_at(self, side: int) -> int:
        """How many features a map has, for images of that side. ValueError: there is none."""
        return int(self._probe(self.feature_map, _at_side(self.example, side)).shape[1])

    @property
    def device(self) -> torch.device:
        """Where its parameters are; the CPU where it has none."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    @property
    def batch_norms(self) -> tuple[_BatchNorm, ...]:
        return tuple(module for module in self.modules() if isinstance(module, _BatchNorm))

    @property
    def normalizes_by_batch(self) -> bool:
        """Whether a BatchNorm in it normalizes by the batch in training: one that is not frozen."""
        return not set(self.batch_norms) <= set(self.frozen)

    def _autocast(self, rows: Tensor) -> AbstractContextManager[Any]:
        enabled = self.precision == "bf16" and self.training and rows.dtype == torch.float32
        return (
            torch.autocast(rows.device.type, torch.bfloat16, enabled=True)
            if enabled
            else nullcontext()
        )

    def width_at(self, side: int) -> int:
        """E for images of that side. ValueError: the network cannot take them."""
        return self._width_of(_at_side(self.example, side))

    def _width_of(self, example: Tensor) -> int:
        out = self._probe(self.net, example)
        if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 2:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            what = "images" if example.ndim == 4 else f"shape {tuple(example.shape[1:])}"
            raise ValueError(
                f"{self.architecture}: want (rows, width) for 2 rows of {what}, got {got}"
            )
        return int(out.shape[1])

    def _probe(self, forward: Callable[[Tensor], Any], example: Tensor) -> Any:
        """What it makes of the example twice; nothing moves. ValueError: it cannot take it."""
        parameter = next(self.net.parameters(), torch.zeros(()))
        rows = example.to(parameter.device, parameter.dtype).expand(2, *example.shape[1:])
        was_training = self.net.training
        self.net.eval()
        try:
            with torch.no_grad():
                return forward(rows.contiguous())
        except (RuntimeError, AssertionError, TypeError) as error:
            what = f"samples of shape {tuple(example.shape[1:])}"
            if example.ndim == 4:
                what = f"images of {example.shape[-1]} x {example.shape[-1]} px"
            raise ValueError(f"{self.architecture}: cannot take {what}: {error}") from error
        finally:
            self.net.train(was_training)
            self._keep_frozen()


def _at_side(example: Tensor, side: int) -> Tensor:
    """An image at another side. ValueError: the example is no image."""
    if example.ndim != 4:
        raise ValueError(f"want images, got samples of shape {tuple(example.shape[1:])}")
    return F.interpolate(example, size=(side, side), mode="bilinear", antialias=True)


def _ends_in_pooling(net: nn.Module) -> bool:
    """Whether it is layers in a row, of which the last two pool what is before them."""
    return (
        isinstance(net, nn.Sequential)
        and len(net) > 2
        and isinstance(net[-2], nn.AdaptiveAvgPool2d)
    )


def fastest_format(net: nn.Module, example: Tensor) -> torch.memory_format:
    """Channels last for images, but for networks that begin narrow.

    torch's BatchNorm backward takes a row of channels at a time: with conv4's 8 it is half a step.
    Conv4, 512 rows of 32 px, forward and backward, two cores with AVX-512: bf16 52 ms against 76
    channels last, float32 98 against 94.
    """
    if example.ndim != 4:
        return torch.contiguous_format
    norms = [module.num_features for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    return torch.contiguous_format if norms and min(norms) < _NARROW else torch.channels_last


def encode_views(
    encoder: Encoder,
    views: tuple[Float[Tensor, "_ batch ..."], ...],
    *,
    batch_norm_groups: BatchNormGroups = "all",
) -> Float[Tensor, "views batch embed"]:
    """The representations of all views of all groups, (V, B, E): with `encode_maps` the only door
    to the encoder in a step.

    By `batch_norm_groups` all views of a side pass together, or each view alone, in their order:
    BatchNorm normalizes by what passes together, and its running statistics move once a pass. Where
    there is none, they pass together.

    With `encoder.micro_batch_size` the rows pass in chunks of nearly equal size whose activations
    are recomputed in the backward (gradient caching, Gao et al. 2021, arXiv:2101.06983): the
    gradient of the whole batch with the memory of one chunk. With BatchNorm that is not frozen each
    chunk is its own normalization group, as on a device of its own, and running statistics move
    once a chunk, in the first pass only; a chunk of one row, which BatchNorm cannot take, joins the
    others (one may be a row larger). Chunks are cut from what passes together: with groups of
    "views" none holds rows of two views.
    """
    if batch_norm_groups == "views" and encoder.normalizes_by_batch:
        views = tuple(view for group in views for view in torch.split(group, 1))
    encoded = [
        _in_chunks(encoder, encoder, group.flatten(0, 1)).view(*group.shape[:2], -1)
        for group in views
    ]
    return torch.cat(encoded)


def encode_tiles(
    encoder: Encoder, tiles: tuple[Float[Tensor, "tile _ batch channel _ _"], ...]
) -> Float[Tensor, "tile views batch embed"]:
    """The representations of the tiles that each group's views were cut into, (T, V, B, E), by
    `encode_views`.
    """
    parts = [encode_views(encoder, (group.flatten(0, 1),)) for group in tiles]
    return torch.cat(
        [h.view(len(group), -1, *h.shape[1:]) for h, group in zip(parts, tiles, strict=True)], dim=1
    )


def encode_maps(
    encoder: Encoder, group: Float[Tensor, "views batch channel height width"]
) -> Float[Tensor, "views batch feature h w"]:
    """The feature maps before pooling of one group's views, in chunks as `encode_views` has
    them.
    """
    maps = _in_chunks(encoder, encoder.feature_map, group.flatten(0, 1))
    return maps.view(*group.shape[:2], *maps.shape[1:])


def _in_chunks(encoder: Encoder, forward: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    size = encoder.micro_batch_size
    if size is None or len(rows) <= size:
        return forward(rows)
    count = -(-len(rows) // size)
    chunks = rows.tensor_split(
        max(1, min(count, len(rows) // 2)) if encoder.normalizes_by_batch else count
    )
    if not torch.is_grad_enabled():
        return torch.cat([forward(chunk) for chunk in chunks])
    contexts: Callable[[], tuple[Any, Any]] = lambda: (nullcontext(), _statistics_at_rest(encoder))  # noqa: E731
    return torch.cat(
        [checkpoint(forward, chunk, use_reentrant=False, context_fn=contexts) for chunk in chunks]
    )


@contextmanager
def _statistics_at_rest(encoder: nn.Module) -> Iterator[None]:
    """BatchNorm normalizes by its batch, as in training, and moves copies of its running
    statistics.

    Copies, because a BatchNorm without statistics saves fewer tensors, which the checkpoint
    refuses.
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
    kept = [
        (norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers(recurse=False)
    ]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
