"""The loss of tasks that are a question with a fixed number of answers."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.ranks import Group
from nearfar.losses.rows import mean_over


def answered(scores: Tensor, labels: Tensor, group: Group) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a pretext task whose right answers are `labels` (V, B), or with axes before, and
    its logs: its chance level and accuracy. `scores` have a further last axis, the answers.
    """
    terms = F.cross_entropy(scores.flatten(0, -2), labels.flatten(), reduction="none").view(
        labels.shape
    )
    correct = (scores.detach().argmax(dim=-1) == labels).to(torch.float32).mean()
    return mean_over(terms, None, group), {
        "chance": torch.tensor(math.log(scores.shape[-1]), device=scores.device),
        "accuracy": correct,
    }
