"""Given weights as they are: a run like any other in which nothing is trained.

It has no epochs, no optimizer and no views; what is measured of the encoder is its result, and its
linear probe is the classifier that `nearfar predict` uses.
"""

from typing import ClassVar, final

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, StepResult
from nearfar.methods.base import Method, OptimizerDefaults


class FrozenConfig(MethodConfig):
    """Frozen: given weights are measured as they are, and nothing is trained.

    What it reaches is what any training on the same weights has to beat; where nothing does, it is
    the classifier to use.
    """

    trains: ClassVar[bool] = False


@final
class Frozen(Method):
    Config = FrozenConfig
    needs_labels = False
    default_views = "basic"
    default_count = 1
    optimizer = OptimizerDefaults("sgd", lr_per_256=0.2, weight_decay=0.0)  # takes no step
    paper = "nothing is trained"

    def step(self, batch: Batch) -> StepResult:
        raise AssertionError("frozen takes no step")
