"""The words that losses take, each with its meanings in the docstring of the loss that takes it."""

from typing import Any, Literal, get_args

Form = Literal["outside", "inside"]
Contrast = Literal["all_views", "one_view"]
Denominator = Literal["all", "only_negatives", "one_positive"]
Negatives = Literal["all_rows", "other_view", "queue"]
PairForm = Literal["pairs", "soft_labels"]
Mining = Literal["all", "semi_hard", "hard"]
RelationForm = Literal["bce", "focal"]


def check_word(name: str, word: object, wanted: Any) -> None:
    """ValueError unless `word` is one of the Literal's."""
    if word not in get_args(wanted):
        raise ValueError(f"{name}: want one of {', '.join(get_args(wanted))}, got {word!r}")
