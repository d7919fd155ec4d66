"""The sigmoid loss: each pair of rows of two towers is one question, do they belong together?

Letters: V views, B samples of all ranks, D projection width.
"""

from itertools import combinations
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.ranks import Group
from nearfar.losses.checks import check_views
from nearfar.losses.precision import full_precision
from nearfar.losses.rows import gather_rows, mean_over, unit_rows
from nearfar.losses.temperature import Temperature, taken_scalar, taken_temperature
from nearfar.losses.tiled import pair_questions

Bias: TypeAlias = float | Float[Tensor, "*bias"]


def sigmoid(
    z: Float[Tensor, "view batch dim"],
    *,
    temperature: Temperature,
    bias: Bias,
    group: Group = None,
) -> Float[Tensor, ""]:
    """Each row of one view says of every row of the other whether it is its partner. In [0, inf),
    nats for each row.

    Zhai et al. 2023 (SigLIP), arXiv:2303.15343, eq. 1 with the signs of its algorithm 1: with
    logit_ij = x_i.y_j / temperature + bias,
        -1/B sum_i [ log sigmoid(logit_ii) + sum_{j != i} log sigmoid(-logit_ij) ],
    x = z[0] and y = z[1] at length 1; of more views the mean over their pairs. The bias is added,
    as in algorithm 1 and in code: the authors' (google-research/big_vision,
    trainers/proj/image_text/siglip.py: `logits * t + b`) and open_clip's `SigLipLoss`. Only eq. 1
    subtracts it, and so its start of -10 would call every pair a positive. Their scale t is
    1 / temperature. Both numbers may be tensors of one value, which get their exact gradients; the
    paper learns them from t = 10 (its logarithm is the parameter: pass `(-log_t).exp()`) and bias
    -10, without which the many negatives rule the first steps. Unlike a softmax no row is weighed
    against the rest. Time O(B^2 D), memory O(B D).

    Raises ValueError: wrong rank, a single view, a temperature that is not positive, a number that
    is not finite or more than one value, a row that is not finite.
    """
    check_views(z, fewest_views=2)
    temperature = taken_temperature(temperature, z)
    with full_precision(z):
        shift = taken_scalar(bias, z, name="bias")
        rows = gather_rows(unit_rows(z, group=group), None, group, temperature=temperature)
        anchors = rows.anchors.view(len(z), z.shape[1], -1)
        candidates = rows.candidates.view(len(z), rows.samples, -1)
        terms = [
            pair_questions(anchors[v], candidates[w], shift, partners=rows.numbers)
            for v, w in combinations(range(len(z)), 2)
        ]
        return mean_over(torch.stack(terms), None, group)
