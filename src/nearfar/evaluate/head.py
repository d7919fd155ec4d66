"""The classifier that a method trained itself, such as that of cross_entropy. One or two layers can
stand in a run's folder, and so serve for predictions; any other head is only measured.
"""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nearfar.evaluate.accuracy import accuracies
from nearfar.evaluate.base import Classified, Context, Evaluator, Outcome
from nearfar.evaluate.classifier import classifier_of_head


@final
class Head(Evaluator):
    name = "head"
    title = "own head"
    needs = frozenset({"labels", "features", "head"})
    main = "head.top1"
    when = "if_present"

    def run(self, context: Context) -> Outcome:
        assert context.head is not None
        protocol = "the classifier that the method trained itself"
        classifier = classifier_of_head(context.head)
        if classifier is None:
            predicted = _predicted(context.head, context.test.x)
            return Outcome(accuracies(context, "head", self.title, predicted, protocol))
        probabilities, val = classifier.probabilities(context.test.x), context.splits["val"]
        found = accuracies(context, "head", self.title, probabilities.argmax(axis=1), protocol)
        classified = Classified(
            name="head",
            title=self.title,
            classifier=classifier,
            top1_val=classifier.accuracy(val.x, val.y),
            probabilities=probabilities,
        )
        return Outcome(found, classified)


def _predicted(head: nn.Module, x: NDArray[np.float32]) -> NDArray[np.int64]:
    device = next(head.parameters()).device
    with torch.inference_mode():
        classes: NDArray[np.int64] = (
            head(torch.from_numpy(x).to(device)).argmax(dim=1).cpu().numpy()
        )
    return classes
