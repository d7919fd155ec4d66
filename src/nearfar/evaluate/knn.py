"""Weighted nearest neighbors by cosine, the probe that trains nothing."""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.evaluate.accuracy import accuracies
from nearfar.evaluate.base import Context, Evaluator, Outcome
from nearfar.evaluate.features import Features

K = 200
TEMPERATURE = 0.1
MOST_QUERIES_A_CALL, FEWEST_QUERIES_A_CALL = 1024, 64
SIMILARITIES_A_CALL = 1 << 24  # 64 MB, between these two


@final
class KNN(Evaluator):
    name = "knn"
    title = "kNN"
    needs = frozenset({"labels", "features"})
    main = "knn.top1"

    def run(self, context: Context) -> Outcome:
        train = context.splits["train"]
        predicted = knn_predict(train, context.test.x, context.n_classes)
        k = neighbors_for(len(train))
        protocol = f"cosine, k = {k}, temperature {TEMPERATURE}, {len(train)} training images"
        return Outcome(accuracies(context, "knn", self.title, predicted, protocol))


def neighbors_for(n_train: int) -> int:
    """k = 200, at most a tenth of the training rows, at least 1."""
    return max(1, min(K, n_train // 10))


def knn_predict(train: Features, queries: NDArray[np.float32], n_classes: int) -> NDArray[np.int64]:
    """The class of each query (n, E): votes of the k nearest training rows, weighted by exp(cosine
    / .1).

    Wu et al. 2018, arXiv:1805.01978, with their temperature of .07 set to the usual .1.
    Deterministic: rows of equal similarity are taken in the order that torch.topk gives.
    """
    bank = torch.nn.functional.normalize(torch.from_numpy(train.x), dim=1)
    votes = torch.nn.functional.one_hot(torch.from_numpy(train.y), n_classes).float()
    k = neighbors_for(len(train))
    most = max(FEWEST_QUERIES_A_CALL, SIMILARITIES_A_CALL // len(train))
    at_once = min(MOST_QUERIES_A_CALL, most)
    predicted = []
    for start in range(0, len(queries), at_once):
        part = torch.from_numpy(queries[start : start + at_once])
        similarity = torch.nn.functional.normalize(part, dim=1) @ bank.T
        nearest, where = similarity.topk(k, dim=1)
        weights = ((nearest - 1) / TEMPERATURE).exp()  # at most 1: the shift cancels in the vote
        predicted.append((weights[:, :, None] * votes[where]).sum(dim=1).argmax(dim=1))
    return torch.cat(predicted).numpy()


def knn_accuracy(train: Features, queries: Features, n_classes: int) -> float:
    """Top-1 accuracy in [0, 1]."""
    return float((knn_predict(train, queries.x, n_classes) == queries.y).mean())
