"""The words that losses take, each with its meanings in the docstring of the loss that takes it."""

from typing import Literal

Form = Literal["outside", "inside"]
Contrast = Literal["all_views", "one_view"]
Denominator = Literal["all", "only_negatives", "one_positive"]
Negatives = Literal["all_rows", "other_view", "queue"]
PairForm = Literal["pairs", "soft_labels"]
Mining = Literal["all", "semi_hard", "hard"]
RelationForm = Literal["bce", "focal"]
