"""Comparison losses as pure functions of tensors: no module, no queue, no configuration.

Every loss takes `group`, a torch.distributed process group: with it, each rank returns the loss of
the whole batch and DDP's averaged gradient is that of one rank with all of it. docs/losses.md says
which loss to take and why.
"""

from nearfar.losses.assignment import centered_prediction, sinkhorn, swapped_prediction
from nearfar.losses.classification import large_margin_softmax
from nearfar.losses.color import color_prediction
from nearfar.losses.contrastive import count_anchors_without_positive, info_nce, sup_con
from nearfar.losses.counting import counting
from nearfar.losses.decorrelation import redundancy, variance_covariance
from nearfar.losses.margin import margin_contrastive, triplet
from nearfar.losses.n_pairs import n_pairs
from nearfar.losses.regression import alignment, negative_cosine
from nearfar.losses.relation import relation
from nearfar.losses.sigmoid import sigmoid
from nearfar.losses.uniformity import uniformity

__all__ = [
    "alignment",
    "centered_prediction",
    "color_prediction",
    "count_anchors_without_positive",
    "counting",
    "info_nce",
    "large_margin_softmax",
    "margin_contrastive",
    "n_pairs",
    "negative_cosine",
    "redundancy",
    "relation",
    "sigmoid",
    "sinkhorn",
    "sup_con",
    "swapped_prediction",
    "triplet",
    "uniformity",
    "variance_covariance",
]
