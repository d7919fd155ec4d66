"""The contrastive losses as slow float64 loops over their numbered equations, and batches to try
them on.
"""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

TEMPERATURES = st.floats(0.05, 2.0)
EXPECTED_NO_ANCHOR = "no anchor counts"


def rows_of(z: Tensor) -> list[Tensor]:
    """Unit rows, view by view."""
    return [
        F.normalize(z[v, b].double(), dim=0) for v in range(z.shape[0]) for b in range(z.shape[1])
    ]


def sup_con(
    z,
    labels,
    temperature,
    *,
    form="outside",
    contrast="all_views",
    denominator="all",
    positives_cap=None,
    queue=None,
    queue_labels=(),
):
    """Khosla et al. 2020, eq. 2 and 3 with the options of the authors' code: the mean over anchors
    that count.

    Rows of a queue are samples of one view that are no anchors.
    """
    views, batch, _ = z.shape
    rows = rows_of(z)
    sample = [b for _ in range(views) for b in range(batch)]
    anchors = batch if contrast == "one_view" else len(rows)
    labels = [*labels, *queue_labels]
    if queue is not None:
        rows = rows + rows_of(queue[None])
        sample += [batch + q for q in range(len(queue))]
    samples = len(labels)
    y = [int(labels[b]) if labels[b] >= 0 else -1 - b for b in range(samples)]
    terms = []
    for i in range(anchors):
        kept = [b for b in range(samples) if y[b] == y[sample[i]] and b != sample[i]]
        kept = kept if positives_cap is None else kept[: positives_cap // views]
        positives = [
            a for a in range(len(rows)) if a != i and (sample[a] == sample[i] or sample[a] in kept)
        ]
        negatives = [a for a in range(len(rows)) if y[sample[a]] != y[sample[i]]]
        if not positives or (denominator == "only_negatives" and not negatives):
            continue
        e = {a: math.exp(float(rows[i] @ rows[a]) / temperature) for a in {*positives, *negatives}}
        below = {
            p: sum(e[a] for a in negatives)
            + {"all": sum(e[a] for a in positives), "one_positive": e[p], "only_negatives": 0}[
                denominator
            ]
            for p in positives
        }
        shares = [e[p] / below[p] for p in positives]
        if form == "outside":
            terms.append(-sum(math.log(share) for share in shares) / len(shares))
        else:
            terms.append(-math.log(sum(shares) / len(shares)))
    return sum(terms) / len(terms) if terms else EXPECTED_NO_ANCHOR


def info_nce(z, temperature, *, negatives="all_rows", queue=None):
    """Chen et al. 2020, eq. 1; the two towers; He et al. 2020, eq. 1: the mean over anchors and
    their positives.
    """
    views, samples, _ = z.shape
    rows = F.normalize(z.double(), dim=-1)
    more = [] if queue is None else list(F.normalize(queue.double(), dim=-1))
    terms = []
    for v in range(1 if negatives == "queue" else views):
        for w in range(views):
            for b in range(samples):
                if v == w:
                    continue
                against = {
                    "all_rows": [
                        rows[x, c] for x in range(views) for c in range(samples) if (x, c) != (v, b)
                    ],
                    "other_view": [rows[w, c] for c in range(samples)],
                    "queue": [rows[w, b]],
                }[negatives] + more
                whole = sum(math.exp(float(rows[v, b] @ a) / temperature) for a in against)
                terms.append(
                    -math.log(math.exp(float(rows[v, b] @ rows[w, b]) / temperature) / whole)
                )
    return sum(terms) / len(terms)


@st.composite
def batches(draw, least_views=1, most_samples=7):
    """z (V, B, 5) in float64 and labels from -1 to 3."""
    views, samples = draw(st.integers(least_views, 3)), draw(st.integers(2, most_samples))
    seed = draw(st.integers(0, 2**31))
    labels = draw(st.lists(st.integers(-1, 3), min_size=samples, max_size=samples))
    z = torch.randn(
        views, samples, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return z, torch.tensor(labels)
