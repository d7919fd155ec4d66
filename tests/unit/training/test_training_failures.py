"""What stops a step: the whole message of each failure."""

import pytest
import torch
from train_tiny import tiny_batches

from nearfar.core.errors import (
    DivergedError,
    NotFiniteError,
    NothingToCompareError,
    TrainingStoppedError,
)
from nearfar.core.types import StepResult
from nearfar.training.failures import Place, finite_loss, finite_norm, stopping_at, what_to_try

STAYS = "the last complete epoch's checkpoint stays"
TRY = (
    "The learning rate was 0.3. Try --set optimizer.lr=0.03, --set train.gradient_clip=1, or a"
    f" longer schedule.warmup_epochs; {STAYS}"
)


def place(lr_key: str = "optimizer.lr", **changed: object) -> Place:
    return Place("Mine", 4, 1, tiny_batches(**changed), 0.3, lr_key)


def result(loss: float, *views: float) -> StepResult:
    return StepResult(torch.tensor(loss), torch.tensor(views).view(-1, 1, 1).expand(-1, 3, 2))


def test_finite_numbers_pass() -> None:
    with stopping_at(place()):
        assert finite_loss(result(0.5, 1.0)) == 0.5
        assert finite_norm(2.0) == 2.0


@pytest.mark.parametrize(
    ("loss", "views", "what"),
    [
        (float("nan"), (1.0, 2.0), "is nan"),
        (float("inf"), (1.0, 2.0), "is inf"),
        (float("nan"), (1.0, float("nan")), "is nan; the representation of view 1 is not finite"),
        (
            -float("inf"),
            (float("inf"), 0.0, float("nan")),
            "is -inf; the representation of view 0, 2 is not finite",
        ),
    ],
)
def test_a_loss_that_is_no_number_names_the_step_the_views_and_what_to_try(
    loss: float, views: tuple[float, ...], what: str
) -> None:
    with pytest.raises(DivergedError) as caught, stopping_at(place()):
        finite_loss(result(loss, *views))
    where = "training stopped at step 5 of 6 (epoch 2)"
    assert str(caught.value) == f"{where}: the loss of Mine {what}. {TRY}"


def test_a_gradient_that_is_no_number() -> None:
    with pytest.raises(DivergedError) as caught, stopping_at(place()):
        finite_norm(float("inf"))
    where = "training stopped at step 5 of 6 (epoch 2)"
    assert str(caught.value) == f"{where}: the gradient of Mine has norm inf. {TRY}"


def test_a_loss_that_refuses_rows_is_the_cause_of_the_error() -> None:
    refusal = NotFiniteError("z: want finite numbers, got NaN in 3 row(s)")
    with pytest.raises(DivergedError) as caught, stopping_at(place("classifier.lr")):
        raise refusal
    assert str(caught.value) == (
        "training stopped at step 5 of 6 (epoch 2): the loss of Mine cannot be taken (z: want"
        " finite numbers, got NaN in 3 row(s)). The learning rate was 0.3. Try --set"
        f" classifier.lr=0.03; {STAYS}"
    )
    assert caught.value.__cause__ is refusal


@pytest.mark.parametrize(
    ("batches", "advice"),
    [
        ({}, "Set a larger train.batch_size, or data.balanced=true;"),
        ({"balanced": True}, "Set a larger train.batch_size;"),
        ({"with_labels": False}, "Set a larger train.batch_size;"),
    ],
)
def test_a_batch_with_nothing_to_compare_says_what_to_set(
    batches: dict[str, bool], advice: str
) -> None:
    refusal = NothingToCompareError("labels: want two classes, got one")
    with pytest.raises(TrainingStoppedError) as caught, stopping_at(place(**batches)):
        raise refusal
    assert str(caught.value) == (
        "training stopped at step 5 of 6 (epoch 2): Mine finds nothing to compare in a batch of 4"
        f" images (labels: want two classes, got one). {advice} {STAYS}"
    )
    assert not isinstance(caught.value, DivergedError)
    assert caught.value.__cause__ is refusal


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), stopping_at(place()):
        raise ZeroDivisionError


def test_advice_for_another_rate_speaks_of_no_other_setting() -> None:
    assert what_to_try(0.3) == TRY
    assert what_to_try(0.3, "classifier.lr").count("--set") == 1
