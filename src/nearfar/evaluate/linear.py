"""The linear probe: logistic regression on the training images' frozen features."""

from typing import final

from nearfar.evaluate.accuracy import accuracies, balanced_if_it_says_more
from nearfar.evaluate.base import Classified, Context, Evaluator, Outcome
from nearfar.evaluate.logistic import fit_probe


@final
class Linear(Evaluator):
    """Its classifier serves for predictions, where no other is better on validation."""

    name = "linear"
    title = "linear probe"
    needs = frozenset({"labels", "features"})
    main = "linear_probe.top1"

    def run(self, context: Context) -> Outcome:
        train, val = context.splits["train"], context.splits["val"]
        probe = fit_probe(train, val, context.n_classes)
        probabilities = probe.classifier.probabilities(context.test.x)
        protocol = (
            f"logistic regression on {len(train)} frozen features, weight decay "
            f"{probe.weight_decay:g} chosen on {len(val)} validation images"
        )
        found = accuracies(
            context, "linear_probe", self.title, probabilities.argmax(axis=1), protocol
        )
        classified = Classified(
            name="linear_probe",
            title=self.title,
            classifier=probe.classifier,
            top1_val=probe.classifier.accuracy(val.x, val.y),
            probabilities=probabilities,
        )
        return Outcome(found, classified, balanced_if_it_says_more(found))
