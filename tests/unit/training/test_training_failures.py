"""What stops a step: the whole message of each failure."""

from typing import Any

import pytest
import torch
from train_tiny import tiny_batches

from nearfar.core.errors import (
    DivergedError,
    NotFiniteError,
    TrainingStoppedError,
)
from nearfar.core.types import StepResult
from nearfar.data.sampler import Sampling
from nearfar.training.checkpoint import Counters
from nearfar.training.failures import (
    Place,
    finite_loss,
    finite_norm,
    refuse_nothing_learnt,
    stopping_at,
    what_to_try,
)

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
        ({}, "Set a larger train.batch_size, or data.sampling=balanced"),
        ({"sampling": Sampling("balanced")}, "Set a larger train.batch_size"),
        ({"with_labels": False}, "Set a larger train.batch_size"),
    ],
)
def test_a_run_without_a_single_pair_says_what_to_set(batches: dict[str, Any], advice: str) -> None:
    with pytest.raises(TrainingStoppedError) as caught:
        refuse_nothing_learnt(
            "Mine", Counters(step=3, steps_without_pair=3), tiny_batches(**batches)
        )
    assert str(caught.value) == (
        "training stopped after 3 steps: Mine found no pair to learn from in any batch of 4 images."
        f" {advice}"
    )
    assert not isinstance(caught.value, DivergedError)
    refuse_nothing_learnt("Mine", Counters(step=3, steps_without_pair=2), tiny_batches(**batches))


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), stopping_at(place()):
        raise ZeroDivisionError


def test_advice_for_another_rate_speaks_of_no_other_setting() -> None:
    assert what_to_try(0.3) == TRY
    assert what_to_try(0.3, "classifier.lr").count("--set") == 1
