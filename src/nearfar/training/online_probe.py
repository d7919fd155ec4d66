"""The online probe: a linear classifier beside training that shows, epoch by epoch, how well
representations separate the classes. The encoder learns nothing from it: it is shown detached
representations, after the step that made them, draws no random numbers, and finds the labels in a
table of its own, so that a method without labels is still given -1.

Its accuracy is of training views (mixed ones, where a method mixes), each judged before it is
learnt from: no test. Letters: V views, B samples, E representation width, C classes.
"""

from typing import Any, final

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.randomness import seeded
from nearfar.training.observers import Step
from nearfar.training.optimizers import load_optimizer_state

NAME = "online_probe.top1.train"
# rate of Adam; 1/E for a wide representation, so that a step changes a score by one at most
FASTEST = 0.01


@final
class OnlineProbe:
    """`labels` are those of all samples, -1 for none. On several ranks each has its own, of its own
    samples.
    """

    def __init__(
        self, labels: Int64[Tensor, " sample"], width: int, n_classes: int, device: torch.device
    ) -> None:
        self.labels = labels.to(device)
        with seeded(0):  # so that nothing outside is drawn
            linear = nn.Linear(width, n_classes)
        nn.init.zeros_(linear.weight)  # convex: no randomness is needed
        nn.init.zeros_(linear.bias)
        self.net = nn.Sequential(nn.BatchNorm1d(width, affine=False), linear).to(device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=min(FASTEST, 1 / width))
        self._right = torch.zeros((), device=device)
        self._seen = 0

    def see(self, step: Step) -> None:
        """Judges the labeled rows of a step, then learns from them."""
        h = step.result.representation.detach().float()
        labels = self.labels[step.batch.index].expand(len(h), -1)
        rows, truth = h[labels >= 0], labels[labels >= 0]
        if len(rows) > 1:  # BatchNorm wants two
            scores = self.net(rows)
            self._right += (scores.detach().argmax(dim=1) == truth).sum()
            self._seen += len(truth)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(F.cross_entropy(scores, truth))
            self.optimizer.step()

    def row(self) -> dict[str, float]:
        """The accuracy since the last call; nothing where no labeled view was seen."""
        found = {NAME: float(self._right) / self._seen} if self._seen else {}
        self._right.zero_()
        self._seen = 0
        return found

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, between two epochs."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        load_optimizer_state(self.optimizer, state["optimizer"])
