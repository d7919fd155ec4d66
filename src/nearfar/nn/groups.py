"""BatchNorm in groups, so that a query cannot know its key by the statistics of the batch they
share.

A key and its query would be normalized by the same batch, the queue's rows by others; a network can
learn to match the batch instead of the image (He et al. 2020, arXiv:1911.05722, section 3.3). So
queries are normalized in groups of samples, as on devices of their own, and keys in groups of
another order; the views of a sample are in groups of their own, as its authors pass them. Without
BatchNorm nothing is grouped. As with chunks of rows, running statistics move once a group.

Letters: V views, B samples, E representation width.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.ranks import Group, gather, placement
from nearfar.nn.encoders import Encoder, encode_views

Views = tuple[Float[Tensor, "_ batch ..."], ...]


def encode_queries(
    encoder: Encoder, views: Views, *, size: int, group: Group = None
) -> Float[Tensor, "views batch embed"]:
    """The representations of all views, each view normalized in groups of about `size`
    consecutive samples.
    """
    samples = views[0].shape[1]
    count = _count(samples, size, group) if encoder.normalizes_by_batch else 1
    parts = zip(*(shown.tensor_split(count, dim=1) for shown in views), strict=True)
    encoded = [encode_views(encoder, part, batch_norm_groups="views") for part in parts]
    return torch.cat(encoded, dim=1)


@torch.no_grad()
def encode_keys(
    encoder: Encoder,
    views: Views,
    *,
    size: int,
    order: Float[Tensor, " batch"],
    group: Group = None,
) -> Float[Tensor, "views batch embed"]:
    """The same without gradient, in groups of samples in the order of the numbers `order`, of all
    ranks.

    What comes back is in the batch's order. Collective: every rank is sent all images and encodes
    its share.
    """
    if not encoder.normalizes_by_batch:
        return encode_views(encoder, views)
    of = placement(len(order), group, order.device)
    places = gather(order, of, group).argsort(stable=True)
    mine = places[of.start : of.stop]
    shuffled = tuple(gather(shown, of, group, dim=1)[:, mine] for shown in views)
    encoded = encode_queries(encoder, shuffled, size=size, group=group)
    return gather(encoded, of, group, dim=1)[:, places.argsort()[of.start : of.stop]]


def _count(samples: int, size: int, group: Group) -> int:
    """Groups of a rank: at least two over all ranks, each of at least two samples."""
    return max(1, min(max(samples // size, 2 if group is None else 1), samples // 2))
