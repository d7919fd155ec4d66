"""The classifier that the classifier stage trained, on its own encoder where that learned on."""

from typing import final

import torch

from nearfar.evaluate.accuracy import accuracies
from nearfar.evaluate.base import Classified, Context, Evaluator, Outcome
from nearfar.evaluate.features import extract


@final
class TrainedClassifier(Evaluator):
    """Its classifier serves for predictions, where no other is better on validation."""

    name = "classifier"
    title = "classifier stage"
    needs = frozenset({"labels", "features", "images", "classifier"})
    main = "classifier.top1"
    when = "if_present"

    def run(self, context: Context) -> Outcome:
        trained, test = context.classifier, context.test
        assert trained is not None
        assert context.images is not None
        x, val = test.x, context.splits["val"]
        x_val = val.x
        if trained.finetuned is not None:
            x, x_val = (
                extract(trained.finetuned, context.images, torch.from_numpy(part.rows))
                for part in (test, val)
            )
        probabilities = trained.classifier.probabilities(x)
        found = accuracies(
            context, "classifier", self.title, probabilities.argmax(axis=1), trained.protocol
        )
        classified = Classified(
            name="stage",
            title=self.title,
            classifier=trained.classifier,
            top1_val=trained.classifier.accuracy(x_val, val.y),
            probabilities=probabilities,
            finetuned=trained.finetuned,
        )
        return Outcome(found, classified)
