"""The classifier that the classifier stage trained, on its own encoder where that learned on."""

from typing import final

import torch

from nearfar.evaluate.accuracy import accuracies
from nearfar.evaluate.base import Classified, Context, Evaluator, Outcome
from nearfar.evaluate.features import extract


@final
class TrainedClassifier(Evaluator):
    """Predictions are its classifier's."""

    name = "classifier"
    title = "classifier stage"
    needs = frozenset({"labels", "features", "images", "classifier"})
    main = "classifier.top1"
    when = "if_present"

    def run(self, context: Context) -> Outcome:
        trained, test = context.classifier, context.test
        assert trained is not None
        assert context.images is not None
        x = test.x
        if trained.finetuned is not None:
            x = extract(trained.finetuned, context.images, torch.from_numpy(test.rows))
        probabilities = trained.classifier.probabilities(x)
        found = accuracies(
            context, "classifier", self.title, probabilities.argmax(axis=1), trained.protocol
        )
        return Outcome(found, Classified(self.title, trained.classifier, probabilities))
