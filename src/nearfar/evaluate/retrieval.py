"""Retrieval among the test images: is the nearest other image of the same class?"""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.evaluate.accuracy import share
from nearfar.evaluate.base import Context, Evaluator, Outcome

QUERIES_A_CALL = 1024


@final
class Retrieval(Evaluator):
    name = "retrieval"
    title = "retrieval"
    needs = frozenset({"labels", "features"})
    main = "retrieval.recall@1"

    def run(self, context: Context) -> Outcome:
        """Exact. A lone test image has no other: nothing is measured."""
        test = context.test
        if len(test) < 2:
            return Outcome([])
        right = test.y[nearest_others(test.x)] == test.y
        protocol = (
            f"each of {len(test)} test images asks for its nearest other one by cosine, exactly; "
            "the share whose class is equal"
        )
        return Outcome([share(context, "retrieval.recall@1", "recall@1", right, protocol)])


def nearest_others(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,): the row nearest to each by cosine, itself left out; of equally near ones that which
    torch.topk gives.
    """
    rows = torch.nn.functional.normalize(torch.from_numpy(x), dim=1)
    found = []
    for start in range(0, len(rows), QUERIES_A_CALL):
        part = rows[start : start + QUERIES_A_CALL]
        similarity = part @ rows.T
        queries = torch.arange(len(part))
        similarity[queries, start + queries] = -torch.inf
        found.append(similarity.topk(1, dim=1).indices[:, 0])
    return torch.cat(found).numpy()
