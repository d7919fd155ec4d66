"""The classifier that a method trained itself, such as that of cross_entropy."""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.evaluate.accuracy import accuracies
from nearfar.evaluate.base import Context, Evaluator, Outcome


@final
class Head(Evaluator):
    name = "head"
    title = "own head"
    needs = frozenset({"labels", "features", "head"})
    main = "head.top1"
    when = "if_present"

    def run(self, context: Context) -> Outcome:
        assert context.head is not None
        device = next(context.head.parameters()).device
        with torch.inference_mode():
            scores = context.head(torch.from_numpy(context.test.x).to(device))
        predicted: NDArray[np.int64] = scores.argmax(dim=1).cpu().numpy()
        protocol = "the classifier that the method trained itself"
        return Outcome(accuracies(context, "head", self.title, predicted, protocol))
